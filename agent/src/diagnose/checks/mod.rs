//! The checks by subject. Each file collects figures and hands them to pure functions that judge.

mod agent;
mod certificate;
mod clock;
mod containers;
mod database;
mod locks;
mod machine;
mod name_servers;
mod network;
mod permissions;
mod programs;
mod storage;
mod system;
mod tls;

use std::pin::Pin;
use std::sync::Arc;

use super::finding::Judgement;
use super::scene::Scene;

pub(super) use network::CloudAnswer;

/// A check at work.
pub(super) type Working = Pin<Box<dyn Future<Output = Judgement> + Send>>;

/// A check: its name, and how it is begun.
pub(super) type Check = (&'static str, fn(Arc<Scene>) -> Working);

/// Every check, in the order in which they are shown: the agent and its data, the device, the containers, the network.
pub(super) static ALL: [Check; 32] = [
    ("agent", |scene| Box::pin(async move { agent::answers(&scene).await })),
    ("settings", |scene| aside(scene, agent::settings)),
    ("database", |scene| aside(scene, database::database)),
    ("backups", |scene| aside(scene, database::backups)),
    ("permissions", |scene| aside(scene, permissions::permissions)),
    ("locks", |scene| aside(scene, locks::locks)),
    ("data-partition", |scene| aside(scene, storage::data_partition)),
    ("disk-space", |scene| Box::pin(async move { storage::disk_space(&scene).await })),
    ("inodes", |scene| aside(scene, storage::inodes)),
    ("disk-expansion", |scene| aside(scene, storage::disk_expansion)),
    ("write-latency", |scene| aside(scene, storage::write_latency)),
    ("flash-wear", |scene| aside(scene, storage::flash_wear)),
    ("memory", |scene| aside(scene, machine::memory)),
    ("temperature", |scene| Box::pin(async move { machine::temperature(&scene).await })),
    ("power", |scene| Box::pin(async move { machine::power(&scene).await })),
    ("kernel-log", |scene| aside(scene, machine::kernel_log)),
    ("os", |scene| Box::pin(async move { system::os(&scene).await })),
    ("os-rollback", |scene| aside(scene, system::rollback)),
    ("clock", |scene| Box::pin(async move { clock::clock(&scene).await })),
    ("engine", |scene| Box::pin(async move { containers::engine(&scene).await })),
    ("engine-restarts", |scene| aside(scene, programs::engine_restarts)),
    ("supervisor", |scene| Box::pin(async move { containers::supervisor(&scene).await })),
    ("container-restarts", |scene| Box::pin(async move { containers::restarts(&scene).await })),
    ("container-health", |scene| Box::pin(async move { containers::health(&scene).await })),
    ("network", |scene| Box::pin(async move { network::addresses(&scene).await })),
    ("wifi", |scene| aside(scene, network::wifi)),
    ("dns", |scene| Box::pin(async move { network::dns(&scene).await })),
    ("name-servers", |scene| aside(scene, name_servers::name_servers)),
    ("ping", |scene| aside(scene, programs::ping)),
    ("cloud", |scene| Box::pin(async move { network::cloud(&scene).await })),
    ("cloud-certificate", |scene| aside(scene, tls::certificate)),
    ("registry", |scene| Box::pin(async move { network::registry(&scene).await })),
];

/// On a thread of its own: files may hang, and the network below TLS is waited for in place.
fn aside(scene: Arc<Scene>, work: fn(&Scene) -> Judgement) -> Working {
    Box::pin(async move {
        let work = tokio::task::spawn_blocking(move || work(&scene));
        work.await.unwrap_or_else(|cause| Judgement::failed(format!("this broke off: {cause}"), "please report it"))
    })
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1000),
        1_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// Some of many names.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if names.len() > SHOWN { format!("{shown}; and {} more", names.len() - SHOWN) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = ALL.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn sizes_and_lists_are_short() {
        assert_eq!((size(999_999), size(1_000_000), size(9_999_999_999)), ("999 kB".into(), "1 MB".into(), "9999 MB".into()));
        let names: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(some(&names), "0; 1; 2; 3; 4; and 2 more");
        assert_eq!(some(&names[..1]), "0");
    }
}
