//! Every endpoint of the local API that balena-supervisor has, asked for on the built binary: what it answers to the operator,
//! and whom else it lets in. The table in `docs/endpoints.md` is what comes of it; `HOLDFAST_TEST_WRITE=1` writes it anew.

mod list;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{App, Cloud, Device, Follow, Release, Response, Service, Way, device_target, wait_for};
use list::{ENDPOINTS, Endpoint, Who};

const IMAGE: &str = "registry.example.com/v2/abc@sha256:0000000000000000000000000000000000000000000000000000000000000001";
const CALLS: &str = "io.balena.features.supervisor-api";
const CONTROLS: &str = "io.balena.features.host-control";

/// A device with apps of one service each: the first is what the endpoints are tried on, by its service, by that of the second,
/// and by one that controls the host; the key of the last is made anew.
struct Site {
    device: Device,
    _cloud: Cloud,
    app: App,
    socket: Way,
    tcp: Way,
    own: String,
    foreign: String,
    controls: String,
    spare: String,
    global: String,
}

impl Site {
    fn new() -> Site {
        let mut device = Device::simulated();
        let (cloud, apps) = (Cloud::of(&device), [App::new(), App::new(), App::new(), App::new()]);
        let caller = || Service::new(IMAGE).label(CALLS, "1");
        let releases = [
            Release::new("own").service("main", caller().mount("data:/data")).volume("data"),
            Release::new("foreign").service("foreign", caller()),
            Release::new("controls").service("controls", caller().label(CONTROLS, "1")),
            Release::new("spare").service("spare", caller()),
        ];
        let wanted: Vec<(&App, &Release)> = apps.iter().zip(&releases).collect();
        cloud.set_target(device_target(&wanted, &[]));
        has_a_journal(&mut device);
        let tcp = device.join_with_port(&cloud);
        device.wait_status(&["\"settled\""]);
        let [own, foreign, controls, spare] = ["main", "foreign", "controls", "spare"].map(|name| device.api_key(Some(name)));
        let global = device.api_key(None);
        wait_for("the API over TCP", || tcp.ask("GET", "/ping", "", "").map_err(|error| error.to_string()));
        let (socket, [app, ..]) = (device.way(), apps);
        Site { device, _cloud: cloud, app, socket, tcp, own, foreign, controls, spare, global }
    }

    fn path(&self, endpoint: &Endpoint) -> String {
        endpoint.path.replace(":appId", &self.app.id.to_string())
    }

    fn body(&self, endpoint: &Endpoint) -> String {
        endpoint.body.replace(":appId", &self.app.id.to_string())
    }

    /// The operator's turn, as it is meant to be used.
    fn ask(&self, endpoint: &Endpoint) -> Response {
        let header = if endpoint.path.ends_with("regenerate-api-key") {
            // It makes anew the key it comes with.
            format!("Authorization: Bearer {}\r\n", self.spare)
        } else {
            String::new()
        };
        let (path, body) = (self.path(endpoint) + endpoint.query, self.body(endpoint));
        if endpoint.streams {
            return first_line(&Follow::of(
                &self.device,
                endpoint.method,
                &path,
                &(header + "Content-Type: application/json\r\n"),
                &body,
            ));
        }
        self.socket.ask(endpoint.method, &path, &header, &body).unwrap_or_else(|error| panic!("{endpoint}: {error}"))
    }

    /// Whether somebody is let in at all. Who should be comes with a body that cannot be read, so that nothing is changed; who
    /// should not be, with what would be carried out.
    fn admits(&self, endpoint: &Endpoint, key: &str, should: bool) -> bool {
        let body = if should && endpoint.method != "GET" { "{not JSON".to_owned() } else { self.body(endpoint) };
        self.tcp.with_key(endpoint.method, &(self.path(endpoint) + endpoint.query), key, &body).status != 401
    }
}

/// Where the tests run there may be no journal, or one that anything stands in.
fn has_a_journal(device: &mut Device) {
    let program = device.path("bin/journalctl");
    std::fs::create_dir(device.path("bin")).unwrap();
    std::fs::write(&program, "#!/bin/sh\necho \"a line of the journal, asked for with $*\"\n").unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    device.set("PATH", &format!("{}:{path}", device.path("bin").display()));
}

