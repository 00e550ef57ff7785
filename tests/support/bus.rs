//! A D-Bus of a test's own, and a small service on it that stands for systemd and logind and notes what it is asked for.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Objects of units: the name they were loaded by, as they are told apart.
const PROXY_CONFIG: &str = "balena-proxy-config.service";

/// The bus with its service. Dropping it stops both.
pub struct Bus {
    pub address: String,
    daemon: Option<Child>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Bus {
    /// Starts it in a new folder; `None`, said on stderr, where dbus-daemon is not installed.
    pub fn start(folder: &Path) -> Option<Bus> {
        std::fs::create_dir_all(folder).expect("a folder for the bus");
        let socket = folder.join("socket");
        let address = format!("unix:path={}", socket.display());
        let policy = r#"<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy>"#;
        let text = format!("<busconfig><listen>{address}</listen><auth>EXTERNAL</auth>{policy}</busconfig>");
        let config = folder.join("bus.conf");
        std::fs::write(&config, text).expect("the configuration of the bus");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "dbus-daemon", "--nofork"]);
        command.arg(format!("--config-file={}", config.display())).stdin(Stdio::null()).stderr(Stdio::null());
        if Command::new("dbus-daemon").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: dbus-daemon is not installed");
            return None;
        }
        let daemon = command.spawn().expect("dbus-daemon starts");
        let end = Instant::now() + Duration::from_secs(60);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= end => panic!("dbus-daemon does not listen: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let calls = Arc::new(Mutex::new(Vec::new()));
        let mut service = Service { stream, serial: 0, calls: calls.clone() };
        service.enter();
        std::thread::spawn(move || service.serve());
        Some(Bus { address, daemon: Some(daemon), calls })
    }

    /// What was asked for: `interface.member argument argument`.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().expect("the service lives").clone()
    }

    /// Forgets what was asked for until now.
    pub fn forget(&self) {
        self.calls.lock().expect("the service lives").clear();
    }

    /// Stops the bus.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Service {
    stream: UnixStream,
    serial: u32,
    calls: Arc<Mutex<Vec<String>>>,
}

