//! `/v3/events`: what happens, as it happens, and again by its ids.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::{App, Cloud, Device, Follow, check, numbered_release as release, simulated_and_settled, wait_for};
use serde_json::Value;

fn ids(rows: &[Value]) -> Vec<i64> {
    rows.iter().filter_map(|row| row["id"].as_i64()).collect()
}

fn listed(device: &Device, since: i64) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = since;
    loop {
        let page = device.get(&format!("/v3/events?follow=0&limit=1000&since={after}")).json();
        let rows = page["events"].as_array().expect("a list").clone();
        let Some(last) = ids(&rows).last().copied() else { return all };
        after = last;
        all.extend(rows);
    }
}

#[test]
fn a_client_that_comes_again_with_its_id_misses_nothing_and_sees_nothing_twice() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    cloud.want(&[(&app, &release(1))]);
    device.join(&cloud);
    // Every event this client is given, in the order it comes, over six connections and five runs of the agent.
    let mut seen: Vec<Value> = Vec::new();
    for round in 1..=6 {
        let last = ids(&seen).last().copied();
        let header = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let follow = Follow::of(&device, "GET", "/v3/events?since=0", &header, "");
        cloud.want(&[(&app, &release(round))]);
        cloud.wait_settled(&app, &release(round));
        follow.wait("the stream to tell of it", |row| row["kind"] == "phase" && row["status"] == "settled");
        // Connections break at any moment, and so do agents; what happens in between is found afterwards.
        seen.extend(follow.json().into_iter().filter(|row| row["id"].is_i64()));
        drop(follow);
        cloud.want(&[(&app, &release(round + 50))]);
        cloud.wait_settled(&app, &release(round + 50));
        if round < 6 {
            device.stop();
            device.start();
        }
    }
    let last = ids(&seen).last().copied().unwrap();
    let follow = Follow::of(&device, "GET", "/v3/events", &format!("Last-Event-ID: {last}\r\n"), "");
    let newest = ids(&listed(&device, 0)).last().copied().unwrap();
    follow.wait("the newest event", |row| row["id"] == newest);
    seen.extend(follow.json().into_iter().filter(|row| row["id"].is_i64()));

    let given = ids(&seen);
    assert!(given.windows(2).all(|pair| pair[0] < pair[1]), "ids only grow, and none comes twice: {given:?}");
    assert!(!seen.iter().any(|row| row["kind"] == "gap"));
    let kept = listed(&device, 0);
    assert!(kept.len() > 60, "{} events", kept.len());
    for row in &kept {
        // Equal ones are kept as one, which stands in the place of the last.
        assert!(given.contains(&row["id"].as_i64().unwrap()), "not seen: {row}");
    }
    let count = |rows: &[Value]| {
        let mut by_text: BTreeMap<String, u64> = BTreeMap::new();
        rows.iter().for_each(|row| *by_text.entry(row["message"].to_string()).or_default() += row["count"].as_u64().unwrap());
        by_text
    };
    let (seen, kept) = (count(&seen), count(&kept));
    for text in seen.keys() {
        assert!(kept.contains_key(text), "seen and not kept: {text}");
    }
    println!("{} events over 5 restarts, none lost, none twice; {} kept rows", given.len(), kept.len());
}

#[test]
fn downloads_locks_and_steps_are_told_as_they_happen() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    device.join(&cloud);
    let follow = Follow::get(&device, "/v3/events");
    assert_eq!(follow.status(), 200);
    follow.wait("the phase, at once", |row| row["kind"] == "phase");
    cloud.want(&[(&app, &release(1))]);
    follow.wait("the beginning of a download", |row| row["kind"] == "pull" && row["service"] == "main" && row["id"].is_i64());
    let progress = follow.wait("its progress", |row| row["kind"] == "progress" && row["service"] == "main");
    assert!(progress["id"].is_null() && progress["app"] == app.name.as_str(), "{progress}");
    follow.wait("that it runs", |row| row["kind"] == "service" && row["service"] == "main" && row["status"] == "Running");
    let percents: Vec<i64> =
        follow.json().iter().filter(|row| row["service"] == "main").filter_map(|row| row["percent"].as_i64()).collect();
    assert!(percents.len() >= 2 && percents.is_sorted() && percents.first() < percents.last(), "{percents:?}");
    follow.wait("a step", |row| row["kind"] == "step" && row["message"].to_string().contains("Started service"));

    let folder = device.lock_dir(&app, "main");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("updates.lock"), "").unwrap();
    cloud.want(&[(&app, &release(2))]);
    follow.wait("the lock", |row| row["kind"] == "lock" && row["level"] == "warning" && row["service"] == "main");
    std::fs::remove_file(folder.join("updates.lock")).unwrap();
    cloud.wait_settled(&app, &release(2));
    follow.wait("the release", |row| row["kind"] == "state" && row["id"].is_i64());
    cloud.want(&[]);
    follow.wait("that it is gone", |row| row["kind"] == "service" && row["service"] == "main" && row["status"] == "Removed");
}

#[test]
fn streams_leave_room_for_questions_and_end_with_the_agent() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    device.join(&cloud);
    let mut streams: Vec<Follow> = (0..16).map(|_| Follow::get(&device, "/v3/events")).collect();
    assert!(streams.iter().all(|stream| stream.status() == 200));
    let refused = device.get("/v3/events");
    assert!(refused.status == 503 && refused.text().contains("16 clients"), "{}", refused.text());
    assert_eq!(device.get("/ping").text(), "OK");
    streams.pop();
    wait_for("the place to be free again", || {
        let stream = Follow::get(&device, "/v3/events");
        let status = stream.status();
        check(status == 200, status)
    });
    let begin = Instant::now();
    let (status, _) = device.stop();
    assert!(status.success());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    wait_for("the streams to end", || check(streams.iter().all(Follow::ended), "not all"));
    assert!(!device.log().contains("were cut off by the stop"), "they ended by themselves");
}

#[test]
fn an_idle_device_with_followers_writes_nothing() {
    let (_cloud, device, _app) = simulated_and_settled();
    std::thread::sleep(Duration::from_secs(2));
    let follow = Follow::get(&device, "/v3/events");
    follow.wait("the phase", |row| row["kind"] == "phase");
    let before = device.data_files();
    wait_for("a heartbeat", || check(follow.lines().iter().any(|line| line == ":"), "none yet"));
    assert_eq!(device.data_files(), before);
}
