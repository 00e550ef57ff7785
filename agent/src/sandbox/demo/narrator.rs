//! What the demo prints: text for people, or one JSON object a line and stage for programs.

use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};

/// Prints stages.
#[derive(Debug)]
pub struct Narrator {
    json: bool,
    started: Instant,
}

impl Narrator {
    /// Starts counting time.
    pub fn new(json: bool) -> Narrator {
        Narrator { json, started: Instant::now() }
    }

    /// A stage came true.
    pub fn done(&self, stage: &str, text: &str, details: Value) {
        self.stage(stage, true, text, details);
    }

    /// A stage did not.
    pub fn failed(&self, stage: &str, text: &str) {
        self.stage(stage, false, text, Value::Null);
    }

    /// Something on the way, for people only.
    pub fn note(&self, text: &str) {
        if !self.json {
            print(&format!("           {text}"));
        }
    }

    fn stage(&self, stage: &str, ok: bool, text: &str, details: Value) {
        let seconds = self.started.elapsed().as_secs_f64();
        if self.json {
            let mut line = json!({ "stage": stage, "ok": ok, "seconds": (seconds * 1000.0).round() / 1000.0, "text": text });
            if !details.is_null() {
                line["details"] = details;
            }
            print(&line.to_string());
        } else {
            print(&format!("{seconds:6.1} s  {}{text}", if ok { "" } else { "FAILED: " }));
        }
    }
}

/// A reader that went away (`demo | head`) must not keep the demo from cleaning up, so errors are dropped.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
