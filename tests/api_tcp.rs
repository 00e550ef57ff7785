//! The local API as containers reach it: at the address and with the key they were given, from their own network.
// needs: engine

use std::net::TcpListener;
use std::process::Command;

use crate::support::{Container, Engine, Release, Role, Service, Site, check, free_port, wait_for};
use serde_json::{Value, json};

/// What the API answers to a container, asked from its network with what stands in its environment.
fn ask(from: &Container, path: &str, key: &str) -> Result<(u16, String), String> {
    let address = from.variable("BALENA_SUPERVISOR_ADDRESS").expect("it has an address");
    let network = format!("--net=/proc/{}/ns/net", from.inspect["State"]["Pid"]);
    let mut command = Command::new("nsenter");
    command.args([
        &network,
        "--",
        "curl",
        "-sS",
        "-m",
        "10",
        "-w",
        "\n%{http_code}",
        "-H",
        &format!("Authorization: Bearer {key}"),
    ]);
    let output = command.arg(format!("{address}{path}")).output().expect("nsenter and curl are there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    match status.parse() {
        Ok(0) | Err(_) => Err(format!("{text} {}", String::from_utf8_lossy(&output.stderr))),
        Ok(status) => Ok((status, body.to_owned())),
    }
}

fn status(from: &Container, path: &str, key: &str) -> u16 {
    wait_for("an answer", || ask(from, path, key).map(|(status, _)| status))
}

fn key(of: &Container) -> String {
    of.variable("BALENA_SUPERVISOR_API_KEY").expect("it has a key").to_owned()
}

#[test]
fn containers_reach_the_api_at_the_address_they_are_given() {
    // One supervisor0 is all that an engine can have.
    let Some(engine) = Engine::own() else { return };
    engine.enter_network();
    let sleeps = engine.image(Role::Sleeps, "sleeps");
    let with_api = || Service::new(&sleeps).label("io.balena.features.supervisor-api", "1");
    let first = Release::new("first").service("plain", Service::new(&sleeps));
    let second = Release::new("second")
        .service("caller", with_api())
        .service("host", with_api().field("network_mode", json!("host")))
        .service("plain", Service::new(&sleeps));
    let mut site = Site::on(&engine);
    site.want(&first);
    let port = free_port();
    site.device.join_with_port_of(&site.cloud, port);
    site.wait_settled(&first);
    let listens = || site.device.get("/v3/status").json()["listens"].clone();
    assert_eq!(listens(), json!([]), "nobody calls it");

    let containers = site.update(&second);
    let [caller, host, plain] = &containers[..] else { panic!("three containers") };
    assert_eq!(caller.variable("BALENA_SUPERVISOR_ADDRESS"), Some(format!("http://10.114.104.1:{port}").as_str()));
    wait_for("both addresses to be open", || {
        let open = listens();
        check(open == json!([format!("10.114.104.1:{port}"), format!("127.0.0.1:{port}")]), open)
    });
    for container in [caller, host] {
        assert_eq!(status(container, "/v2/state/status", &key(container)), 200, "{}", container.service);
        assert_eq!(status(container, "/v2/state/status", "0123456789abcdef0123456789abcdef"), 401);
        assert_eq!(status(container, "/ping", ""), 200);
        assert_eq!(status(container, "/v1/device/host-config", &key(container)), 401, "the label is not there");
    }
    assert!(plain.variable("BALENA_SUPERVISOR_ADDRESS").is_none());
    let faults = site.device.get("/v3/status").json()["faults"].clone();
    assert_eq!(faults, json!([]));

    // A key made anew reaches the service with a new container; the old one is worth nothing.
    let old = key(caller);
    let answer = site.device.command(&["key", "rotate", "caller"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    // Its own container goes at any moment now.
    assert_eq!(status(host, "/v2/state/status", &old), 401);
    let caller = wait_for("a container with the new key", || {
        let all = engine.containers(&site.app);
        let new = all.into_iter().find(|c| c.service == "caller" && c.running && key(c) != old);
        new.ok_or_else(|| site.device.status())
    });
    assert_eq!(status(&caller, "/v2/state/status", &key(&caller)), 200);

    // Without callers it listens nowhere, and keeps nobody's key.
    site.update(&first.again_as("third"));
    wait_for("the addresses to be closed", || {
        let open = listens();
        check(open == json!([]), open)
    });
    let list = site.device.get("/v3/keys").json();
    let taken = |row: &Value| row["taken"] == true && !row["service"].is_null();
    assert!(!list["keys"].as_array().unwrap().iter().any(taken), "{list}");
}

#[test]
fn an_address_that_another_program_has_is_had_once_it_is_free() {
    let Some(engine) = Engine::own() else { return };
    engine.enter_network();
    let image = engine.image(Role::Sleeps, "sleeps");
    let release = Release::new("only").service(
        "host",
        Service::new(&image).label("io.balena.features.supervisor-api", "1").field("network_mode", json!("host")),
    );
    let mut site = Site::on(&engine);
    site.want(&release);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    site.device.join_with_port_of(&site.cloud, port);
    let containers = site.wait_settled(&release);
    site.device.wait_status(&["local API", &format!("127.0.0.1:{port} cannot be opened"), "another program has it"]);
    let said = site.device.command(&["status"]);
    assert!(said.stdout.contains("cannot be opened"), "{}", said.stdout);
    drop(other);
    wait_for("the address to be had", || {
        let status = site.device.status();
        check(!status.contains("cannot be opened"), status)
    });
    assert_eq!(status(&containers[0], "/v2/version", &key(&containers[0])), 200);
}
