//! The loop on the simulated device: what it does again and again, and what it does not.

use std::time::Duration;

use holdfast_plan::current::EngineState;
use holdfast_plan::target::RefusedApp;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::reconcile::bench::{APP, Bench, Loop, entry, image, settled_on, target};
use crate::reconcile::keys::departed;
use crate::reconcile::{Phase, Request, View};
use crate::sandbox::engine::Entry;
use crate::sandbox::faults::{Fault, Rule};
use crate::store::Store;

/// What `holdfast status` would show as wrong.
fn faults(running: &Loop) -> Vec<String> {
    running.view.borrow().faults.iter().map(|fault| fault.message.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn lock_folders_that_cannot_be_read_are_asked_more_and_more_rarely() {
    let bench = Bench::new(900);
    bench.host.faults(|faults| faults.add(Rule { times: 12, ..Rule::once("locks", Fault::Fail("input/output error".into())) }));
    let begin = Instant::now();
    let mut running = Loop::start(&bench).await;
    running.ask_for('1');
    sleep(Duration::from_secs(100)).await;
    let shown = faults(&running);
    assert!(
        shown.len() == 1 && shown[0].contains("update locks cannot be read") && shown[0].contains("input/output"),
        "{shown:?}"
    );
    assert!(bench.engine.snapshot().containers.is_empty(), "nothing is changed meanwhile");
    let said = running.said().iter().filter(|message| message.contains("update locks cannot be read")).count();
    assert_eq!(said, 1);
    running.until("release one", settled_on('1')).await;
    // Twelve times in vain: after 1, 2, 4, 8, 16 s and then every 30 s. The target's own look came in between.
    let lasted = begin.elapsed().as_secs();
    assert!((200..260).contains(&lasted), "{lasted}");
    assert_eq!(faults(&running), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_download_whose_turn_has_not_come_keeps_its_back_off() {
    let bench = Bench::new(900);
    // One image fails for ever; three others take their time while its next try comes and goes.
    bench.engine.catalogue(|catalogue| {
        let failure = Some("toomanyrequests".to_owned());
        catalogue.set(&image('1'), Entry { failure, ..Entry::default() });
        for digit in ['2', '3', '4', '5', '6', '7'] {
            let slow = Entry { duration: Duration::from_secs(20), ..entry(&[(digit.to_string().as_str(), 1)]) };
            catalogue.set(&image(digit), slow);
        }
    });
    let running = Loop::start(&bench).await;
    let services: Vec<_> =
        ["a", "b", "c", "d", "e", "f", "g"].into_iter().zip('1'..='7').map(|(n, d)| (n, d, json!({}))).collect();
    running.want(target('1', &services));
    let count = |running: &Loop| running.view.borrow().memory.failures.values().map(|failure| failure.count).max().unwrap_or(0);
    let waits = |running: &Loop| running.view.borrow().plan.waiting.iter().any(|w| w.reason.to_string().contains("for its turn"));
    let (mut most, mut has_waited, begin) = (0, false, Instant::now());
    while begin.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(250)).await;
        let now = count(&running);
        assert!(now >= most, "after {:?} the count fell from {most} to {now}", begin.elapsed());
        most = now;
        has_waited |= waits(&running);
    }
    assert!(most >= 3 && has_waited, "{most}");
}

#[tokio::test(start_paused = true)]
async fn keys_of_services_that_left_are_dropped_and_made_anew_when_they_come_back() {
    let bench = Bench::new(900);
    bench.offer('1', &[("one", 10)]);
    let asks = json!({ "labels": { "io.balena.features.supervisor-api": "1" } });
    let both = |digit| target(digit, &[("main", '1', asks.clone()), ("extra", '1', asks.clone())]);
    let mut running = Loop::start(&bench).await;
    let kept = |view: &View| view.keys.iter().map(|(owner, key)| (owner.clone(), key.reveal().to_owned())).collect::<Vec<_>>();
    let of_main = |bench: &Bench| {
        let containers = bench.engine.snapshot().containers;
        containers.iter().find(|c| c.spec.name.starts_with("main")).map(|c| c.id.clone()).unwrap()
    };
    running.want(both('1'));
    running.until("both", |view| settled_on('1')(view) && view.keys.iter().count() == 3).await;
    let (before, main) = (kept(&running.view.borrow()), of_main(&bench));

    // While its container is there a service keeps its key, whatever the target says.
    let view = running.view.borrow().clone();
    let without = target('2', &[("main", '1', asks.clone())]);
    assert_eq!(departed(&without, &view.current.engine, &view.keys), []);
    assert_eq!(departed(&without, &EngineState::default(), &view.keys), [Some((1, "extra".to_owned()))]);
    // So it does when the target of its app is refused.
    let mut refused = both('1');
    let app = refused.apps.remove(APP).unwrap();
    refused.refused.insert(APP.into(), RefusedApp { id: Some(app.id), name: None, commit: None, offences: Vec::new() });
    let rounds = running.view.borrow().rounds;
    running.want(refused);
    running.until("a look", |view| view.rounds > rounds && view.target.as_ref().is_some_and(|t| t.apps.is_empty())).await;
    assert_eq!(kept(&running.view.borrow()), before);

    // A release without one of them.
    running.want(without);
    running.until("one", |view| settled_on('2')(view) && view.keys.iter().count() == 2).await;
    assert_eq!(kept(&running.view.borrow()), [before[0].clone(), before[2].clone()], "the others' stay");
    let stored = bench.store.load("", "00112233445566778899aabbccddeeff").await.unwrap();
    assert_eq!(stored.api_keys.keys().cloned().collect::<Vec<_>>(), [None, Some((1, "main".to_owned()))]);
    assert!(stored.values.keys().all(|name| !name.contains("extra")), "{:?}", stored.values.keys());

    // Back: the service that was gone has a new container and a new key in it, the other one is as it was.
    running.want(both('1'));
    running.until("both again", |view| settled_on('1')(view) && view.keys.iter().count() == 3).await;
    let again = kept(&running.view.borrow());
    assert_eq!((&again[0], &again[2]), (&before[0], &before[2]));
    assert_ne!(again[1], before[1]);
    assert_eq!(of_main(&bench), main);
    // The service stays and asks for no key any more.
    running.want(target('3', &[("main", '1', asks.clone()), ("extra", '1', json!({}))]));
    running.until("no key", |view| settled_on('3')(view) && view.keys.iter().count() == 2).await;
    assert_eq!(of_main(&bench), main);
}

#[tokio::test(start_paused = true)]
async fn settings_that_the_engine_drops_do_not_have_the_container_made_again() {
    let bench = Bench::new(900);
    bench.offer('1', &[("one", 10)]);
    bench.offer('2', &[("two", 10)]);
    bench.engine.set_dropped(Some(|options| {
        options.oom_kill_disable = false;
        options.mem_swappiness = None;
    }));
    let composition = json!({ "oom_kill_disable": true, "mem_swappiness": 10, "mem_limit": "64m" });
    let mut running = Loop::start(&bench).await;
    running.want(target('1', &[("main", '1', composition.clone())]));
    running.within(Duration::from_secs(60), "release one", settled_on('1')).await;
    let first = bench.engine.snapshot().containers[0].id.clone();
    let told = |view: &View| {
        let notes = view.plan.waiting.iter().map(|wait| wait.reason.to_string());
        notes.filter(|note| note.contains("differs in oom_kill_disable, mem_swappiness")).count() == 1
    };
    assert!(told(&running.view.borrow()), "{:?}", running.view.borrow().plan);
    for _ in 0..20 {
        running.requests.send(Request::Look { from: "test".into(), force: false, cancel: false }).await.unwrap();
        sleep(Duration::from_secs(400)).await;
    }
    assert_eq!((bench.engine.snapshot().containers[0].id.as_str(), &running.view.borrow().phase), (&*first, &Phase::Settled));
    let said = running.said();
    assert_eq!(said.iter().filter(|message| message.contains("oom_kill_disable")).count(), 1, "{said:?}");
    // An agent that starts anew sees the same.
    drop(running);
    let mut running = Loop::start(&bench).await;
    running.want(target('2', &[("main", '1', composition.clone())]));
    running.until("the same container under the new release's name", settled_on('2')).await;
    assert_eq!(bench.engine.snapshot().containers[0].id, first);
    // What it does keep is applied as ever.
    let changed = json!({ "oom_kill_disable": true, "mem_swappiness": 10, "mem_limit": "128m" });
    running.want(target('3', &[("main", '1', changed)]));
    running.until("another limit", settled_on('3')).await;
    let container = &bench.engine.snapshot().containers[0];
    assert_eq!((container.id == first, container.spec.options.mem_limit_bytes), (false, 128 << 20));
    assert!(told(&running.view.borrow()));
}
