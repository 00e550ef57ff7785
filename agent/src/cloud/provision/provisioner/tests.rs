//! The loop against a cloud that keeps a list of devices, on a real config.json.

use std::collections::VecDeque;
use std::sync::Mutex;

use holdfast_plan::policy::Now;
use serde_json::Value;
use tokio::time::Instant;

use super::*;

const OURS: &str = "0123456789abcdef0123456789abcdef";

#[derive(Default)]
struct Books {
    /// Devices by uuid: id and key.
    devices: Vec<(String, u64, String)>,
    /// Devices that the provisioning key may not see.
    foreign: Vec<String>,
    /// Names given.
    names: Vec<(u64, String)>,
    /// Devices that were pinned, and to which release.
    pinned: Vec<(u64, Pin)>,
    /// Errors for the next calls; `None` lets one through.
    errors: VecDeque<Option<CloudError>>,
    /// When each call was made, and which.
    calls: Vec<(Duration, &'static str)>,
    /// The answer to the next registration is lost after it was made.
    lose: bool,
}

struct BookCloud {
    books: Mutex<Books>,
    uuid: String,
    key: String,
    begin: Instant,
}

impl BookCloud {
    fn called(&self, call: &'static str) -> Result<std::sync::MutexGuard<'_, Books>, CloudError> {
        let mut books = self.books.lock().unwrap();
        books.calls.push((self.begin.elapsed(), call));
        match books.errors.pop_front().flatten() {
            Some(error) => Err(error),
            None => Ok(books),
        }
    }
}

#[async_trait::async_trait]
impl Registrar for BookCloud {
    async fn register(&self, body: &Value) -> Result<Registered, CloudError> {
        let mut books = self.called("register")?;
        let (uuid, key) = (body["uuid"].as_str().unwrap().to_owned(), body["api_key"].as_str().unwrap().to_owned());
        if books.devices.iter().any(|device| device.0 == uuid) {
            return Ok(Registered::Taken);
        }
        let id = books.devices.len() as u64 + 1;
        books.devices.push((uuid, id, key));
        if std::mem::take(&mut books.lose) { Err(busy(None)) } else { Ok(Registered::As(id)) }
    }

    async fn find(&self, key: KeyOf) -> Result<Option<u64>, CloudError> {
        let books = self.called(if key == KeyOf::Device { "find-own" } else { "find-fleet" })?;
        let visible = books.devices.iter().find(|(uuid, _, device_key)| {
            uuid == &self.uuid && if key == KeyOf::Device { device_key == &self.key } else { !books.foreign.contains(uuid) }
        });
        Ok(visible.map(|device| device.1))
    }

    async fn install(&self, id: u64, device_key: &str) -> Result<Installed, CloudError> {
        let mut books = self.called("install")?;
        let device = books.devices.iter_mut().find(|device| device.1 == id).unwrap();
        device.2 = device_key.to_owned();
        Ok(Installed::Yes)
    }

    async fn name(&self, id: u64, name: &str) -> Result<(), CloudError> {
        self.called("name")?.names.push((id, name.to_owned()));
        Ok(())
    }

    async fn pin(&self, id: u64, pin: &Pin) -> Result<bool, CloudError> {
        let mut books = self.called("pin")?;
        books.pinned.push((id, pin.clone()));
        Ok(pin.commit != "unknown")
    }
}

fn busy(retry_after_s: Option<u64>) -> CloudError {
    let retry_after = retry_after_s.map(Duration::from_secs);
    CloudError::Status { call: "POST x".into(), status: 503, message: ": busy".into(), retry_after }
}

struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Now {
        let ms = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        Now { wall_ms: None, machine_ms: 1_800_000_000_000 + ms, boot_ms: ms }
    }
}

struct Bench {
    folder: tempfile::TempDir,
    cloud: Arc<BookCloud>,
    begin: Instant,
    hurry: Arc<Notify>,
    joined: watch::Sender<bool>,
    pin: Option<Pin>,
    view: watch::Sender<CloudView>,
    shutdown: watch::Sender<bool>,
}

impl Bench {
    fn new(more: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            r#"{{"apiEndpoint":"https://api.example.com","apiKey":"p","applicationId":5,"deviceType":"x","uuid":"{OURS}","deviceApiKey":"k"{more}}}"#
        );
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let begin = Instant::now();
        let cloud = BookCloud { books: Mutex::default(), uuid: OURS.into(), key: "k".into(), begin };
        Bench {
            folder,
            cloud: Arc::new(cloud),
            begin,
            hurry: Arc::default(),
            joined: watch::Sender::new(false),
            pin: None,
            view: watch::Sender::default(),
            shutdown: watch::Sender::new(false),
        }
    }

    fn file(&self) -> ConfigFile {
        ConfigFile::new(&self.folder.path().join("config.json"), self.folder.path())
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.cloud.books.lock().unwrap()
    }

