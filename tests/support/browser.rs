//! Headless Chromium, told what to do over a pair of pipes (the DevTools protocol: JSON, each message ended by a zero byte).

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{check, wait_for};

/// Its pipes are its third and fourth file; a shell moves them there.
const START: &str = r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"#;
const OPTIONS: [&str; 10] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--lang=en-GB",
];
/// How long one order may take: starting it on a loaded machine is the longest.
const CALL_LIMIT: Duration = Duration::from_secs(120);

/// A browser with one page open.
pub struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: mpsc::Receiver<Value>,
    next: u64,
    session: Option<String>,
    told: Vec<Value>,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// Starts one; `None` where there is none, and the tests that need it are skipped.
    pub fn start() -> Option<Browser> {
        let is_there = Command::new("sh").args(["-c", "command -v chromium"]).stdout(Stdio::null()).status().ok()?;
        if !is_there.success() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI there has to be a chromium");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("holdfast-").tempdir().expect("a temporary folder");
        let profile = format!("--user-data-dir={}", folder.path().display());
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "sh", "-c", START, "chromium"]).args(OPTIONS).arg(profile);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("chromium starts");
        let orders = child.stdin.take().expect("it is piped");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).split(0);
        let (send, answers) = mpsc::channel();
        std::thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                let Ok(message) = serde_json::from_slice(&line) else { continue };
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser { child, orders, answers, next: 0, session: None, told: Vec::new(), _folder: folder };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let session = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Gives an order and waits for its answer.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut order = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.orders.write_all(&bytes).and_then(|()| self.orders.flush()).expect("chromium takes orders");
        loop {
            let message = self.answers.recv_timeout(CALL_LIMIT).unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == self.next {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.told.push(message);
        }
    }

    /// Opens an address and forgets what the last page had to say.
    pub fn open(&mut self, address: &str) {
        self.told.clear();
        let answer = self.call("Page.navigate", json!({ "url": address }));
        assert!(answer["errorText"].is_null(), "{address}: {answer}");
        self.wait("location.protocol === 'http:' && document.readyState === 'complete'");
    }

    /// Has the clock of pages that are opened from now on run so many times as fast.
    pub fn hurry(&mut self, times: u32) {
        let source =
            format!("{{ const now = Date.now.bind(Date), begin = now(); Date.now = () => begin + (now() - begin) * {times}; }}");
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source }));
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// What can be read on the page.
    pub fn text(&mut self) -> String {
        self.value("document.body?.innerText ?? ''").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression holds.
    pub fn wait(&mut self, expression: &str) {
        wait_for(&format!("the page to have {expression}"), || {
            let holds = self.value(&format!("Boolean({expression})"));
            if holds == true { Ok(()) } else { Err(format!("{}\n{:?}", self.text(), self.complaints())) }
        });
    }

    /// Waits until all of these can be read on the page, in any case of letters.
    pub fn wait_text(&mut self, words: &[&str]) {
        wait_for(&format!("the page to say {words:?}"), || {
            let text = self.text();
            check(words.iter().all(|word| text.to_lowercase().contains(&word.to_lowercase())), text)
        });
    }

    /// Presses a key, as a person does.
    pub fn press(&mut self, key: &str) {
        let (number, text) = match key {
            "Tab" => (9, None),
            "Enter" => (13, Some("\r")),
            "Escape" => (27, None),
            " " => (32, Some(" ")),
            other => panic!("no such key here: {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut pressed = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": number });
            if let Some(text) = text.filter(|_| kind == "keyDown") {
                pressed["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", pressed);
        }
    }

    /// Goes from button to button with the keyboard until one with this name has the focus.
    pub fn tab_to(&mut self, name: &str) {
        let mut seen = Vec::new();
        for _ in 0..60 {
            let focus = self.value("document.activeElement.ariaLabel || document.activeElement.textContent.trim().slice(0, 60)");
            if focus == name {
                return;
            }
            seen.push(focus);
            self.press("Tab");
        }
        panic!("{name} cannot be reached with the keyboard; what can: {seen:?}");
    }

    /// Types into what has the focus.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Makes the screen as wide as this; as high as needed to have everything in sight.
    pub fn screen(&mut self, width: u64) {
        let size = |height: u64| json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size(800));
        let height = self.value("document.documentElement.scrollHeight").as_u64().unwrap_or(800);
        self.call("Emulation.setDeviceMetricsOverride", size(height.clamp(800, 8000)));
    }

    /// Keeps what can be seen in `target/screenshots`.
    pub fn keep(&mut self, name: &str) {
        // What scrolls by itself is painted a moment after the screen became higher.
        std::thread::sleep(Duration::from_millis(500));
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let folder = screenshots();
        std::fs::create_dir_all(&folder).expect("a folder for screenshots");
        let png = decode(shot["data"].as_str().expect("a picture"));
        std::fs::write(folder.join(format!("{name}.png")), png).expect("the picture is written");
    }

    /// Errors on the console, exceptions, and breaches of the page's policy so far.
    pub fn complaints(&mut self) -> Vec<Value> {
        // What was told before this answer has been heard.
        self.call("Runtime.evaluate", json!({ "expression": "0" }));
        let is_bad = |message: &&Value| match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => matches!(message["params"]["entry"]["level"].as_str(), Some("error" | "warning")),
            Some("Runtime.consoleAPICalled") => {
                matches!(message["params"]["type"].as_str(), Some("error" | "warning" | "assert"))
            }
            _ => false,
        };
        self.told.iter().filter(is_bad).map(|message| message["params"].clone()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn screenshots() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")).join("screenshots")
}

/// RFC 4648.
fn decode(base64: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut place = [0u32; 256];
    for (value, letter) in (0..).zip(LETTERS) {
        place[usize::from(*letter)] = value;
    }
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for letter in base64.bytes().filter(|letter| *letter != b'=') {
        (bits, count) = (bits << 6 | place[usize::from(letter)], count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}

/// Forwards a TCP port of this machine to a unix socket, as `ssh -L` does; returns the port.
pub fn forward(socket: PathBuf) -> u16 {
    use std::net::{Ipv4Addr, Shutdown, TcpListener};
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = std::os::unix::net::UnixStream::connect(&socket) else { continue };
            let (Ok(mut from_client), Ok(mut from_server)) = (client.try_clone(), server.try_clone()) else { continue };
            let (mut to_client, mut to_server) = (client, server);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_server, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Both);
            });
        }
    });
    port
}
