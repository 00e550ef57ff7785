//! What a container has used, in the engine's words.

use std::time::Duration;

use serde_json::Value;

use super::link::Link;
use super::raw;
use crate::engine::{EngineError, Result};
use crate::usage::ContainerUsage;

/// How long the engine may take: it looks once, without waiting for a second look to compare with.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks once.
pub(super) async fn usage(link: &Link, id: &str) -> Result<ContainerUsage> {
    let object = format!("container {id}");
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(EngineError::Failed { object, message: "it has no such id".to_owned() });
    }
    let path = format!("/containers/{id}/stats?stream=false&one-shot=true");
    Ok(read(&raw::get(link, &object, &path, LIMIT).await?))
}

fn read(stats: &Value) -> ContainerUsage {
    let number = |pointer: &str| stats.pointer(pointer).and_then(Value::as_u64);
    // The name under version 1 of control groups, then the one under version 2: what docker's own client takes off.
    let cache = number("/memory_stats/stats/total_inactive_file").or_else(|| number("/memory_stats/stats/inactive_file"));
    let total = stats.pointer("/memory_stats/usage").and_then(Value::as_u64).unwrap_or_default();
    let network = |field: &str| {
        let networks = stats["networks"].as_object();
        let bytes = networks.into_iter().flat_map(|networks| networks.values()).filter_map(|one| one[field].as_u64());
        bytes.fold(0, u64::saturating_add)
    };
    let block = |kind: &str| {
        let rows = stats.pointer("/blkio_stats/io_service_bytes_recursive").and_then(Value::as_array);
        let of_kind = |row: &&Value| row["op"].as_str().is_some_and(|op| op.eq_ignore_ascii_case(kind));
        rows.into_iter().flatten().filter(of_kind).filter_map(|row| row["value"].as_u64()).fold(0, u64::saturating_add)
    };
    ContainerUsage {
        cpu_us: number("/cpu_stats/cpu_usage/total_usage").unwrap_or_default() / 1000,
        memory_bytes: total.saturating_sub(cache.unwrap_or_default()),
        memory_limit_bytes: number("/memory_stats/limit").filter(|limit| *limit > 0),
        network_in_bytes: network("rx_bytes"),
        network_out_bytes: network("tx_bytes"),
        block_read_bytes: block("read"),
        block_write_bytes: block("write"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_are_understood() {
        let stats = serde_json::json!({
            "cpu_stats": { "cpu_usage": { "total_usage": 5_000_000 } },
            "memory_stats": { "usage": 5000, "limit": 9000, "stats": { "inactive_file": 1, "total_inactive_file": 1000 } },
            "networks": { "eth0": { "rx_bytes": 5, "tx_bytes": 7 }, "eth1": { "rx_bytes": 1, "tx_bytes": 1 } },
            "blkio_stats": { "io_service_bytes_recursive": [
                { "major": 8, "op": "Read", "value": 10 }, { "major": 8, "op": "write", "value": 20 }, { "op": "Total", "value": 30 },
            ] },
        });
        let expected = ContainerUsage {
            cpu_us: 5000,
            memory_bytes: 4000,
            memory_limit_bytes: Some(9000),
            network_in_bytes: 6,
            network_out_bytes: 8,
            block_read_bytes: 10,
            block_write_bytes: 20,
        };
        assert_eq!(read(&stats), expected);
        for odd in
            [Value::Null, serde_json::json!([]), serde_json::json!({ "networks": [], "blkio_stats": 7, "memory_stats": null })]
        {
            assert_eq!(read(&odd), ContainerUsage::default());
        }
    }

    #[tokio::test]
    async fn an_id_cannot_lead_elsewhere() {
        let link = Link::new(vec!["unix:///nowhere/x.sock".parse().unwrap()]);
        assert!(usage(&link, "../../x").await.unwrap_err().to_string().contains("no such id"));
    }
}
