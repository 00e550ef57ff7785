//! Downloads and the room for them, with the simulated engine and host under paused time.
#![cfg(feature = "sandbox")]

use std::sync::Arc;
use std::time::Duration;

use holdfast_plan::memory::{ImageRecord, Remember};
use holdfast_plan::plan::Action;

use super::{Admission, Disk, Downloads};
use crate::engine::{Engine, Progress};
use crate::reconcile::View;
use crate::reconcile::bench::{APP, Bench, Loop, entry, image, settled_on};
use crate::reconcile::execute::carry_out;
use crate::reconcile::step_error::StepError;
use crate::sandbox::engine::Entry;
use crate::sandbox::faults::{Fault, Rule};
use crate::store::{Change, Store};

/// A device and the gate before its downloads.
struct Gated {
    device: Bench,
    admission: Admission,
}

impl std::ops::Deref for Gated {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.device
    }
}

/// A device whose disk has 1000 MB, so many of them free.
fn bench(free_mb: u64) -> Gated {
    let admission = Admission { disk: Disk::default(), downloads: Arc::new(Downloads::default()) };
    Gated { device: Bench::new(free_mb), admission }
}

impl Gated {
    async fn fetch(&self, digit: char) -> Result<(), StepError> {
        let action = Action::Fetch { image: image(digit), app_uuid: APP.into(), service: "main".into() };
        let quiet: Progress = Arc::new(|_| ());
        carry_out(action, &self.tools, &self.admission, quiet).await.map(drop)
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_with_its_numbers_and_not_begun() {
    let bench = bench(300);
    bench.offer('1', &[("base", 60), ("app", 40)]);
    let error = bench.fetch('1').await.unwrap_err();
    assert!(error.is_no_space());
    let text = error.to_string();
    assert!(text.contains("250.0 MB are needed") && text.contains("200.0 MB may be written"), "{text}");
    assert!(!bench.has('1'));
    bench.set_free(350);
    bench.fetch('1').await.unwrap();
    assert!(bench.has('1'));
}

#[tokio::test(start_paused = true)]
async fn layers_that_are_there_need_no_room() {
    let bench = bench(400);
    bench.offer('1', &[("base", 60), ("app", 40)]);
    bench.offer('2', &[("base", 60), ("app of two", 40)]);
    bench.fetch('1').await.unwrap();
    bench.set_free(200);
    bench.fetch('2').await.unwrap();
    bench.offer('3', &[("another base", 60), ("app", 40)]);
    assert!(bench.fetch('3').await.unwrap_err().is_no_space());
}

#[tokio::test(start_paused = true)]
async fn two_downloads_do_not_take_the_same_room() {
    let bench = bench(400);
    for digit in ['1', '2'] {
        let slow = Entry { duration: Duration::from_secs(10), ..entry(&[(digit.to_string().as_str(), 80)]) };
        bench.engine.catalogue(|catalogue| catalogue.set(&image(digit), slow));
    }
    let (first, second) = tokio::join!(bench.fetch('1'), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let early = bench.fetch('2').await;
        tokio::time::sleep(Duration::from_secs(7)).await;
        (early, bench.fetch('2').await)
    });
    first.unwrap();
    let refused = second.0.unwrap_err().to_string();
    assert!(refused.contains("are for downloads that run already"), "{refused}");
    second.1.unwrap();
    assert!(bench.admission.downloads.state().claims.is_empty(), "places are given back");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_download_gives_its_place_back() {
    let bench = bench(400);
    bench.engine.catalogue(|c| c.set(&image('1'), Entry { duration: Duration::from_secs(60), ..entry(&[("a", 80)]) }));
    assert!(tokio::time::timeout(Duration::from_secs(5), bench.fetch('1')).await.is_err());
    assert!(bench.admission.downloads.state().claims.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_asked_stops_nothing() {
    let bench = bench(0);
    bench.offer('1', &[("base", 60)]);
    bench.engine.faults(|faults| faults.add(Rule::once("image_size", Fault::Unreachable)));
    bench.fetch('1').await.unwrap();
    assert!(bench.admission.downloads.state().silent.contains("r.io"), "said once");
    bench.offer('2', &[("app", 60)]);
    assert!(bench.fetch('2').await.unwrap_err().is_no_space());
    assert!(bench.admission.downloads.state().silent.is_empty(), "it answers again");
    bench.host.faults(|faults| faults.add(Rule::always("disk_space", Fault::Fail("no such folder".into()))));
    bench.fetch('2').await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_engines_own_word_for_a_full_disk_counts_too() {
    let bench = bench(900);
    bench.engine.set_disk_free(Some(1_000));
    let error = bench.fetch('1').await.unwrap_err();
    assert!(error.is_no_space(), "{error}");
    bench.engine.catalogue(|c| c.set(&image('2'), Entry { failure: Some("toomanyrequests".into()), ..Entry::default() }));
    bench.engine.set_disk_free(None);
    assert!(!bench.fetch('2').await.unwrap_err().is_no_space());
}

#[tokio::test(start_paused = true)]
async fn a_dangling_image_is_removed_by_its_id() {
    let bench = bench(900);
    bench.engine.add_image(holdfast_plan::current::Image { id: "sha256:nameless".into(), ..Default::default() });
    let action = Action::RemoveDangling { id: "sha256:nameless".into() };
    carry_out(action, &bench.tools, &bench.admission, Arc::new(|_| ())).await.unwrap();
    assert!(bench.engine.snapshot().images.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_cleared_of_what_nothing_references_and_the_update_goes_on() {
    let bench = bench(900);
    bench.offer('1', &[("one", 10)]);
    bench.offer('2', &[("two", 40)]);
    let left_over = bench.engine.pull(&image('9'), None, Arc::new(|_| ())).await.unwrap();
    let mut running = Loop::start(&bench).await;
    running.ask_for('1');
    running.until("release one", settled_on('1')).await;
    // An image of long ago that was never removed, and hardly any room.
    bench.engine.pull(&image('9'), None, Arc::new(|_| ())).await.unwrap();
    drop(running);
    let record = ImageRecord {
        image: image('9'),
        engine_id: left_over.id,
        app_uuid: APP.into(),
        service: "old".into(),
        size_bytes: 1,
        pulled_ms: None,
    };
    bench.store.commit(vec![Change::Remember(Remember::Image(record))]).await.unwrap();
    bench.set_free(150);
    let mut running = Loop::start(&bench).await;
    running.ask_for('2');
    running.until("the refusal", |view| view.memory.failures.values().any(|failure| failure.no_space)).await;
    running.until("the removal", |view| !view.memory.images.contains_key(&image('9').to_string())).await;
    assert!(!bench.has('9') && bench.has('1'), "the running release's image stays");
    let numbers = |view: &View| view.plan.waiting.iter().any(|wait| wait.reason.to_string().contains("100.0 MB are needed"));
    running.until("the numbers as the reason", numbers).await;
    bench.set_free(400);
    running.until("release two", settled_on('2')).await;
    assert!(!bench.has('1'), "superseded");
}

#[tokio::test(start_paused = true)]
async fn a_dangling_image_that_cannot_go_is_left_for_an_hour_on_a_settled_device() {
    let bench = bench(900);
    bench.offer('1', &[("one", 10)]);
    bench.engine.add_image(holdfast_plan::current::Image { id: "sha256:nameless".into(), ..Default::default() });
    let child = Fault::Fail("image has dependent child images".into());
    bench.engine.faults(|faults| faults.add(Rule::once("remove_image_by_id", child)));
    let mut running = Loop::start(&bench).await;
    running.ask_for('1');
    let noted = |view: &View| view.plan.waiting.iter().any(|wait| wait.reason.to_string().contains("is left for now"));
    running.until("the note", |view| settled_on('1')(view) && noted(view)).await;
    let since = tokio::time::Instant::now();
    running.until("its removal", |view| settled_on('1')(view) && view.current.engine.images.len() == 1).await;
    assert!(since.elapsed() >= Duration::from_secs(3590), "{:?}", since.elapsed());
}
