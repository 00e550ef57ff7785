//! When what is sent, under paused time.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::script::{Go, Script, broken};
use super::*;
use crate::cloud::CloudError;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn refusal() -> Go {
    Go::Refuse(seconds(1), broken())
}

#[tokio::test(start_paused = true)]
async fn nothing_is_connected_without_a_message() {
    let script = Script::new([]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    sleep(seconds(3600)).await;
    assert!(script.seen().is_empty());
    bench.shutdown.send_replace(true);
    bench.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn lines_go_out_after_the_grace_and_the_connection_closes_when_it_is_quiet() {
    let script = Script::new([]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    let start = Instant::now();
    bench.say("one");
    bench.say_at(Level::Error, "two");
    sleep(seconds(20)).await;
    bench.say("three");
    sleep(Duration::from_millis(10)).await;
    bench.say("four");
    bench.say("five");
    sleep(seconds(100)).await;
    let seen = script.seen();
    assert_eq!(seen.len(), 1);
    let at: Vec<u128> = seen[0].lines.iter().map(|(at, _)| (*at - start).as_millis()).collect();
    assert_eq!(at, [5_000, 5_000, 20_000, 20_100, 20_100]);
    assert_eq!(seen[0].lines[0].1, json!({ "message": "one", "timestamp": WALL_MS, "isSystem": true }));
    assert_eq!(seen[0].lines[1].1, json!({ "message": "two", "timestamp": WALL_MS, "isSystem": true, "isStdErr": true }));
    assert_eq!((seen[0].ended.unwrap() - start).as_millis(), 80_010, "60 s after the last message");
    bench.say("six");
    sleep(seconds(6)).await;
    assert_eq!(script.seen().len(), 2);
    assert_eq!(script.messages().last().unwrap(), "six");
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_waits_longer_and_longer_and_loses_nothing() {
    let script = Script::new(vec![refusal(); 9]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    bench.say("first");
    sleep(seconds(200)).await;
    bench.say("second");
    sleep(seconds(3000)).await;
    let seen = script.seen();
    let gaps: Vec<Duration> = seen.windows(2).map(|pair| pair[1].began - pair[0].began - seconds(1)).collect();
    for (gap, least) in gaps.iter().zip([5, 10, 20, 40, 80, 160, 300, 300, 300]) {
        assert!(*gap >= seconds(least) && *gap <= seconds(least) * 11 / 10 + seconds(1), "{gap:?} after {least} s");
    }
    assert_eq!(seen.len(), 10);
    assert_eq!(script.messages(), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn the_cloud_may_ask_for_patience_and_a_grace_survived_resets_the_waits() {
    let asks = CloudError::Status { call: "POST".into(), status: 503, message: String::new(), retry_after: Some(seconds(1000)) };
    let script = Script::new([refusal(), Go::Refuse(seconds(0), asks), Go::BreakAfter(1)]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    bench.say("lost");
    sleep(seconds(1200)).await;
    assert_eq!(script.seen().len(), 3);
    assert!(script.seen()[2].began - script.seen()[1].began >= seconds(1000));
    bench.say("kept");
    sleep(seconds(20)).await;
    assert_eq!(script.messages(), ["lost", "kept"]);
}

#[tokio::test(start_paused = true)]
async fn a_break_keeps_what_was_not_sent_yet() {
    let script = Script::new([Go::BreakAfter(1)]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    bench.say("sent");
    sleep(Duration::from_millis(5_000)).await;
    bench.say("still here");
    sleep(seconds(30)).await;
    assert_eq!(script.messages(), ["sent", "still here"]);
    let seen = script.seen();
    assert!(seen[1].began - seen[0].began >= seconds(10), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn more_than_fits_is_counted_and_said() {
    let script = Script::new(vec![refusal(); 3]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    for n in 0..100 {
        bench.say(&format!("{n:09000}"));
        tokio::task::yield_now().await;
    }
    sleep(seconds(120)).await;
    let messages = script.messages();
    let kept = messages.len() - 1;
    assert!((20..30).contains(&kept), "{kept}");
    assert_eq!(messages[kept], format!("Suppressed {} message(s) due to high load", 100 - kept));
    let (at, last) = script.seen()[3].lines.last().unwrap().clone();
    assert_eq!(last, json!({ "message": messages[kept], "timestamp": WALL_MS, "isSystem": true, "isStdErr": true }));
    assert!(at - script.seen()[3].lines[0].0 >= Duration::from_millis(500), "in portions");
}

#[tokio::test(start_paused = true)]
async fn messages_that_came_too_fast_to_be_heard_are_counted_too() {
    let script = Script::new([]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    (0..20).for_each(|n| bench.say(&format!("line {n}")));
    sleep(seconds(10)).await;
    let messages = script.messages();
    assert_eq!((messages.len(), messages[0].as_str()), (17, "line 4"));
    assert_eq!(messages[16], "Suppressed 4 message(s) due to high load");
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_closes_and_drops_until_it_is_switched_on() {
    let script = Script::new([]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    bench.say("one");
    sleep(seconds(10)).await;
    bench.enabled.send_replace(false);
    sleep(seconds(1)).await;
    assert!(script.seen()[0].ended.is_some());
    (0..40).for_each(|_| bench.say("not for the cloud"));
    sleep(seconds(100)).await;
    bench.enabled.send_replace(true);
    sleep(seconds(100)).await;
    assert_eq!(script.seen().len(), 1);
    bench.say("two");
    sleep(seconds(10)).await;
    assert_eq!(script.messages(), ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn switched_off_while_it_cannot_be_sent_nothing_is_left() {
    let script = Script::new([refusal()]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    bench.say("one");
    sleep(seconds(2)).await;
    bench.enabled.send_replace(false);
    sleep(seconds(2)).await;
    bench.enabled.send_replace(true);
    sleep(seconds(1000)).await;
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_takes_nothing_or_never_answers_holds_nobody() {
    let script = Script::new([Go::Nowhere, Go::Deaf, Go::Mute]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    let start = Instant::now();
    // The piece that the deaf connection was handed is lost, the one after it is not.
    bench.say("one");
    sleep(seconds(132)).await;
    bench.say("two");
    sleep(seconds(20)).await;
    bench.say("three");
    sleep(seconds(400)).await;
    let seen = script.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen[1].began - start >= seconds(125) && seen[2].began - seen[1].began >= seconds(125), "{seen:?}");
    assert_eq!(script.messages(), ["two", "three"]);
    bench.say("four");
    sleep(seconds(10)).await;
    assert_eq!(script.messages(), ["two", "three", "four"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_words_are_sent_when_a_connection_stands() {
    let script = Script::new([]);
    let bench = Bench::start(script.clone(), LogTiming::default());
    bench.say("one");
    sleep(seconds(10)).await;
    bench.say("two");
    bench.shutdown.send_replace(true);
    bench.task.await.unwrap();
    assert_eq!(script.messages(), ["one", "two"]);
    assert!(script.seen()[0].ended.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_the_cloud() {
    for go in [Go::Nowhere, Go::Deaf, Go::Mute, refusal()] {
        let bench = Bench::start(Script::new([go.clone()]), LogTiming::default());
        bench.say("one");
        sleep(seconds(10)).await;
        let begin = Instant::now();
        bench.shutdown.send_replace(true);
        bench.task.await.unwrap();
        assert!(begin.elapsed() <= seconds(2), "{go:?}");
    }
    let bench = Bench::start(Script::new([]), LogTiming::default());
    drop(bench.events);
    bench.task.await.unwrap();
}
