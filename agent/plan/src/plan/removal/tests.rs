//! Images over their whole life: recorded, found under any name, kept, forgotten, removed.

use serde_json::{Value, json};

use crate::current::{Current, Image};
use crate::facts::Facts;
use crate::forecast::apply;
use crate::memory::{Failure, ImageRecord, Memory, Rejected, Remember, Trial};
use crate::order::{Order, Stage, Task};
use crate::plan::{Action, Input, Plan, Reason, plan};
use crate::policy::{Now, Policy};
use crate::target::{DeviceTarget, ImageRef, RefusedApp, parse};

const DEVICE: &str = "00112233445566778899aabbccddeeff";
const APP: &str = "aabbccddeeff00112233445566778899";
const NOW: Now = Now { wall_ms: Some(1_800_000_000_000), machine_ms: 1_800_000_000_000, boot_ms: 50_000 };

/// `r.io/<repository>@sha256:<64 times one digit>`.
fn reference(repository: &str, digit: char) -> String {
    format!("r.io/{repository}@sha256:{}", digit.to_string().repeat(64))
}

fn image(text: &str) -> ImageRef {
    text.parse().unwrap()
}

/// One service of a target: its name, its image, its labels.
type Service<'a> = (&'a str, String, Value);

fn target(commit: &str, services: &[Service<'_>]) -> DeviceTarget {
    let services: serde_json::Map<String, Value> = services
        .iter()
        .enumerate()
        .map(|(n, (name, image, labels))| {
            let service = json!({ "id": n + 1, "image_id": n + 1, "image": image, "labels": labels, "environment": {},
                "composition": {} });
            ((*name).to_owned(), service)
        })
        .collect();
    let releases = json!({ commit: { "id": 1, "services": services, "networks": {}, "volumes": {} } });
    let app = json!({ "id": 1, "name": "fleet", "class": "fleet", "is_host": false, "releases": releases });
    let document = json!({ DEVICE: { "name": "d", "config": {}, "apps": { APP: app } } });
    let target = parse(&document, DEVICE).unwrap();
    assert!(target.refused.is_empty(), "{:?}", target.refused);
    target
}

/// A device, and what planning makes of it.
#[derive(Clone, Default)]
struct Device {
    current: Current,
    memory: Memory,
    policy: Policy,
    target: DeviceTarget,
}

impl Device {
    /// A device that has settled on a target.
    fn at(target: DeviceTarget) -> Device {
        let memory = Memory { target_stored: true, ..Memory::default() };
        let policy = Policy { clean_dangling: true, ..Policy::default() };
        let mut device = Device { memory, policy, target, ..Device::default() };
        device.run();
        device
    }

    fn plan(&self) -> Plan {
        let (current, target, memory, policy) = (&self.current, &self.target, &self.memory, &self.policy);
        plan(&Input { current, target, memory, facts: &Facts::default(), policy, now: NOW })
    }

    /// Carries the plan out to its end.
    fn run(&mut self) {
        for _ in 0..50 {
            let steps = self.plan().steps;
            if steps.is_empty() {
                return;
            }
            steps.iter().for_each(|step| apply(&mut self.current, &mut self.memory, step, NOW));
        }
        panic!("the plan does not end: {:?}", self.plan());
    }

    /// The first round of a download: the image is recorded before it is asked for.
    fn with_download_recorded(mut self) -> Device {
        for step in self.plan().steps.iter().filter(|step| matches!(step.action, Action::Remember { .. })) {
            apply(&mut self.current, &mut self.memory, step, NOW);
        }
        self
    }

    /// A record of an image, and the image itself where `present` says so.
    fn with_record(mut self, text: &str, id: &str, present: bool) -> Device {
        let record = ImageRecord {
            image: image(text),
            engine_id: id.into(),
            app_uuid: APP.into(),
            service: "old".into(),
            size_bytes: 1,
            pulled_ms: None,
        };
        self.memory.apply(&Remember::Image(record));
        if present {
            self.current.engine.images.push(Image { id: id.into(), digests: vec![text.into()], ..Image::default() });
        }
        self
    }

    /// A download of the new release failed.
    fn with_failure(mut self, digit: char, no_space: bool) -> Device {
        let key = format!("fetch sha256:{}", digit.to_string().repeat(64));
        let failure = Failure { error: "no room".into(), count: 1, retry_boot_ms: NOW.boot_ms + 1_000, no_space };
        self.memory.failures.insert(key, failure);
        self
    }

    fn removed(&self) -> Vec<String> {
        let steps = self.plan().steps;
        let removed = steps.iter().filter_map(|step| match &step.action {
            Action::RemoveImage { image } => Some(image.to_string()),
            Action::RemoveDangling { id } => Some(id.clone()),
            _ => None,
        });
        removed.collect()
    }
}

fn main_at(commit: &str, digit: char) -> DeviceTarget {
    target(commit, &[("main", reference("main", digit), json!({}))])
}

#[test]
fn superseded_images_go_once_the_new_release_runs() {
    let mut device = Device::at(main_at("one", '1'));
    assert_eq!(device.removed(), [""; 0]);
    device.target = main_at("two", '2');
    let mut device = device.with_download_recorded();
    let fetch = device.plan();
    assert!(fetch.steps.iter().any(|step| matches!(step.action, Action::Fetch { .. })), "{fetch:?}");
    assert_eq!(device.removed(), [""; 0]);
    device.run();
    assert_eq!(device.memory.images.keys().collect::<Vec<_>>(), [&reference("main", '2')]);
    assert_eq!(device.current.engine.images.len(), 1);
}

#[test]
fn a_download_without_room_frees_what_nothing_references_and_no_more() {
    let mut device = Device::at(main_at("one", '1')).with_record(&reference("old", '9'), "sha256:old", true);
    device.target = main_at("two", '2');
    let device = device.with_download_recorded();
    assert_eq!(device.clone().with_failure('2', false).removed(), [""; 0], "another failure removes nothing");
    let mut device = device.with_failure('2', true);
    assert_eq!(device.removed(), [reference("old", '9')], "the running release's image stays");
    let plan = device.plan();
    assert!(plan.steps.iter().all(|step| step.why == Reason::RoomNeeded), "{plan:?}");
    assert!(plan.waiting.iter().any(|wait| matches!(&wait.reason, Reason::Retry { error, .. } if error == "no room")));
    device.run();
    assert_eq!(device.removed(), [""; 0]);
}

#[test]
fn the_way_back_from_a_trial_is_kept_also_without_room() {
    let with_strategy = |strategy: &str| {
        let labels = json!({ "io.balena.update.strategy": strategy });
        let mut device = Device::at(target("one", &[("main", reference("main", '1'), labels.clone())]));
        device.target = target("two", &[("main", reference("main", '2'), labels)]);
        // Kill first: its container is gone and the new image not there yet.
        device.current.engine.containers.clear();
        device.with_failure('2', true)
    };
    let device = with_strategy("kill-then-download");
    assert_eq!(device.removed(), [reference("main", '1')], "not on trial, nothing to go back to");
    let on_trial = |mut device: Device| {
        let trial = Trial { commit: "two".into(), starts: 1, since_boot_ms: Some(NOW.boot_ms) };
        device.memory.trials.insert(APP.into(), trial);
        device
    };
    assert_eq!(on_trial(device.clone()).removed(), [""; 0]);
    assert_eq!(on_trial(with_strategy("delete-then-download")).removed(), [reference("main", '1')]);
    let mut unreadable = on_trial(device);
    unreadable.memory.settled.get_mut(APP).unwrap().document = json!(null);
    assert_eq!(unreadable.removed(), [""; 0], "what cannot be read is not removed");
}

#[test]
fn a_rejected_release_leaves_the_restored_ones_images() {
    let mut device = Device::at(main_at("one", '1'));
    device.target = main_at("two", '2');
    device.memory.rejected.insert(APP.into(), Rejected { commit: "two".into(), why: "unhealthy".into() });
    device.current.engine.containers.clear();
    assert_eq!(device.clone().with_failure('1', true).removed(), [""; 0]);
    device.run();
    assert!(device.memory.images.contains_key(&reference("main", '1')));
}

/// Its own strategy may have given its image up for the rejected one: it is downloaded again, and room may still be needed.
#[test]
fn a_restored_release_keeps_what_it_downloads_again() {
    let labels = json!({ "io.balena.update.strategy": "delete-then-download" });
    let mut device = Device::at(target("one", &[("main", reference("main", '1'), labels.clone())]));
    device.target = target("two", &[("main", reference("main", '2'), labels.clone())]);
    device.current.engine.containers.clear();
    let rejected = Rejected { commit: "two".into(), why: "unhealthy".into() };
    let restored = |mut device: Device| {
        device.memory.rejected.insert(APP.into(), rejected.clone());
        device
    };
    let ordered = |mut device: Device| {
        let order = Order { stage: Stage::Restoring, as_settled: true, ..Order::new(Task::Restart(None), None, NOW.boot_ms) };
        device.memory.orders.insert(1, order);
        device
    };
    for device in [restored(device.clone()), ordered(device.clone())] {
        assert_eq!(device.clone().with_failure('9', true).removed(), [""; 0], "it is there and about to be used");
        let mut device = device.with_failure('9', true);
        device.memory.images.clear();
        device.current.engine.images.clear();
        let mut device = device.with_download_recorded();
        device.current.in_flight.insert(format!("fetch sha256:{}", "1".repeat(64)), Some(50));
        assert_eq!(device.plan().steps, [], "what is on its way stays on record");
    }
    let three = target("three", &[("main", reference("main", '3'), labels)]);
    let moved_on = Device { target: three, ..restored(device) };
    assert_eq!(moved_on.removed(), [reference("main", '1')], "the next release takes its place");
}

#[test]
fn an_agent_without_a_target_removes_nothing() {
    let mut device =
        Device::at(main_at("one", '1')).with_record(&reference("old", '9'), "sha256:old", true).with_failure('2', true);
    device.current.engine.images.push(Image { id: "sha256:dangling".into(), ..Image::default() });
    assert_eq!(device.removed(), [reference("old", '9')]);
    device.memory.target_stored = false;
    device.memory.failures.clear();
    assert_eq!(device.removed(), [""; 0]);
}

#[test]
fn dangling_images_go_when_nothing_else_is_left_to_do() {
    let mut device = Device::at(main_at("one", '1'));
    let by_digest = Image { id: "sha256:named".into(), digests: vec![reference("x", '7')], ..Image::default() };
    device.current.engine.images.push(by_digest);
    device.current.engine.images.push(Image { id: "sha256:dangling".into(), ..Image::default() });
    assert_eq!(device.removed(), ["sha256:dangling"], "an image pulled by digest is not dangling");
    let off = Policy { clean_dangling: false, ..device.policy.clone() };
    assert_eq!(Device { policy: off, ..device.clone() }.removed(), [""; 0]);
    let busy = Device { target: main_at("two", '2'), ..device.clone() };
    assert_eq!(busy.removed(), [""; 0]);
    let mut in_flight = device.clone();
    in_flight.current.in_flight.insert("fetch something".into(), None);
    assert_eq!(in_flight.removed(), [""; 0]);
    let recorded = device.clone().with_record(&reference("main", '1'), "sha256:dangling", false);
    assert_eq!(recorded.removed(), [""; 0], "a record of it is a use");
    let mut used = device.clone();
    used.current.engine.containers[0].image_id = "sha256:dangling".into();
    assert_eq!(used.removed(), [""; 0]);
    device.run();
    assert_eq!(device.current.engine.images.len(), 2);
}

#[test]
fn a_dangling_image_that_cannot_be_removed_leaves_the_device_settled() {
    let mut device = Device::at(main_at("one", '1'));
    device.current.engine.images.push(Image { id: "sha256:dangling".into(), ..Image::default() });
    let retry_boot_ms = NOW.boot_ms + 3_600_000;
    let failure = Failure { error: "has dependent child images".into(), count: 1, retry_boot_ms, no_space: false };
    device.memory.failures.insert("image sha256:dangling".into(), failure);
    let plan = device.plan();
    assert!(plan.is_settled(), "{plan:?}");
    assert_eq!(plan.wake_boot_ms, Some(retry_boot_ms));
    let [wait] = plan.waiting.as_slice() else { panic!("{plan:?}") };
    assert!(wait.reason.to_string().contains("sha256:dangling cannot be removed"), "{}", wait.reason);
}

#[test]
fn records_of_vanished_images_are_forgotten_unless_wanted() {
    let mut device = Device::at(main_at("one", '1')).with_record(&reference("old", '9'), "sha256:old", false);
    let plan = device.plan();
    let forget = Action::Remember { change: Remember::ForgetImage { image: reference("old", '9') } };
    assert_eq!(plan.steps.iter().map(|step| &step.action).collect::<Vec<_>>(), [&forget]);
    device.run();
    // A wanted one that vanished is only pulled again when something has to be made from it.
    device.current.engine.images.clear();
    assert_eq!(device.plan().steps, []);
    device.current.engine.containers.clear();
    let plan = device.plan();
    assert!(plan.steps.iter().any(|step| matches!(step.action, Action::Fetch { .. })), "{plan:?}");
}

#[test]
fn a_record_with_another_engine_id_is_put_right() {
    let wanted = reference("main", '1');
    let mut device = Device::at(main_at("one", '1'));
    let id = device.memory.images[&wanted].engine_id.clone();
    device.memory.images.get_mut(&wanted).unwrap().engine_id = "sha256:of-an-earlier-life".into();
    let plan = device.plan();
    let [step] = plan.steps.as_slice() else { panic!("{plan:?}") };
    assert!(matches!(&step.action, Action::AdoptImage { record } if record.engine_id == id), "{step:?}");
    device.run();
    assert_eq!(device.memory.images[&wanted].engine_id, id);
}

#[test]
fn one_content_under_several_names_is_pulled_once_and_found_under_all() {
    let two = target("one", &[("a", reference("a", '1'), json!({})), ("b", reference("b", '1'), json!({}))]);
    let empty = Device { memory: Memory { target_stored: true, ..Memory::default() }, target: two.clone(), ..Device::default() };
    let fetches =
        empty.with_download_recorded().plan().steps.iter().filter(|step| matches!(step.action, Action::Fetch { .. })).count();
    assert_eq!(fetches, 1);
    let mut device = Device::at(two);
    assert_eq!(device.current.engine.images.len(), 1);
    assert_eq!(device.memory.images.len(), 2, "both names are recorded: {:?}", device.memory.images);
    // One of the names leaves the target: its record stays as long as the content is wanted.
    device.target = target("two", &[("b", reference("b", '1'), json!({}))]);
    device.run();
    assert_eq!(device.current.engine.images.len(), 1);
    assert!(device.memory.images.contains_key(&reference("b", '1')));
}

#[test]
fn another_name_for_wanted_content_is_not_removed_from_under_it() {
    let wanted = reference("main", '1');
    let device = Device::at(main_at("one", '1'));
    let id = device.memory.images[&wanted].engine_id.clone();
    // The same content pushed twice to one repository: removing the repository's references would take both.
    let device = device.with_record(&reference("main", '8'), &id, false);
    assert_eq!(device.removed(), [""; 0]);
}

/// A refused app's images stay, also where their content has another app's name too.
#[test]
fn content_of_a_refused_app_is_not_removed_under_another_name() {
    let mut device = Device::at(main_at("one", '1')).with_record(&reference("old", '9'), "sha256:shared", true);
    let mut record = device.memory.images[&reference("old", '9')].clone();
    record.image = image(&reference("of-the-refused", '9'));
    record.app_uuid = "refused".into();
    device.memory.apply(&Remember::Image(record));
    assert_eq!(device.clone().removed().len(), 2, "without the refused app both names go");
    let refused = RefusedApp { id: None, name: None, commit: None, offences: Vec::new() };
    device.target.refused.insert("refused".into(), refused);
    assert_eq!(device.removed(), [""; 0]);
}

/// The settled release is pulled again where its images are gone: nobody asks for them but the agent.
#[test]
fn what_a_restored_release_needs_is_not_given_up() {
    let mut device = Device::at(main_at("one", '1'));
    device.target = main_at("two", '2');
    let rejected = Rejected { commit: "two".into(), why: "unhealthy".into() };
    device.memory.rejected.insert(APP.into(), rejected);
    device.current.engine.images.clear();
    for digit in ['1', '2', '3'] {
        device.current.in_flight.insert(format!("fetch sha256:{}", digit.to_string().repeat(64)), None);
    }
    assert_eq!(device.plan().cancel, [format!("fetch sha256:{}", "3".repeat(64))]);
}
