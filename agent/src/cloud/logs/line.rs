//! One line of the stream.

use holdfast_plan::policy::Now;
use serde::Serialize;

use crate::events::{Event, Level};

/// Longest message, characters; a longer one is cut and ends with [`CUT`].
const LONGEST_CHARS: usize = 10_000;
const CUT: &str = "[...]";

/// When something happened. A device wakes up without the time: such a message keeps its time since boot and gets its place
/// on the calendar when it is sent. The cloud is seldom reached before the clock is set, since certificates need it; if it
/// is all the same, the machine's own clock is taken as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Wall(i64),
    Boot(i64),
}

impl Stamp {
    fn wall_ms(self, now: Now) -> i64 {
        match self {
            Stamp::Wall(ms) => ms,
            Stamp::Boot(ms) => {
                let ago = now.boot_ms.saturating_sub(ms).max(0);
                now.wall_ms.unwrap_or(now.machine_ms).saturating_sub(ago).max(0)
            }
        }
    }
}

/// A message that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    message: String,
    stamp: Stamp,
    is_std_err: bool,
}

/// What the cloud reads. Messages of the agent name no service: what they are about stands in the text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    message: &'a str,
    timestamp: i64,
    is_system: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_std_err: bool,
}

impl Line {
    /// A message of the agent's. The text comes first, as people and tools look for its beginning; the app and the service
    /// follow in brackets.
    pub fn of_event(event: &Event, now: Now) -> Line {
        let place: Vec<&str> = [&event.app, &event.service].into_iter().flatten().map(String::as_str).collect();
        let message = match place.as_slice() {
            [] => event.message.clone(),
            place => format!("{} [{}]", event.message, place.join("/")),
        };
        let stamp = event.wall_ms.or(now.wall_ms).map_or(Stamp::Boot(now.boot_ms), Stamp::Wall);
        Line { message: cut(message), stamp, is_std_err: event.level == Level::Error }
    }

    /// Says that messages were left out.
    pub fn suppressed(count: u64, now: Now) -> Line {
        let message = format!("Suppressed {count} message(s) due to high load");
        Line { message, stamp: Stamp::Boot(now.boot_ms), is_std_err: true }
    }

    /// Bytes it holds in memory, about.
    pub fn size_bytes(&self) -> usize {
        self.message.len() + size_of::<Line>()
    }

    /// Writes it as one line of JSON.
    pub fn write(&self, out: &mut Vec<u8>, now: Now) {
        let (message, timestamp) = (self.message.as_str(), self.stamp.wall_ms(now));
        let wire = Wire { message, timestamp, is_system: true, is_std_err: self.is_std_err };
        let begin = out.len();
        match serde_json::to_writer(&mut *out, &wire) {
            Ok(()) => out.push(b'\n'),
            // Text and numbers can always be written; half a line would spoil the stream.
            Err(_) => out.truncate(begin),
        }
    }
}

fn cut(mut message: String) -> String {
    // Most messages are shorter in bytes already.
    if message.len() > LONGEST_CHARS && message.chars().count() > LONGEST_CHARS {
        let end = message.char_indices().nth(LONGEST_CHARS - CUT.len()).map_or(message.len(), |(at, _)| at);
        message.truncate(end);
        message.push_str(CUT);
        message.shrink_to_fit();
    }
    message
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(level: Level, message: &str, wall_ms: Option<i64>) -> Event {
        Event { app: Some("shop".into()), service: Some("till".into()), ..Event::note(level, message.into(), wall_ms) }
    }

    fn written(line: &Line, now: Now) -> Value {
        let mut out = Vec::new();
        line.write(&mut out, now);
        assert_eq!(out.pop(), Some(b'\n'));
        assert!(!out.contains(&b'\n'), "one line");
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_line_is_what_the_protocol_says() {
        let line = Line::of_event(&event(Level::Info, "Downloaded\nimage 'x'", Some(1_800_000_000_123)), Now::default());
        let expected =
            json!({ "message": "Downloaded\nimage 'x' [shop/till]", "timestamp": 1_800_000_000_123_i64, "isSystem": true });
        assert_eq!(written(&line, Now::default()), expected);
        let mut event = event(Level::Error, "broken", Some(5));
        (event.app, event.service) = (None, None);
        let expected = json!({ "message": "broken", "timestamp": 5, "isSystem": true, "isStdErr": true });
        assert_eq!(written(&Line::of_event(&event, Now::default()), Now::default()), expected);
    }

    #[test]
    fn a_message_without_a_time_gets_it_when_it_is_sent() {
        let unset = Now { wall_ms: None, machine_ms: 7_000, boot_ms: 3_000 };
        let line = Line::of_event(&event(Level::Info, "x", None), unset);
        let later = Now { wall_ms: Some(1_800_000_010_000), machine_ms: 1_800_000_010_000, boot_ms: 13_000 };
        assert_eq!(written(&line, later)["timestamp"], 1_800_000_000_000_i64);
        let still_unset = Now { wall_ms: None, machine_ms: 9_000, boot_ms: 5_000 };
        assert_eq!(written(&line, still_unset)["timestamp"], 7_000);
    }

    #[test]
    fn a_long_message_is_cut_by_characters() {
        let long = "é".repeat(20_000);
        let line = written(&Line::of_event(&event(Level::Info, &long, Some(1)), Now::default()), Now::default());
        let message = line["message"].as_str().unwrap();
        assert_eq!(message.chars().count(), 10_000);
        assert!(message.starts_with("éé") && message.ends_with("é[...]"));
        let fits = "é".repeat(10_000 - " [shop/till]".len());
        let line = written(&Line::of_event(&event(Level::Info, &fits, Some(1)), Now::default()), Now::default());
        assert!(line["message"].as_str().unwrap().ends_with("é [shop/till]"));
    }
}
