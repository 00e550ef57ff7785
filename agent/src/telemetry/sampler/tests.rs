//! When it looks and when it writes.

use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_plan::boot::Changes;
use holdfast_plan::current::{HostState, Locks};
use holdfast_plan::host_config::{HostConfig, HostConfigPatch};
use holdfast_plan::memory::PowerChange;
use holdfast_plan::target::AppId;

use super::*;
use crate::engine::docker::DockerEngine;
use crate::host::{BrokenLock, DeviceInfo, HostError, LockChanges, MachineUsage, Watched};

const NOW_MS: i64 = 1_788_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Time that goes with tokio's.
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Now {
        let passed = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        Now { wall_ms: Some(NOW_MS + passed), machine_ms: NOW_MS + passed, boot_ms: 5000 + passed }
    }
}

/// A machine that is busier at each look.
#[derive(Default)]
struct Busy(AtomicU64);

#[async_trait::async_trait]
impl Host for Busy {
    async fn usage(&self, _: &[Watched]) -> Usage {
        let look = self.0.fetch_add(1, Ordering::Relaxed);
        let machine = MachineUsage { cpu_all_ticks: look * 100, cpu_busy_ticks: look * 50, ..MachineUsage::default() };
        Usage { machine, ..Usage::default() }
    }

    async fn locks(&self) -> Result<Locks, HostError> {
        Ok(Locks::default())
    }

    async fn take_locks(&self, _: AppId, _: &std::collections::BTreeSet<String>, _: bool) -> Result<Vec<BrokenLock>, HostError> {
        Err(HostError::NotControlled)
    }

    async fn release_locks(&self, _: AppId, _: &std::collections::BTreeSet<String>) -> Result<(), HostError> {
        Err(HostError::NotControlled)
    }

    async fn clear_marker(&self, _: AppId, _: &str) -> Result<(), HostError> {
        Err(HostError::NotControlled)
    }

    fn lock_changes(&self) -> LockChanges {
        Box::pin(futures_util::stream::pending())
    }

    async fn device_info(&self) -> DeviceInfo {
        DeviceInfo::default()
    }

    async fn state(&self) -> HostState {
        HostState::default()
    }

    async fn write_boot_config(&self, _: &str, _: &Changes, _: &str) -> Result<(), HostError> {
        Err(HostError::NotControlled)
    }

    async fn require_reboot(&self, _: &str) -> Result<(), HostError> {
        Err(HostError::NotControlled)
    }

    async fn power(&self, _: PowerChange) -> Result<(), HostError> {
        Err(HostError::NotControlled)
    }

    async fn host_config(&self) -> Result<HostConfig, HostError> {
        Err(HostError::NotControlled)
    }

    async fn set_host_config(&self, _: &HostConfigPatch) -> Result<(), HostError> {
        Err(HostError::NotControlled)
    }

    async fn settle(&self) -> Option<String> {
        None
    }
}

struct Running {
    statistics: Statistics,
    host: Arc<Busy>,
    shutdown: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    file: PathBuf,
}

async fn start(folder: &Path, interval: Duration) -> Running {
    let statistics = Statistics::new(interval, Duration::from_secs(30 * 86_400));
    let (host, shutdown, file) = (Arc::new(Busy::default()), watch::Sender::new(false), folder.join("telemetry.sqlite"));
    let sampler = Sampler {
        statistics: statistics.clone(),
        file: file.clone(),
        host: host.clone(),
        engine: Arc::new(DockerEngine::connect("unix:///nowhere/x.sock", None).unwrap()),
        clock: Arc::new(Paused(Instant::now())),
        surroundings: Box::new(Surroundings::default),
        shutdown: shutdown.subscribe(),
    };
    let task = tokio::spawn(sampler.run());
    let running = Running { statistics, host, shutdown, task, file };
    if !interval.is_zero() {
        running.wait("the first look", |keeping| keeping.looks > 0).await;
    }
    running
}

