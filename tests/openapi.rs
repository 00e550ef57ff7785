//! The document at `/v3/openapi.json` against the agent that serves it: a client that makes requests up from the document
//! (schemathesis) gets no crash, no error of the agent's, and nothing that the document does not name.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{App, Cloud, Device, Release, Service};

/// The client's version: another one may try other things.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// What it must not do: follow a stream to its end, which never comes. Suites of their own do that.
const HOOKS: &str = r#"
import schemathesis

@schemathesis.hook
def before_call(ctx, case, kwargs):
    if case.operation.path in ("/v3/events", "/v3/logs"):
        case.query = {**(case.query or {}), "follow": "0"}

# Bytes are bytes.
schemathesis.serializer.alias("application/x-tar", "application/octet-stream")
"#;

/// Not to be able to do something now is an answer as well.
const CONFIGURATION: &str = r#"
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
"#;

fn release() -> Release {
    let image = |n: u32| format!("registry.example.com/v2/{n:032x}@sha256:{n:064x}");
    Release::new("one").service("db", Service::new(&image(1))).service("main", Service::new(&image(2))).volume("data")
}

/// Passes a port of this machine on to a socket.
fn forward(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for from in listener.incoming().map_while(Result::ok) {
            let Ok(to) = UnixStream::connect(&socket) else { continue };
            let back = (to.try_clone().unwrap(), from.try_clone().unwrap());
            std::thread::spawn(move || copy(from, to));
            std::thread::spawn(move || copy(back.0, back.1));
        }
    });
    port
}

/// Copies until one side ends, and ends the other.
fn copy<R: Read, W: Write + Close>(mut from: R, mut to: W) {
    let _ = std::io::copy(&mut from, &mut to);
    to.close();
}

trait Close {
    fn close(&self);
}

impl Close for TcpStream {
    fn close(&self) {
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

impl Close for UnixStream {
    fn close(&self) {
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

/// The client, installed in a folder of its own beside what is built; `None` where that cannot be.
fn schemathesis() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(SCHEMATHESIS.replace("==", "-"));
    let program = folder.join("bin/schemathesis");
    if !program.exists() {
        let run = |program: &Path, arguments: &[&str]| {
            Command::new(program).args(arguments).output().ok().filter(|o| o.status.success())
        };
        run(Path::new("python3"), &["-m", "venv", folder.to_str()?])?;
        run(&folder.join("bin/pip"), &["install", "--quiet", SCHEMATHESIS])?;
    }
    program.exists().then_some(program)
}

#[test]
fn whatever_the_document_allows_is_answered_as_it_says() {
    let Some(program) = schemathesis() else {
        assert!(std::env::var_os("CI").is_none(), "{SCHEMATHESIS} could not be installed");
        println!("skipped: {SCHEMATHESIS} could not be installed");
        return;
    };
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    cloud.want(&[(&app, &release())]);
    device.join(&cloud);
    cloud.wait_settled(&app, &release());
    let url = format!("http://127.0.0.1:{}", forward(device.path("agent.sock")));
    std::fs::write(device.path("hooks.py"), HOOKS).unwrap();
    std::fs::write(device.path("schemathesis.toml"), CONFIGURATION).unwrap();
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance";
    let examples = if support::long_run() { "300" } else { "25" };
    let output = Command::new(program)
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(format!("{url}/v3/openapi.json"))
        .args(["--url", &url, "--checks", checks, "--max-examples", examples, "--seed", "7", "--no-color"])
        .args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "40", "--generation-deterministic"])
        .current_dir(device.path(""))
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", device.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(device.get("/ping").text(), "OK", "the agent still runs");
    assert!(!device.log().contains("panicked"), "nothing panicked");
}

#[test]
fn the_document_is_served_and_names_every_path() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    device.join(&cloud);
    let document = device.get("/v3/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    println!("{} paths, {} schemas", paths.len(), document["components"]["schemas"].as_object().unwrap().len());
    for path in ["/v3/status", "/v3/events", "/v3/logs", "/v3/volumes/{name}/archive"] {
        assert!(paths.contains_key(path), "{path}");
    }
}