/// An answer without an end, as far as its first line.
fn first_line(stream: &Follow) -> Response {
    let status = stream.status();
    let line = wait_for("a first line", || match stream.lines().first() {
        Some(line) => Ok(line.clone()),
        None if stream.ended() => Ok(String::new()),
        None => Err(format!("{status}, and nothing yet")),
    });
    Response { status, headers: BTreeMap::new(), body: line.into_bytes() }
}

/// Nothing is there: not an app or a service that is missing, but the endpoint.
fn is_missing(answer: &Response) -> bool {
    answer.status == 405 || answer.status == 404 && answer.text().contains("there is nothing at")
}

#[test]
fn every_endpoint_of_balena_supervisor() {
    let site = Site::new();
    let mut rows = String::new();
    let (mut there, mut wrong) = (0, Vec::new());
    for endpoint in &ENDPOINTS {
        // What acts on the app is tried on one that has come to rest.
        site.device.wait_status(&["\"settled\""]);
        let answer = site.ask(endpoint);
        if is_missing(&answer) {
            writeln!(rows, "| {} | `{}` | **not there** | | |", endpoint.method, endpoint.path).unwrap();
            wrong.push(format!("{endpoint} is not there: {} {}", answer.status, answer.text()));
            continue;
        }
        there += 1;
        if !endpoint.statuses.contains(&answer.status) || !answer.text().contains(endpoint.holds) {
            let (expected, holds) = (endpoint.statuses, endpoint.holds);
            wrong.push(format!("{endpoint}: {expected:?} and {holds:?} expected, not {} {}", answer.status, answer.text()));
        }
        wrong.extend(who_is_let_in(&site, endpoint));
        let (who, difference) = (endpoint.who.words(), endpoint.difference);
        writeln!(rows, "| {} | `{}` | {who} | {} | {difference} |", endpoint.method, endpoint.path, answer.status).unwrap();
    }
    let table = format!(
        "{}\n{rows}\n{there} of {} are there.\n",
        "| | endpoint | who | answered here | differs from balena-supervisor |\n|---|---|---|---|---|",
        ENDPOINTS.len()
    )
    .replace("|\n\n|", "|\n|");
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    is_documented(&table);
}

/// Who is let in over TCP: nobody without a key, but where none is needed; a service, as far as its app goes.
fn who_is_let_in(site: &Site, endpoint: &Endpoint) -> Vec<String> {
    let expected = match endpoint.who {
        Who::Everybody => [true; 5],
        Who::Service => [false, true, true, true, true],
        // The app's own services; one that controls the host has no more to do with other apps.
        Who::OwnApp => [false, false, true, false, true],
        Who::HostControl => [false, false, false, true, true],
        Who::Operator => [false, false, false, false, true],
    };
    let keys = [
        ("nobody", ""),
        ("another app's service", &site.foreign),
        ("the app's service", &site.own),
        ("a service that controls the host", &site.controls),
        ("the global key", &site.global),
    ];
    let mut wrong = Vec::new();
    for ((whose, key), expected) in keys.into_iter().zip(expected) {
        // These are called for real by whoever may: the operator's turn was enough.
        if expected && endpoint.acts_without_a_body && whose != "nobody" {
            continue;
        }
        if site.admits(endpoint, key, expected) != expected {
            wrong.push(format!("{endpoint}: {whose} is {}let in", if expected { "not " } else { "" }));
        }
    }
    wrong
}

fn is_documented(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/endpoints.md");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let head = text.split("| | endpoint |").next().unwrap_or_default();
    if std::env::var_os("HOLDFAST_TEST_WRITE").is_some() {
        std::fs::write(&path, format!("{head}{table}")).unwrap();
        return;
    }
    assert!(text == format!("{head}{table}"), "docs/endpoints.md is not what was seen: HOLDFAST_TEST_WRITE=1 writes it anew");
}