impl Running {
    /// Waits in real time for what is done on threads aside, while no simulated time passes.
    async fn wait(&self, what: &str, done: impl Fn(&crate::telemetry::Keeping) -> bool) {
        for _ in 0..6000 {
            if self.statistics.read(|book| done(&book.keeping)) {
                return;
            }
            // Holds simulated time up, and this one thread gives way to the others.
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(10))).await.unwrap();
        }
        panic!("{what} did not come: {:?}", self.statistics.read(|book| book.keeping.clone()));
    }

    fn looks(&self) -> u64 {
        self.host.0.load(Ordering::Relaxed)
    }

    fn rows(&self) -> u64 {
        self.statistics.read(|book| book.machine.average(0, i64::MAX / 4).map_or(0, |row| row[0]))
    }

    async fn stop(self) -> PathBuf {
        self.shutdown.send_replace(true);
        self.task.await.unwrap();
        self.file
    }
}

#[tokio::test(start_paused = true)]
async fn it_looks_once_an_interval_and_writes_once_an_hour_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), MINUTE).await;
    tokio::time::sleep(HOUR - MINUTE).await;
    assert!(!running.file.exists(), "nothing is written before");
    assert!((59..=60).contains(&running.looks()), "{}", running.looks());
    tokio::time::sleep(2 * MINUTE).await;
    running.wait("the first write", |keeping| keeping.written == 1).await;
    tokio::time::sleep(HOUR - 5 * MINUTE).await;
    assert_eq!(running.statistics.read(|book| book.keeping.written), 1);
    tokio::time::sleep(5 * MINUTE).await;
    running.wait("the second write", |keeping| keeping.written == 2).await;
    let rows = running.rows();
    let file = running.stop().await;
    let again = start(folder.path(), MINUTE).await;
    assert!(again.rows() >= rows && file.exists());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_is_lost_with_a_kill_and_the_rest_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), MINUTE).await;
    tokio::time::sleep(HOUR + 2 * MINUTE).await;
    running.wait("a write", |keeping| keeping.written == 1).await;
    tokio::time::sleep(30 * MINUTE).await;
    let rows = running.rows();
    running.task.abort();
    let _ = running.task.await;
    let again = start(folder.path(), MINUTE).await;
    assert!((58..=62).contains(&again.rows()) && rows > 85, "{} of {rows}", again.rows());
}

#[tokio::test(start_paused = true)]
async fn without_anything_new_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = start(folder.path(), MINUTE).await.stop().await;
    assert!(!file.exists());
    let off = start(folder.path(), Duration::ZERO).await;
    tokio::time::sleep(3 * HOUR).await;
    assert_eq!(off.looks(), 0);
    assert!(!off.stop().await.exists());
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_harms_nothing_and_a_new_one_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("telemetry.sqlite"), vec![0x5A; 100_000]).unwrap();
    let running = start(folder.path(), MINUTE).await;
    assert!(running.statistics.read(|book| book.keeping.error.clone()).unwrap().contains("begun anew"));
    tokio::time::sleep(HOUR + 2 * MINUTE).await;
    running.wait("a write", |keeping| keeping.written == 1).await;
    assert_eq!(running.statistics.read(|book| book.keeping.error.clone()), None);
    let rows = running.rows();
    running.stop().await;
    assert!(folder.path().join("telemetry.sqlite.damaged").exists());
    assert!(start(folder.path(), MINUTE).await.rows() >= rows);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_cannot_be_written_costs_the_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(&folder.path().join("missing"), MINUTE).await;
    tokio::time::sleep(HOUR + 2 * MINUTE).await;
    running.wait("an error", |keeping| keeping.error.is_some()).await;
    tokio::time::sleep(10 * MINUTE).await;
    assert!(running.rows() > 65);
    running.stop().await;
}

#[test]
fn looks_fall_on_even_times() {
    let next = |machine_ms: i64| until_next(Now { wall_ms: None, machine_ms, boot_ms: 0 }, MINUTE).as_millis();
    assert_eq!((next(NOW_MS), next(NOW_MS + 1), next(NOW_MS + 30_000)), (60_000, 59_999, 30_000));
    assert_eq!(next(NOW_MS - 3), 60_003, "a clock a little behind does not look twice");
    assert_eq!(next(-1), 60_001);
}