/// A value of a message, as far as they occur here.
enum Value<'a> {
    Text(&'a str),
    Path(&'a str),
    Number(u32),
    /// A variant with a list of texts.
    Texts(&'a [&'a str]),
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn number(bytes: &mut Vec<u8>, value: usize) {
    pad(bytes, 4);
    bytes.extend(u32::try_from(value).expect("small").to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, value: &str) {
    number(bytes, value.len());
    bytes.extend(value.as_bytes());
    bytes.push(0);
}

fn signature(bytes: &mut Vec<u8>, value: &str) {
    bytes.push(u8::try_from(value.len()).expect("short"));
    bytes.extend(value.as_bytes());
    bytes.push(0);
}

impl Service {
    fn enter(&mut self) {
        let uid: String = rustix::process::geteuid().as_raw().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        self.stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes()).expect("the bus listens");
        let mut line = String::new();
        BufReader::with_capacity(1, &self.stream).read_line(&mut line).expect("the bus answers");
        assert!(line.starts_with("OK "), "{line}");
        self.stream.write_all(b"BEGIN\r\n").expect("the bus listens");
        self.send(1, "Hello", None, &[]);
        for name in ["org.freedesktop.login1", "org.freedesktop.systemd1"] {
            self.send(1, "RequestName", None, &[Value::Text(name), Value::Number(4)]);
        }
    }

    /// Sends a call to the bus itself (kind 1), an answer (2) or an error (3).
    fn send(&mut self, kind: u8, member: &str, to: Option<(&str, u32)>, values: &[Value<'_>]) {
        self.serial += 1;
        let (mut body, mut types) = (Vec::new(), String::new());
        for value in values {
            match value {
                Value::Text(value) | Value::Path(value) => {
                    types.push(if matches!(values[0], Value::Path(_)) { 'o' } else { 's' });
                    text(&mut body, value);
                }
                Value::Number(value) => {
                    types.push('u');
                    number(&mut body, *value as usize);
                }
                Value::Texts(list) => {
                    types.push('v');
                    signature(&mut body, "as");
                    pad(&mut body, 4);
                    let mut inner = Vec::new();
                    list.iter().for_each(|value| text(&mut inner, value));
                    number(&mut body, inner.len());
                    body.extend(inner);
                }
            }
        }
        let mut head = vec![b'l', kind, 0, 1];
        number(&mut head, body.len());
        number(&mut head, self.serial as usize);
        number(&mut head, 0);
        let bus = "org.freedesktop.DBus";
        let path = "/org/freedesktop/DBus";
        let fields: Vec<(u8, &str, &str)> = match (kind, to) {
            (1, _) => vec![(1, "o", path), (2, "s", bus), (3, "s", member), (6, "s", bus), (8, "g", &types)],
            (3, Some((to, _))) => vec![(4, "s", member), (6, "s", to), (8, "g", &types)],
            (_, Some((to, _))) => vec![(6, "s", to), (8, "g", &types)],
            (_, None) => unreachable!("answers go to somebody"),
        };
        for (code, kind, value) in fields.into_iter().filter(|(.., value)| !value.is_empty()) {
            pad(&mut head, 8);
            head.push(code);
            signature(&mut head, kind);
            if kind == "g" { signature(&mut head, value) } else { text(&mut head, value) }
        }
        if let Some((_, serial)) = to {
            pad(&mut head, 8);
            head.push(5);
            signature(&mut head, "u");
            number(&mut head, serial as usize);
        }
        let length = u32::try_from(head.len() - 16).expect("short").to_le_bytes();
        head[12..16].copy_from_slice(&length);
        pad(&mut head, 8);
        head.extend(body);
        self.stream.write_all(&head).expect("the bus listens");
    }

    fn serve(&mut self) {
        while let Some(call) = self.receive() {
            let Call { serial, sender, path, interface, member, arguments } = call;
            let to = Some((sender.as_str(), serial));
            let mut line = format!("{interface}.{member}");
            arguments.iter().for_each(|argument| line += &format!(" {argument}"));
            self.calls.lock().expect("nobody panicked with it").push(line);
            let unit = arguments.first().map_or("", String::as_str);
            match member.as_str() {
                "LoadUnit" => {
                    let object = if unit == PROXY_CONFIG { "/unit/follows" } else { "/unit/other" };
                    self.send(2, "", to, &[Value::Path(object)]);
                }
                "Get" if path == "/unit/follows" => self.send(2, "", to, &[Value::Texts(&["redsocks-conf.target"])]),
                "Get" => self.send(2, "", to, &[Value::Texts(&[])]),
                "RestartUnit" => self.send(2, "", to, &[Value::Path("/job/1")]),
                "Reboot" | "PowerOff" => self.send(2, "", to, &[]),
                _ => self.send(3, "org.freedesktop.DBus.Error.UnknownMethod", to, &[Value::Text("no such method")]),
            }
        }
    }

    /// The next call; `None` when the bus is gone.
    fn receive(&mut self) -> Option<Call> {
        loop {
            let mut head = [0; 16];
            self.stream.read_exact(&mut head).ok()?;
            let at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
            let (body, serial, fields) = (at(4), at(8), at(12));
            let mut rest = vec![0; fields.next_multiple_of(8) + body];
            self.stream.read_exact(&mut rest).ok()?;
            if head[1] == 1 {
                return Some(Call::read(u32::try_from(serial).ok()?, &rest[..fields], &rest[fields.next_multiple_of(8)..]));
            }
        }
    }
}

#[derive(Default)]
struct Call {
    serial: u32,
    sender: String,
    path: String,
    interface: String,
    member: String,
    arguments: Vec<String>,
}

fn read_number(bytes: &[u8], at: &mut usize) -> u32 {
    *at = at.next_multiple_of(4);
    let value = u32::from_le_bytes(bytes[*at..*at + 4].try_into().expect("four bytes"));
    *at += 4;
    value
}

fn read_text(bytes: &[u8], at: &mut usize) -> String {
    let length = read_number(bytes, at) as usize;
    let value = String::from_utf8_lossy(&bytes[*at..*at + length]).into_owned();
    *at += length + 1;
    value
}

fn read_signature(bytes: &[u8], at: &mut usize) -> String {
    let length = usize::from(bytes[*at]);
    let value = String::from_utf8_lossy(&bytes[*at + 1..*at + 1 + length]).into_owned();
    *at += length + 2;
    value
}

impl Call {
    fn read(serial: u32, fields: &[u8], body: &[u8]) -> Call {
        let mut call = Call { serial, ..Call::default() };
        let (mut at, mut types) = (0, String::new());
        while at < fields.len() {
            at = at.next_multiple_of(8);
            let code = fields[at];
            at += 1;
            match (read_signature(fields, &mut at).as_str(), code) {
                ("g", _) => types = read_signature(fields, &mut at),
                ("u", _) => drop(read_number(fields, &mut at)),
                (_, 1) => call.path = read_text(fields, &mut at),
                (_, 2) => call.interface = read_text(fields, &mut at),
                (_, 3) => call.member = read_text(fields, &mut at),
                (_, 7) => call.sender = read_text(fields, &mut at),
                _ => drop(read_text(fields, &mut at)),
            }
        }
        let mut at = 0;
        for kind in types.chars() {
            call.arguments.push(match kind {
                's' => read_text(body, &mut at),
                _ => read_number(body, &mut at).to_string(),
            });
        }
        call
    }
}
