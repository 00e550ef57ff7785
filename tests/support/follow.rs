//! Answers without an end, read as they come.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{Device, wait_for};

/// An answer that is being read line by line. Dropping it closes the connection.
pub struct Follow {
    stream: UnixStream,
    state: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    status: u16,
    lines: Vec<String>,
    ended: bool,
}

impl Follow {
    /// Asks a device and reads on.
    pub fn of(device: &Device, method: &str, path: &str, headers: &str, body: &str) -> Follow {
        let follow = Follow::unread(&device.path("agent.sock"), method, path, headers, body);
        follow.read();
        follow
    }

    pub fn get(device: &Device, path: &str) -> Follow {
        Follow::of(device, "GET", path, "", "")
    }

    /// Asks and reads nothing yet.
    pub fn unread(socket: &Path, method: &str, path: &str, headers: &str, body: &str) -> Follow {
        let mut stream = UnixStream::connect(socket).expect("the agent listens");
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
            .expect("it takes it");
        Follow { stream, state: Arc::default() }
    }

    /// Begins to read.
    pub fn read(&self) {
        let (stream, state) = (self.stream.try_clone().expect("a second handle"), self.state.clone());
        std::thread::spawn(move || {
            // What breaks it off ends it.
            let _ = pass_on(BufReader::new(stream), &state);
            state.lock().unwrap().ended = true;
        });
    }

    pub fn lines(&self) -> Vec<String> {
        self.state.lock().unwrap().lines.clone()
    }

    pub fn ended(&self) -> bool {
        self.state.lock().unwrap().ended
    }

    pub fn status(&self) -> u16 {
        wait_for("an answer to begin", || match self.state.lock().unwrap().status {
            0 => Err("nothing yet".to_owned()),
            status => Ok(status),
        })
    }

    /// The lines as JSON; those of an event stream by their data.
    pub fn json(&self) -> Vec<Value> {
        let lines = self.lines();
        let data = lines.iter().map(|line| line.strip_prefix("data: ").unwrap_or(line));
        data.filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }

    /// Waits until a line is one that is looked for.
    pub fn wait(&self, what: &str, mut is: impl FnMut(&Value) -> bool) -> Value {
        wait_for(what, || {
            let lines = self.json();
            let tail = || lines.iter().rev().take(5).map(Value::to_string).collect::<Vec<_>>().join("\n");
            lines.iter().find(|line| is(line)).cloned().ok_or_else(tail)
        })
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Reads the head, then chunks, and splits what is in them into lines.
fn pass_on(mut stream: BufReader<UnixStream>, state: &Mutex<Seen>) -> std::io::Result<()> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(1);
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
    }
    state.lock().unwrap().status = status;
    let mut waiting = Vec::new();
    loop {
        let mut size = String::new();
        stream.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk)?;
        if size == 0 {
            return Ok(());
        }
        waiting.extend_from_slice(&chunk[..size]);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            state.lock().unwrap().lines.push(String::from_utf8_lossy(&line[..end]).into_owned());
        }
    }
}
