//! How the agent and its database are.

use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_plan::policy::Now;

use super::moment::Ago;
use super::{ApiState, BackupRow, Database, Health};
use crate::store::StoreHealth;

/// A loop that has not ticked for this long is stuck: it ticks every minute when nothing happens, and one look at an engine
/// that does not answer may take as long again.
const TICK_STALE_MS: i64 = 180_000;
/// How long the store may take to say how it is.
const STORE_ANSWER: Duration = Duration::from_secs(5);

/// How the agent itself is, and what the store said of itself. The network has no part in it: a device that is offline is
/// healthy.
pub(super) async fn health(state: &ApiState) -> (Health, Database) {
    let mut reasons = Vec::new();
    let since_tick = state.now().boot_ms - state.tick.load(Ordering::Relaxed);
    if since_tick > TICK_STALE_MS {
        reasons.push(format!("the agent's loop has not ticked for {} s", since_tick / 1000));
    }
    let store = tokio::time::timeout(STORE_ANSWER, state.store.health()).await;
    match &store {
        Ok(StoreHealth { open: true, .. }) => {}
        Ok(store) => {
            reasons.push(format!(
                "the database {} is not open: {}",
                store.path,
                store.error.as_deref().unwrap_or("no reason is known")
            ));
        }
        Err(_) => reasons.push(format!("the database did not answer within {} s", STORE_ANSWER.as_secs())),
    }
    (Health { healthy: reasons.is_empty(), reasons }, database(store.unwrap_or_default(), state.now()))
}

/// How the database is, from what the store says of itself.
fn database(health: StoreHealth, now: Now) -> Database {
    Database {
        path: health.path,
        open: health.open,
        schema: health.schema,
        journal_mode: health.journal_mode,
        size_bytes: health.size_bytes,
        rows: health.rows,
        newest_backup: health.newest_backup.map(|backup| BackupRow {
            path: backup.path,
            taken: backup.taken_ms.and_then(|ms| Ago::from_wall(ms, now)),
            schema: backup.schema,
            bytes: backup.bytes,
            verified: backup.verified,
        }),
        free_bytes: health.free_bytes,
        partition_bytes: health.partition_bytes,
        error: health.error,
        recovery: health.recovery,
    }
}