    fn calls(&self) -> Vec<&'static str> {
        self.books().calls.iter().map(|call| call.1).collect()
    }

    fn start(&self) -> tokio::task::JoinHandle<Ended> {
        let cloud = self.file().cloud();
        let device = Description { device_type: cloud.device_type.clone(), ..Description::default() };
        let clock = Arc::new(PausedClock(self.begin));
        let need = Need::of(&cloud).or(cloud.device_id.map(Need::Pin)).unwrap();
        let rng = fastrand::Rng::with_seed(1);
        let provisioner =
            Provisioner::new(need, cloud, device, self.file(), self.cloud.clone(), clock, rng).pinned(self.pin.clone());
        let links = ProvisionLinks {
            hurry: self.hurry.clone(),
            joined: self.joined.clone(),
            view: self.view.clone(),
            shutdown: self.shutdown.subscribe(),
        };
        tokio::spawn(provisioner.run(links))
    }

    async fn run(&self) -> Ended {
        self.start().await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_registers_gets_its_name_and_drops_the_key() {
    let bench = Bench::new(r#","initialDeviceName":"hall""#);
    assert_eq!(bench.run().await, Ended::Joined);
    let now = bench.file().cloud();
    assert_eq!((now.device_id, now.api_key, now.registered_at.is_some()), (Some(1), None, true));
    assert_eq!(bench.books().names, [(1, "hall".to_owned())]);
    assert_eq!(bench.calls(), ["register", "name"]);
    assert!(*bench.joined.borrow() && bench.view.borrow().provisioning.is_none());
}

/// A device that was polled for meanwhile would follow its fleet away from what it was preloaded with.
#[tokio::test(start_paused = true)]
async fn a_preloaded_device_has_not_joined_before_it_is_pinned() {
    let known = r#","deviceId":9,"registered_at":1700000000"#;
    for (more, devices) in [("", vec![]), (known, vec![(OURS.to_owned(), 9, "k".to_owned())])] {
        let mut bench = Bench::new(more);
        let pin = Pin { app: 5, commit: "c0ffee".into() };
        bench.pin = Some(pin.clone());
        let id = devices.first().map_or(1, |device| device.1);
        bench.books().devices = devices;
        bench.books().errors = [None, Some(busy(None)), Some(busy(None))].into();
        let mut view = bench.view.subscribe();
        let running = bench.start();
        let failed = view.wait_for(|view| view.provisioning.as_ref().is_some_and(|p| p.failures == 2));
        drop(failed.await.unwrap());
        assert!(!*bench.joined.borrow());
        assert_eq!(running.await.unwrap(), Ended::Joined);
        assert!(*bench.joined.borrow());
        assert_eq!(bench.books().pinned, [(id, pin)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_joined_device_is_pinned_and_a_release_that_is_not_there_keeps_nobody_out() {
    let mut bench = Bench::new("");
    assert_eq!(bench.run().await, Ended::Joined);
    let before = std::fs::read(bench.folder.path().join("config.json")).unwrap();
    let refused = |status| CloudError::Status { call: "PATCH x".into(), status, message: String::new(), retry_after: None };
    for (commit, error) in [("c0ffee", None), ("unknown", None), ("c0ffee", Some(refused(400)))] {
        bench.pin = Some(Pin { app: 5, commit: commit.into() });
        bench.books().calls.clear();
        bench.books().errors = [error].into();
        assert_eq!(bench.run().await, Ended::Joined);
        assert_eq!(bench.calls(), ["pin"]);
        assert_eq!(std::fs::read(bench.folder.path().join("config.json")).unwrap(), before, "nothing else changes");
    }
}

#[tokio::test(start_paused = true)]
async fn it_tries_for_ever_with_growing_waits_and_says_so() {
    let bench = Bench::new("");
    bench.books().errors = std::iter::repeat_with(|| Some(busy(None))).take(12).collect();
    let mut view = bench.view.subscribe();
    let running = bench.start();
    let shown = view.wait_for(|view| view.provisioning.as_ref().is_some_and(|p| p.failures == 2 && p.next_try_boot_ms.is_some()));
    let shown = shown.await.unwrap().provisioning.clone().unwrap();
    assert_eq!(shown.doing, "registering with https://api.example.com");
    assert!(shown.error.unwrap().contains("answered 503: busy"));
    assert!(!*bench.joined.borrow());
    assert_eq!(running.await.unwrap(), Ended::Joined);
    let times: Vec<u64> = bench.books().calls.iter().map(|call| call.0.as_secs()).collect();
    let waits: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, least) in waits.iter().zip([30, 60, 120, 240, 480, 900, 900, 900, 900, 900, 900, 900]) {
        assert!((least..=least + least / 10 + 1).contains(wait), "{waits:?}");
    }
    assert_eq!(bench.books().devices.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_cloud_may_ask_for_patience_and_a_person_for_haste() {
    let bench = Bench::new("");
    bench.books().errors = [Some(busy(Some(7200)))].into();
    assert_eq!(bench.run().await, Ended::Joined);
    assert!(bench.books().calls[1].0 >= Duration::from_secs(7200));

    let bench = Bench::new("");
    bench.books().errors = [Some(busy(Some(7200)))].into();
    let mut view = bench.view.subscribe();
    let running = bench.start();
    view.wait_for(|view| view.provisioning.as_ref().is_some_and(|p| p.failures == 1)).await.unwrap();
    bench.hurry.notify_one();
    assert_eq!(running.await.unwrap(), Ended::Joined);
    assert!(bench.books().calls[1].0 < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_second_device() {
    let bench = Bench::new("");
    bench.books().lose = true;
    assert_eq!(bench.run().await, Ended::Joined);
    assert_eq!(bench.calls(), ["register", "register", "find-own"]);
    assert_eq!((bench.books().devices.len(), bench.file().cloud().device_id), (1, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_device_whose_key_was_lost_gets_its_new_one_installed() {
    let bench = Bench::new("");
    bench.books().devices = vec![(OURS.into(), 9, "lost".into())];
    assert_eq!(bench.run().await, Ended::Joined);
    assert_eq!(bench.calls(), ["register", "find-own", "find-fleet", "install"]);
    assert_eq!((bench.books().devices[0].2.as_str(), bench.file().cloud().device_id), ("k", Some(9)));
}

#[tokio::test(start_paused = true)]
async fn a_uuid_of_anothers_is_given_up() {
    let bench = Bench::new("");
    bench.books().devices = vec![(OURS.into(), 9, "theirs".into())];
    bench.books().foreign = vec![OURS.into()];
    assert_eq!(bench.run().await, Ended::Changed);
    let now = bench.file().cloud();
    let once = ["register", "find-own", "find-fleet"];
    assert_eq!(bench.calls(), [once, once].concat(), "the cloud was asked twice");
    assert!(now.uuid.as_deref() != Some(OURS) && now.device_api_key != Some("k".into()), "{now:?}");
    assert_eq!((now.api_key, now.registered_at), (Some("p".into()), None));
    assert!(!*bench.joined.borrow());
}

#[tokio::test(start_paused = true)]
async fn no_trouble_of_the_cloud_is_taken_for_a_useless_identity() {
    let bench = Bench::new("");
    bench.books().devices = vec![(OURS.into(), 9, "lost".into())];
    let refused = || Some(CloudError::Unauthorised { call: "x".into(), meaning: "key", retry_after: None });
    for _ in 0..5 {
        bench.books().errors.extend([None, None, Some(busy(None))]);
        bench.books().errors.extend([None, None, refused()]);
        bench.books().errors.extend([None, None, None, Some(busy(None))]);
    }
    assert_eq!(bench.run().await, Ended::Joined);
    assert_eq!((bench.file().cloud().uuid.as_deref(), bench.file().cloud().device_id), (Some(OURS), Some(9)));
}

#[tokio::test(start_paused = true)]
async fn a_known_device_goes_on_while_its_key_is_exchanged() {
    let bench = Bench::new(r#","registered_at":5,"deviceId":9"#);
    bench.books().devices = vec![(OURS.into(), 9, "k".into())];
    bench.books().errors = [Some(busy(None))].into();
    let mut joined = bench.joined.subscribe();
    let running = bench.start();
    joined.wait_for(|joined| *joined).await.unwrap();
    assert_eq!(bench.calls(), ["find-own"]);
    assert_eq!(running.await.unwrap(), Ended::Joined);
    let now = bench.file().cloud();
    assert_eq!((now.registered_at, now.device_id, now.api_key), (Some(5), Some(9), None));
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named() {
    let bench = Bench::new("");
    let text = std::fs::read_to_string(bench.folder.path().join("config.json")).unwrap();
    std::fs::write(bench.folder.path().join("config.json"), text.replace(r#""applicationId":5,"#, "")).unwrap();
    let mut view = bench.view.subscribe();
    let running = bench.start();
    let shown = view.wait_for(|view| view.provisioning.as_ref().is_some_and(|p| p.failures > 0)).await.unwrap().clone();
    assert!(shown.provisioning.unwrap().error.unwrap().contains("applicationId"));
    assert_eq!(bench.calls(), [""; 0]);
    bench.shutdown.send_replace(true);
    assert_eq!(running.await.unwrap(), Ended::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_not_wanted_is_no_obstacle() {
    let bench = Bench::new(r#","initialDeviceName":"hall""#);
    let refused = CloudError::Status { call: "x".into(), status: 400, message: String::new(), retry_after: None };
    bench.books().errors = [None, Some(refused)].into();
    assert_eq!(bench.run().await, Ended::Joined);
    assert_eq!(bench.calls(), ["register", "name"]);
}
