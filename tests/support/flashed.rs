//! A device fresh from the flasher, the cloud it is to join, and somebody who pulls its plug.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast::sandbox::cloud::{EmbeddedCloud, Endpoint, ListedDevice, Moment};
use inotify::{Inotify, WatchMask};
use serde_json::{Value, json};

use super::{Device, check, device_target, wait_for};

/// The provisioning key in the image.
pub const FLEET_KEY: &str = "fleetkey0123456789abcdef01234567";

/// When the plug is pulled.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// At the n-th call of provisioning, at this moment of it.
    Call(usize, Moment),
    /// At the n-th thing that happens to config.json or its copy.
    File(usize),
    /// Some time after the start.
    After(Duration),
}

/// A device and its cloud.
pub struct Flashed {
    pub device: Device,
    pub cloud: EmbeddedCloud,
}

impl Flashed {
    /// config.json gets `more` besides what every image has; `null` takes something away.
    pub fn new(more: &Value) -> Flashed {
        let device = Device::simulated();
        let cloud = EmbeddedCloud::start("0000", "nobody's").expect("the embedded cloud starts");
        cloud.accept_devices(FLEET_KEY, device_target(&[], &[]));
        let mut config = json!({
            "apiEndpoint": cloud.endpoint(), "apiKey": FLEET_KEY, "applicationId": 5, "deviceType": "generic-amd64",
            "bootstrapRetryDelay": 1000, "userId": 3, "country": "NL", "os": { "sshKeys": ["a"] },
        });
        config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        config.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        device.write_config(&config);
        std::fs::create_dir(device.path("data")).expect("a data directory");
        Flashed { device, cloud }
    }

    /// A device that was there before this one.
    pub fn list(&self, uuid: &str, key: &str, foreign: bool) {
        let (uuid, key) = (uuid.to_owned(), key.to_owned());
        self.cloud.list_device(ListedDevice { id: 70, uuid, key, name: None, pinned: None, foreign, registration: Value::Null });
    }

    /// What config.json says, if it can be read.
    pub fn config(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.device.path("config.json")).ok()?).ok()
    }

    /// Devices that were registered, and not there before.
    pub fn registered(&self) -> Vec<ListedDevice> {
        self.cloud.devices().into_iter().filter(|device| !device.registration.is_null()).collect()
    }

    /// Whether config.json says that the device has joined.
    pub fn has_joined(&self) -> bool {
        self.config().is_some_and(|config| config["deviceId"].is_u64() && config.get("apiKey").is_none())
    }

    /// Waits until the device has joined and polls as one that is known; then the books of both sides have to agree.
    pub fn wait_joined(&self) -> ListedDevice {
        wait_for("the device to join", || {
            check(self.has_joined(), self.device.try_get("/v3/status").map_or_else(|e| e.to_string(), |a| a.text()))
        });
        let config = self.config().expect("it was read a moment ago");
        let uuid = config["uuid"].as_str().expect("a uuid").to_owned();
        let path = format!("/device/v3/{uuid}/state");
        wait_for("a poll that is answered", || {
            let requests = self.cloud.requests();
            check(requests.iter().any(|seen| seen.path == path && matches!(seen.status, 200 | 304)), "no poll yet")
        });
        assert!(config["registered_at"].as_u64().is_some_and(|at| at > 0), "{config}");
        assert_eq!((&config["country"], &config["os"]), (&json!("NL"), &json!({ "sshKeys": ["a"] })), "what others wrote stays");
        let ours: Vec<ListedDevice> = self.cloud.devices().into_iter().filter(|device| device.uuid == uuid).collect();
        assert_eq!(ours.len(), 1, "{ours:?}");
        assert_eq!(config["deviceApiKey"], ours[0].key.as_str(), "the cloud has the key that config.json has");
        assert_eq!(config["deviceId"], ours[0].id);
        for file in ["config.json", "config.json.new", "data/config.json.good", "data/config.json.good.new"] {
            let text = std::fs::read_to_string(self.device.path(file)).unwrap_or_default();
            assert!(!text.contains(FLEET_KEY), "the provisioning key is still in {file}");
        }
        ours[0].clone()
    }

    /// Starts the device and pulls its plug. Says whether there was anything to pull: `false` when it had joined before.
    pub fn cut(&mut self, cut: Cut) -> bool {
        self.cut_before(cut, Flashed::has_joined)
    }

    /// The same with another end than that it has joined.
    pub fn cut_before(&mut self, cut: Cut, ended: impl Fn(&Flashed) -> bool) -> bool {
        let plug = Arc::new(Mutex::new(Plug::default()));
        let mut held = plug.lock().expect("nobody else has it yet");
        let files = match cut {
            Cut::Call(nth, moment) => {
                self.cloud.look_on(Some(at_call(plug.clone(), nth, moment)));
                None
            }
            Cut::File(nth) => Some(at_file(plug.clone(), nth, [self.device.path(""), self.device.path("data")])),
            Cut::After(_) => None,
        };
        self.device.spawn();
        held.pid = Some(self.device.pid());
        drop(held);
        if let Cut::After(time) = cut {
            std::thread::sleep(time);
            plug.lock().expect("whole").pull();
        }
        wait_for("the plug or the end of provisioning", || check(ended(self) || plug.lock().expect("whole").pulled, "neither"));
        self.cloud.look_on(None);
        drop(files);
        let pulled = plug.lock().expect("whole").pulled;
        self.device.kill_if_running();
        pulled
    }
}

/// The plug of one device.
#[derive(Default)]
struct Plug {
    pid: Option<u32>,
    seen: usize,
    pulled: bool,
}

impl Plug {
    /// Kills the agent and waits until it is dead: nothing it does later counts.
    fn pull(&mut self) {
        let Some(pid) = self.pid.filter(|_| !self.pulled) else { return };
        let process = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        let end = Instant::now() + Duration::from_secs(10);
        let dead = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z"));
        while !dead() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.pulled = true;
    }

    /// Counts something, and pulls at the n-th (from 0).
    fn count(&mut self, nth: usize) {
        if self.seen == nth {
            self.pull();
        }
        self.seen += 1;
    }
}

fn at_call(plug: Arc<Mutex<Plug>>, nth: usize, at: Moment) -> holdfast::sandbox::cloud::Onlooker {
    Arc::new(move |endpoint, moment| {
        let of_provisioning =
            matches!(endpoint, Endpoint::Register | Endpoint::Find | Endpoint::DeviceKey | Endpoint::Name | Endpoint::Release);
        if of_provisioning && moment == at {
            plug.lock().expect("whole").count(nth);
        }
    })
}

/// A thread that looks at files; dropping it ends it.
struct Watching {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))), "the thread that watches files failed");
    }
}

fn at_file(plug: Arc<Mutex<Plug>>, nth: usize, folders: [PathBuf; 2]) -> Watching {
    let mut inotify = Inotify::init().expect("inotify");
    for folder in folders {
        let mask = WatchMask::CREATE | WatchMask::MODIFY | WatchMask::CLOSE_WRITE | WatchMask::MOVE;
        inotify.watches().add(folder, mask).expect("a folder can be watched");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let watch = move || {
        let mut buffer = [0; 4096];
        while !stopped.load(Ordering::Relaxed) {
            let events = inotify.read_events(&mut buffer).into_iter().flatten();
            let ours = events.filter(|event| event.name.is_some_and(|name| name.to_string_lossy().starts_with("config.json")));
            ours.for_each(|_| plug.lock().expect("whole").count(nth));
            std::thread::sleep(Duration::from_micros(100));
        }
    };
    Watching { stop, thread: Some(std::thread::spawn(watch)) }
}
