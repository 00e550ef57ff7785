//! The document at `/v3/openapi.json` against the agent that serves it: a client that makes requests up from the document
//! (schemathesis) gets no crash, no error of the agent's, and nothing that the document does not name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{App, Cloud, Device, Release, Service, free_port, wait_for};

/// The client's version: another one may try other things.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// What it must not do: follow a stream to its end, which never comes; suites of their own do that. And it always comes with
/// the global key, whatever that is by then: it makes it anew as well.
const HOOKS: &str = r#"
import os
import schemathesis

key = os.environ["HOLDFAST_KEY"]

@schemathesis.hook
def before_call(ctx, case, kwargs):
    case.query = {name: value for name, value in (case.query or {}).items() if name != "apikey"}
    if case.operation.path in ("/v3/events", "/v3/logs"):
        case.query["follow"] = "0"
    case.headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
    case.headers["Authorization"] = f"Bearer {key}"

@schemathesis.hook
def after_call(ctx, case, response):
    global key
    with open("calls.txt", "a") as calls:
        calls.write(f"{response.status_code} {case.operation.label}\n")
    if response.status_code == 200 and case.operation.path == "/v3/keys/rotate" and response.json()["service"] is None:
        key = response.json()["key"]

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
    let main = Service::new(&image(2)).label("io.balena.features.supervisor-api", "1");
    Release::new("one").service("db", Service::new(&image(1))).service("main", main).volume("data")
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
    let port = free_port();
    let tcp = device.join_with_port_of(&cloud, port);
    cloud.wait_settled(&app, &release());
    wait_for("the API over TCP", || tcp.ask("GET", "/ping", "", "").map_err(|error| error.to_string()));
    let url = format!("http://127.0.0.1:{port}");
    std::fs::write(device.path("openapi.json"), device.get("/v3/openapi.json").body).unwrap();
    std::fs::write(device.path("hooks.py"), HOOKS).unwrap();
    std::fs::write(device.path("schemathesis.toml"), CONFIGURATION).unwrap();
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance";
    let examples = if crate::support::long_run() { "300" } else { "25" };
    let output = Command::new(program)
        .args(["--config-file", "schemathesis.toml", "run"])
        // From a file: what it fetches a document from it does not try.
        .arg("openapi.json")
        .args(["--url", &url, "--checks", checks, "--max-examples", examples, "--seed", "7", "--no-color"])
        .args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "40", "--generation-deterministic"])
        .current_dir(device.path(""))
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("HOLDFAST_KEY", device.api_key(None))
        .env("PYTHONPATH", device.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    is_all_asked_for(&device, &std::fs::read_to_string(device.path("calls.txt")).unwrap());
    assert_eq!(device.get("/ping").text(), "OK", "the agent still runs");
    assert!(!device.log().contains("panicked"), "nothing panicked");
}

/// Whether every operation was asked for, none of them in vain: a key that is refused would make all that follows worthless.
fn is_all_asked_for(device: &Device, calls: &str) {
    let mut by_operation: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    for (status, operation) in calls.lines().filter_map(|line| line.split_once(' ')) {
        *by_operation.entry(operation).or_default().entry(status).or_default() += 1;
    }
    by_operation.iter().for_each(|(operation, statuses)| println!("{operation}: {statuses:?}"));
    let document = device.get("/v3/openapi.json").json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let operation = format!("{} {path}", method.to_uppercase());
            let statuses = by_operation.get(operation.as_str()).unwrap_or_else(|| panic!("{operation} was never asked for"));
            assert!(!statuses.contains_key("401"), "{operation}: {statuses:?}");
        }
    }
    assert!(by_operation["POST /v3/keys/rotate"].contains_key("200"), "the key was made anew");
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
    for path in [
        "/",
        "/metrics",
        "/v3/agent/update",
        "/v3/diagnose",
        "/v3/keys/rotate",
        "/v3/stats",
        "/v3/status",
        "/v3/events",
        "/v3/logs",
        "/v3/volumes/{name}/archive",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
}
