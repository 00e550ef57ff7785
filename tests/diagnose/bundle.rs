//! What a bundle holds, and what it does not tell.

use std::path::PathBuf;

use super::*;

/// A device with secrets everywhere, and a bundle of it.
fn bundle_of(device: &Device, told: &[String], more: &[&str], name: &str) -> PathBuf {
    let path = device.path(name);
    let mut arguments = vec!["diagnose", "--bundle", path.to_str().unwrap()];
    arguments.extend(told.iter().map(String::as_str));
    arguments.extend(more);
    let answer = device.command(&arguments);
    assert!(path.exists(), "{answer:?}");
    path
}

#[test]
fn a_bundle_holds_everything_but_the_secrets() {
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    // The journal is read by the program of that name that comes first.
    let path = format!("PATH={}:{}", root.path().display(), std::env::var("PATH").unwrap());
    let mut device = Device::simulated().running(vec!["env".into(), path.into(), binary()]);
    let told = secrets::plant(&mut device, root.path());
    let bundle = bundle_of(&device, &told, &[], "bundle.tar.gz");
    assert_eq!(std::fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o600);
    let members = secrets::members(&bundle);
    for name in [
        "checks.json",
        "checks.txt",
        "README.txt",
        "removed.json",
        "config.json",
        "database.sqlite",
        "events.json",
        "log/holdfast.txt",
        "engine/containers.json",
        "engine/info.json",
        "engine/images.json",
        "engine/networks.json",
        "engine/volumes.json",
        "host/device.json",
        "host/etc/NetworkManager/system-connections/one",
        "host/mnt/boot/system-proxy/redsocks.conf",
    ] {
        assert!(members.contains_key(name), "{name} in {:?}", members.keys());
    }
    let mut leaks: Vec<String> = vec![];
    for place in secrets::PLACES.iter().chain(&secrets::PLAIN) {
        leaks.extend(secrets::found(&members, &secrets::secret(place)).into_iter().map(|found| format!("{place} in {found}")));
    }
    leaks.extend(secrets::found(&members, KEY));
    let keys = api_keys(&device);
    assert!(!keys.is_empty(), "the agent made keys");
    leaks.extend(keys.iter().flat_map(|key| secrets::found(&members, key)));
    assert!(leaks.is_empty(), "{leaks:#?}");
    println!(
        "{} secrets in {} members of {} bytes, none found",
        secrets::PLACES.len() + secrets::PLAIN.len() + keys.len() + 1,
        members.len(),
        members.values().map(Vec::len).sum::<usize>()
    );

    // What is left still says something, and what was removed is listed.
    let text = |name: &str| String::from_utf8_lossy(&members[name]).into_owned();
    assert!(text("log/holdfast.txt").contains("plain words stay"));
    assert!(
        text("engine/containers.json").contains("DB_PASSWORD=(removed)")
            && text("engine/containers.json").contains("io.balena.app-id")
    );
    assert!(text("config.json").contains(&device.uuid));
    let removed: Value = serde_json::from_str(&text("removed.json")).unwrap();
    let places = removed["removed"].to_string();
    for place in [
        "config.json#/deviceApiKey",
        "engine/containers.json#/0/Config/Env/DB_PASSWORD",
        "database.sqlite#/api_key/key",
        "log/holdfast.txt",
        "database.sqlite#/stored_target/body",
        "host/etc/holdfast/agent.env#/environment/HTTPS_PROXY",
    ] {
        assert!(places.contains(place), "{place} in {places}");
    }
    let copy = device.path("copy.sqlite");
    std::fs::write(&copy, &members["database.sqlite"]).unwrap();
    let copy = rusqlite::Connection::open(copy).unwrap();
    let count = |sql: &str| copy.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(count("SELECT count(*) FROM stored_target") == 1 && count("SELECT count(*) FROM event") > 0);

    // With the environment: what is secret by its name is removed all the same.
    let members = secrets::members(&bundle_of(&device, &told, &["--with-environment"], "with.tar.gz"));
    let leaks: Vec<String> = secrets::PLACES
        .iter()
        .filter(|place| **place != "network label")
        .flat_map(|place| secrets::found(&members, &secrets::secret(place)))
        .collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    for place in secrets::PLAIN {
        assert!(!secrets::found(&members, &secrets::secret(place)).is_empty(), "{place} was asked for");
    }
}

/// The keys of the local API that the agent made.
fn api_keys(device: &Device) -> Vec<String> {
    let database = rusqlite::Connection::open(device.path("data").join("database.sqlite")).unwrap();
    let mut select = database.prepare("SELECT key FROM api_key").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}
