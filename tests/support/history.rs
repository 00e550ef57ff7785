//! What happens on the engine, in order. Listened to while it happens: the engine itself remembers only the last few
//! hundred events.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::Engine;

/// Events since it was begun, as `<type> <action> <name>`: `container die main_1_2_abc`, `image pull host/name@sha256:…`.
pub struct History {
    stream: UnixStream,
    events: Arc<Mutex<Vec<String>>>,
}

impl History {
    /// Begins to listen.
    pub fn of(engine: &Engine) -> History {
        let mut stream = UnixStream::connect(engine.socket()).expect("the engine listens");
        stream.write_all(b"GET /v1.41/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it takes the request");
        let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
        // The answer's head comes once the engine has subscribed us.
        while lines.next().and_then(Result::ok).is_some_and(|line| !line.trim().is_empty()) {}
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        std::thread::spawn(move || {
            // Each event is a line and a chunk of its own; what lies between are the lengths of chunks.
            let events = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            events.filter_map(|event| text(&event)).for_each(|text| seen.lock().expect("nobody panics here").push(text));
        });
        History { stream, events }
    }

    /// All so far that mention one of these words.
    pub fn about(&self, words: &[&str]) -> Vec<String> {
        let events = self.events.lock().expect("nobody panics here");
        events.iter().filter(|event| words.iter().any(|word| event.contains(word))).cloned().collect()
    }

    /// Fails unless these happened, one after the other (other things may have happened in between).
    pub fn assert_order(&self, expected: &[&str]) {
        let events = self.events.lock().expect("nobody panics here");
        let mut rest = events.iter();
        for one in expected {
            assert!(rest.any(|event| event == one), "expected in this order: {expected:#?}; there is: {events:#?}");
        }
    }
}

fn text(event: &Value) -> Option<String> {
    let actor = &event["Actor"];
    let name = actor["Attributes"]["name"].as_str();
    let name = if event["Type"] == "image" { actor["ID"].as_str() } else { name.or(actor["ID"].as_str()) };
    Some(format!("{} {} {}", event["Type"].as_str()?, event["Action"].as_str()?, name.unwrap_or_default()))
}

impl Drop for History {
    fn drop(&mut self) {
        // Ends the thread's reading.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}
