//! Logs of containers on a real engine: by API and by command, followed while containers and agents come and go.
// needs: engine

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Device, Engine, Follow, Release, Role, Service, Site, check, wait_for};
use serde_json::{Value, json};

/// A service that runs a shell script, and ends at once when told to.
fn script(image: &str, text: &str) -> Service {
    let whole = format!("trap 'exit 0' TERM INT; {text}; while true; do sleep 86400 & wait $!; done");
    Service::new(image).field("command", json!(["/bin/sh", "-c", whole]))
}

/// One that counts, three times a second.
fn counting(image: &str, word: &str) -> Service {
    script(image, &format!("n=0; while true; do n=$((n+1)); echo {word} $n; sleep 0.3 & wait $!; done"))
}

/// The numbers after a word, in the order they came.
fn numbers<'a>(lines: impl Iterator<Item = &'a str>, word: &str) -> Vec<u32> {
    lines.filter_map(|line| line.rsplit_once(&format!("{word} "))?.1.trim().parse().ok()).collect()
}

fn messages(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["message"].as_str()).collect()
}

/// A count from 1 without a hole or a repetition.
fn assert_counts(numbers: &[u32]) {
    let expected: Vec<u32> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn two_services_are_followed_across_a_replacement() {
    let Some(engine) = Engine::shared() else { return };
    let images = [engine.image(Role::Sleeps, "1"), engine.image(Role::Sleeps, "2")];
    let first = Release::new("one").service("a", counting(&images[0], "alpha")).service("b", counting(&images[1], "beta"));
    let (site, _) = Site::settled(&engine, &first);
    let follow = Follow::get(&site.device, "/v3/logs?follow=1&lines=all");
    let only = Follow::get(&site.device, "/v3/logs?follow=1&lines=all&service=b");
    let local = Follow::get(&site.device, "/v2/local/logs");
    follow.wait("a", |row| row["service"] == "a" && row["message"] == "alpha 3" && row["stream"] == "stdout");
    follow.wait("b", |row| row["service"] == "b" && row["app"] == site.app.name.as_str());
    let second = Release::new("two").service("a", counting(&images[0], "gamma")).service("b", counting(&images[1], "beta"));
    site.update(&second);
    follow.wait("the new container", |row| row["service"] == "a" && row["message"] == "gamma 5");
    follow.wait("the one that stayed, or its successor", |row| row["service"] == "b" && row["message"] == "beta 8");
    let rows = follow.json();
    assert_counts(&numbers(messages(&rows).into_iter(), "alpha"));
    assert_counts(&numbers(messages(&rows).into_iter(), "gamma"));
    only.wait("only b", |row| row["message"] == "beta 8");
    assert!(only.json().iter().all(|row| row["service"] == "b"));

    let rows = local.json();
    assert_eq!(local.lines()[0], r#"{"message":"Streaming logs","isSystem":true}"#);
    assert!(rows.iter().any(|row| row["serviceName"] == "a" && row["message"] == "gamma 2"), "the new container joined");
    assert!(rows.iter().any(|row| row["isSystem"] == true && row["message"].to_string().contains("Killing service")));
    assert!(rows.iter().skip(1).all(|row| row["timestamp"].as_i64() > Some(1_600_000_000_000)));

    let missing = site.device.get("/v3/logs?service=nobody");
    assert!(missing.status == 404 && missing.text().contains("a, b"), "{}", missing.text());
}

#[test]
fn both_streams_a_terminal_and_any_bytes() {
    let Some(engine) = Engine::shared() else { return };
    let image = engine.image(Role::Sleeps, "x");
    let text = r"echo out; echo err >&2; printf '\000\377\033[31mred\033[0m\n'; echo; echo end";
    let release = Release::new("bytes")
        .service("pipe", script(&image, text).field("tty", json!(false)))
        .service("term", script(&image, text).field("tty", json!(true)));
    let (site, _) = Site::settled(&engine, &release);
    let of = |service: &str| {
        wait_for("the lines", || {
            let answer = site.device.get(&format!("/v3/logs?service={service}")).text();
            let rows: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            check(rows.len() >= 5, &answer).map(|()| rows)
        })
    };
    let pipe = of("pipe");
    assert_eq!(messages(&pipe).iter().filter(|m| **m == "out").count(), 1);
    let streams: Vec<(&str, &str)> =
        pipe.iter().map(|row| (row["stream"].as_str().unwrap(), row["message"].as_str().unwrap())).collect();
    let red = "\0\u{fffd}\u{1b}[31mred\u{1b}[0m";
    for expected in [("stdout", "out"), ("stderr", "err"), ("stdout", red), ("stdout", ""), ("stdout", "end")] {
        assert!(streams.contains(&expected), "{expected:?} in {streams:?}");
    }
    let term = of("term");
    assert_eq!(messages(&term), ["out", "err", red, "", "end"], "with a terminal there is one stream, in its order");
    assert!(term.iter().all(|row| row["stream"] == "stdout"));
    let newest = site.device.get("/v3/logs?service=term&lines=2").text();
    assert_eq!(newest.lines().count(), 2, "{newest}");
}

/// `holdfast logs` as a process, and what it printed.
struct Command {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Command {
    fn start(device: &Device, arguments: &[&str]) -> Command {
        let mut command = std::process::Command::new(crate::support::binary());
        device.equip(&mut command);
        let mut child = command.arg("logs").args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let (out, lines) = (child.stdout.take().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let kept = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Command { child, lines }
    }

    fn wait(&self, text: &str) {
        wait_for(&format!("{text} to be printed"), || {
            let lines = self.lines.lock().unwrap();
            check(lines.iter().any(|line| line.ends_with(text)), lines.last().cloned().unwrap_or_default())
        });
    }

    fn numbers(&self, word: &str) -> Vec<u32> {
        numbers(self.lines.lock().unwrap().iter().map(String::as_str), word)
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_command_goes_on_across_restarts_of_the_agent_and_without_one() {
    let Some(engine) = Engine::shared() else { return };
    let image = engine.image(Role::Sleeps, "1");
    let release = Release::new("one").service("a", counting(&image, "tick"));
    let (mut site, _) = Site::settled(&engine, &release);
    let command = Command::start(&site.device, &["a", "--follow", "--lines", "all"]);
    command.wait("tick 5");
    assert!(!command.lines.lock().unwrap()[0].contains('\u{1b}'), "no colours where nobody looks");
    for _ in 0..2 {
        site.device.stop();
        std::thread::sleep(Duration::from_secs(1));
        site.device.start();
        let next = command.numbers("tick").len() + 10;
        command.wait(&format!("tick {next}"));
    }
    assert_counts(&command.numbers("tick"));

    // The agent is dead.
    site.device.kill();
    let answer = site.device.command(&["logs", "a", "-n", "2", "--json"]);
    assert!(answer.code == 0 && answer.stderr.contains("from the container engine itself"), "{answer:?}");
    let rows: Vec<Value> = answer.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.len() == 2 && rows[0]["service"] == "a" && rows[0]["stream"] == "stdout", "{rows:?}");
    let direct = Command::start(&site.device, &["-f", "-n", "0"]);
    wait_for("lines", || check(direct.numbers("tick").len() > 3, "none"));
    assert!(direct.numbers("tick")[0] > 10, "only what came since");
}

/// Memory that is the agent's alone, MiB: what it shares with other agents on this machine changes as those end.
fn own_mib(device: &Device) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", device.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

#[test]
fn a_flood_is_passed_on_at_the_readers_pace() {
    let Some(engine) = Engine::shared() else { return };
    let image = engine.image(Role::Sleeps, "1");
    // Lines without an end among them: 200 MB of both.
    let flood = "yes 'a line of a flood that goes on and on' | head -c 100000000; head -c 100000000 /dev/zero";
    let release = Release::new("flood").service("a", script(&image, flood).field("tty", json!(false)));
    let (site, _) = Site::settled(&engine, &release);
    let before = own_mib(&site.device);
    let stalled = Follow::unread(&site.device.path("agent.sock"), "GET", "/v3/logs?follow=1&lines=all", "", "");
    let counted = Follow::get(&site.device, "/v3/logs?follow=1&lines=all&service=a");
    let mut most = before;
    // Longer than the agent's patience with a reader that takes nothing.
    let end = std::time::Instant::now() + Duration::from_secs(40);
    while std::time::Instant::now() < end {
        most = most.max(own_mib(&site.device));
        std::thread::sleep(Duration::from_millis(100));
    }
    let lines = counted.lines().len();
    println!("flood: {before:.1} MiB before, at most {most:.1} MiB; {lines} lines in 40 s to one reader, another stalled");
    assert!(lines > 1000, "{lines}");
    assert!(most < before + 6.0, "{before:.1} MiB before, {most:.1} at most");
    assert_eq!(site.device.get("/ping").text(), "OK");
    // The one that reads nothing is let go.
    stalled.read();
    wait_for("the stalled reader to be cut off", || check(stalled.ended(), "not yet"));
}

#[test]
fn a_driver_that_keeps_nothing_is_said_and_others_go_on() {
    let Some(engine) = Engine::shared() else { return };
    let image = engine.image(Role::Sleeps, "1");
    let silent = counting(&image, "x").field("logging", json!({ "driver": "none" }));
    let local = counting(&image, "local").field("logging", json!({ "driver": "local" }));
    let release = Release::new("drivers").service("none", silent).service("local", local);
    let (site, _) = Site::settled(&engine, &release);
    wait_for("both to be told", || {
        let answer = site.device.get("/v3/logs").text();
        let rows: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said = rows.iter().any(|row| row["stream"] == "system" && row["service"] == "none");
        let read = rows.iter().any(|row| row["message"] == "local 1");
        check(read && said, answer)
    });
}

#[test]
fn the_hosts_journal_ends_with_its_reader() {
    let Some(engine) = Engine::shared() else { return };
    let image = engine.image(Role::Sleeps, "1");
    let (site, _) = Site::settled(&engine, &Release::new("one").service("a", Service::new(&image)));
    let wrong = site.device.post("/v2/journal-logs", &json!({ "since": "no time at all" }));
    let words = wrong.text();
    if words.contains("cannot be run") {
        assert_eq!(wrong.status, 503);
        return;
    }
    assert!(wrong.status == 400 && words.contains("journalctl: "), "{words}");
    let hostile = site.device.post("/v2/journal-logs", &json!({ "unit": "--version", "count": 1 }));
    assert!(!hostile.text().contains("systemd 2"), "a value is no option: {}", hostile.text());
    let children = || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", site.device.pid())).unwrap_or_default();
    let headers = "Content-Type: application/json\r\n";
    let follow = Follow::of(&site.device, "POST", "/v2/journal-logs", headers, r#"{"follow":true,"count":"5","format":"json"}"#);
    wait_for("journalctl to run", || check(!children().trim().is_empty(), "no child"));
    drop(follow);
    wait_for("journalctl to be gone", || check(children().trim().is_empty(), children()));
}
