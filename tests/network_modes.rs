//! How services are connected, on a real engine: what the engine was told, and whether packets really go there.
// needs: engine

use crate::support::{Container, Engine, Release, Role, Service, Site, check, ids, wait_for};
use serde_json::{Value, json};

fn mode(container: &Container) -> &str {
    container.inspect["HostConfig"]["NetworkMode"].as_str().unwrap_or_default()
}

/// What the engine says of a container in a network; null where it is not in it.
fn endpoint<'c>(container: &'c Container, network: &str) -> &'c Value {
    &container.inspect["NetworkSettings"]["Networks"][network]
}

fn networks_of(container: &Container) -> Vec<String> {
    let networks = container.inspect["NetworkSettings"]["Networks"].as_object().cloned().unwrap_or_default();
    networks.keys().cloned().collect()
}

fn aliases(container: &Container, network: &str) -> Vec<String> {
    let aliases = endpoint(container, network)["Aliases"].as_array().cloned().unwrap_or_default();
    aliases.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Waits until a container reaches a web server at an address.
fn reaches(from: &Container, address: &str, expected: &str) {
    wait_for(&format!("{} to reach {address}", from.service), || {
        let page = from.fetch(address, 80)?;
        check(page.starts_with(expected), page)
    });
}

fn pool(subnet: &str) -> Value {
    json!({ "ipam": { "config": [{ "subnet": subnet }] } })
}

#[test]
fn each_mode_is_what_the_engine_is_told() {
    let Some(engine) = Engine::shared() else { return };
    let (sleeps, serves) = (engine.image(Role::Sleeps, "sleeps"), engine.image(Role::Serves, "served"));
    let service = |mode: &str| Service::new(&sleeps).field("network_mode", json!(mode));
    let two = json!({ "front": { "aliases": ["shop", "till"] }, "back": { "ipv4_address": "10.131.1.20" } });
    let release = Release::new("first")
        .network("front", json!({}))
        .network("back", pool("10.131.1.0/24"))
        .network("lonely", json!({ "internal": true }))
        .service("plain", Service::new(&sleeps))
        .service("several", Service::new(&serves).field("networks", two))
        .service("client", Service::new(&sleeps).field("networks", json!(["back"])))
        .service("host", service("host"))
        .service("none", service("none"))
        .service("bridge", service("bridge"))
        .service("vpn", Service::new(&serves))
        .service("inside", service("service:vpn"))
        .service("cut-off", Service::new(&sleeps).field("networks", json!(["lonely"])));
    let (site, _) = Site::settled(&engine, &release);
    let of = |name: &str| engine.service(&site.app, name);
    let network = |name: &str| site.app.network(name);

    let plain = of("plain");
    assert_eq!((mode(&plain), networks_of(&plain)), (network("default").as_str(), vec![network("default")]));
    assert!(aliases(&plain, &network("default")).contains(&"plain".to_owned()), "a service is found under its name");

    let several = of("several");
    assert_eq!(networks_of(&several), [network("back"), network("front")]);
    let front = aliases(&several, &network("front"));
    assert!(["several", "shop", "till"].iter().all(|alias| front.iter().any(|a| a == alias)), "{front:?}");
    assert_eq!(endpoint(&several, &network("back"))["IPAddress"], "10.131.1.20");
    reaches(&of("client"), "10.131.1.20", "served");

    assert_eq!((mode(&of("host")), mode(&of("none")), mode(&of("bridge"))), ("host", "none", "bridge"));
    let addresses = engine.exec_ok(&of("none").id, &["cat", "/proc/net/dev"]);
    assert!(addresses.lines().skip(2).all(|line| line.trim_start().starts_with("lo:")), "{addresses}");
    let seen = engine.exec_ok(&of("host").id, &["cat", "/proc/net/dev"]);
    assert!(seen.contains("docker0"), "the host's own interfaces: {seen}");

    let (vpn, inside) = (of("vpn"), of("inside"));
    assert_eq!(mode(&inside), format!("container:{}", vpn.id));
    reaches(&inside, "127.0.0.1", "served");
    assert!(vpn.started_at() < inside.started_at(), "the partner comes first");

    let about = engine.call("GET", &format!("/networks/{}", network("lonely")), &Value::Null).json();
    assert_eq!(about["Internal"], true);

    // All that is read back as it was made: nothing is made twice.
    let before = engine.containers(&site.app);
    let after = site.update(&release.again_as("second"));
    assert_eq!(ids(&after), ids(&before));
}

#[test]
fn who_shares_a_network_stack_goes_with_its_partner() {
    let Some(engine) = Engine::shared() else { return };
    let sleeps = engine.image(Role::Sleeps, "sleeps");
    let release = |name: &str, vpn: &str| {
        Release::new(name)
            .service("apart", Service::new(&sleeps))
            .service("inside", Service::new(&sleeps).field("network_mode", json!("service:vpn")))
            .service("vpn", Service::new(vpn))
    };
    let (site, before) = Site::settled(&engine, &release("first", &engine.image(Role::Serves, "first")));
    reaches(&before[1], "127.0.0.1", "first");

    let after = site.update(&release("second", &engine.image(Role::Serves, "second")));
    assert_eq!(after[0].id, before[0].id, "apart has nothing to do with it");
    assert_ne!(after[2].id, before[2].id);
    assert_eq!(mode(&after[1]), format!("container:{}", after[2].id));
    reaches(&after[1], "127.0.0.1", "second");

    // The same when the partner is lost behind the agent's back.
    engine.remove_container(&after[2].id);
    wait_for("both to be there again", || {
        let now = engine.containers(&site.app);
        let (Some(inside), Some(vpn)) =
            (now.iter().find(|c| c.service == "inside" && c.running), now.iter().find(|c| c.service == "vpn" && c.running))
        else {
            return Err(format!("{} there", now.len()));
        };
        check(mode(inside) == format!("container:{}", vpn.id) && vpn.id != after[2].id, mode(inside))
    });
}

#[test]
fn a_changed_address_range_replaces_the_network_and_its_users_only() {
    let Some(engine) = Engine::shared() else { return };
    let sleeps = engine.image(Role::Sleeps, "sleeps");
    let release = |name: &str, subnet: Option<&str>| {
        Release::new(name)
            .network("lab", subnet.map_or_else(|| json!({}), pool))
            .service("apart", Service::new(&sleeps))
            .service("guest", Service::new(&sleeps).field("networks", json!(["lab"])))
    };
    let (site, before) = Site::settled(&engine, &release("first", Some("10.131.2.0/24")));
    let lab = site.app.network("lab");
    let id = || engine.call("GET", &format!("/networks/{lab}"), &Value::Null).json()["Id"].clone();
    let address = |container: &Container| endpoint(container, &lab)["IPAddress"].as_str().unwrap_or_default().to_owned();
    assert!(address(&before[1]).starts_with("10.131.2."));
    let first_id = id();

    let after = site.update(&release("second", Some("10.131.3.0/24")));
    assert!(address(&after[1]).starts_with("10.131.3."), "{}", address(&after[1]));
    assert_ne!(id(), first_id);
    assert_eq!(after[0].id, before[0].id, "apart is in another network");

    // Without a range of its own it gets one of the engine's.
    let last = site.update(&release("third", None));
    assert!(!address(&last[1]).starts_with("10.131."), "{}", address(&last[1]));
    assert_eq!(last[0].id, before[0].id);

    // A network that left the release goes; the service that was in it is in the default one.
    let fourth = Release::new("fourth").service("apart", Service::new(&sleeps)).service("guest", Service::new(&sleeps));
    site.update(&fourth);
    wait_for("the network to go", || check(engine.networks(&lab).is_empty(), "it is there"));
}

#[test]
fn services_that_may_call_the_local_api_join_its_network() {
    // One such network is all that an engine can have.
    let Some(engine) = Engine::own() else { return };
    let sleeps = engine.image(Role::Sleeps, "sleeps");
    let with_api = || Service::new(&sleeps).label("io.balena.features.supervisor-api", "1");
    let release = Release::new("first")
        .service("caller", with_api())
        .service("host", with_api().field("network_mode", json!("host")))
        .service("plain", Service::new(&sleeps));
    let (site, containers) = Site::settled(&engine, &release);
    let [caller, host, plain] = &containers[..] else { panic!("three containers") };

    assert!(endpoint(caller, "supervisor0")["IPAddress"].as_str().unwrap_or_default().starts_with("10.114.104."));
    assert!(!endpoint(caller, &site.app.network("default")).is_null(), "beside its own network");
    assert_eq!(caller.variable("BALENA_SUPERVISOR_ADDRESS"), Some("http://10.114.104.1:48484"));
    let key = caller.variable("BALENA_SUPERVISOR_API_KEY").expect("it has a key");
    assert_eq!(key.len(), 32);
    assert_eq!((mode(host), host.variable("RESIN_SUPERVISOR_HOST")), ("host", Some("127.0.0.1")));
    assert_ne!(host.variable("BALENA_SUPERVISOR_API_KEY"), Some(key), "each service has a key of its own");
    assert!(endpoint(plain, "supervisor0").is_null() && plain.variable("BALENA_SUPERVISOR_API_KEY").is_none());
    let (ok, addresses) = engine.run_in_network(&["ip", "-4", "addr", "show", "dev", "supervisor0"]);
    assert!(ok && addresses.contains("10.114.104.1/25"), "{addresses}");

    // The key stays: a restart of the agent recreates nothing.
    let mut site = site;
    site.device.kill();
    site.device.start();
    site.device.wait_status(&["settled"]);
    assert_eq!(ids(&engine.containers(&site.app)), ids(&containers));
}
