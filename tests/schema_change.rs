//! Two agents of different schema versions on one data directory: the one cargo built, and one with a step more
//! (`holdfast-next`), as before and after an update of the agent.
// runs: beside the others

use crate::support::{App, Cloud, Device, Release, Service, binary, check, next_agent, wait_for};

fn schema(device: &Device) -> u64 {
    device.get("/v3/status").json()["database"]["schema"].as_u64().unwrap()
}

fn recovery(device: &Device) -> String {
    device.get("/v3/status").json()["database"]["recovery"]["message"].as_str().unwrap_or_default().to_owned()
}

/// Names of the copies, newest first.
fn copies(device: &Device) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(device.path("data/backups"))
        .map(|folder| folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names.reverse();
    names
}

fn wait_log(device: &Device, words: &[&str]) -> String {
    wait_for(&format!("the log to say {words:?}"), || {
        let log = device.log();
        check(words.iter().all(|word| log.contains(word)), "not yet").map(|()| log)
    })
}

fn sql(device: &Device, sql: &str) {
    rusqlite::Connection::open(device.path("data/database.sqlite")).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn an_agent_changes_for_one_of_another_schema_version_and_back() {
    let next = next_agent();
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    let image = format!("registry.example.com/v2/{:032x}@sha256:{:064x}", 1, 1);
    let release = Release::new("one").service("main", Service::new(&image));
    cloud.want(&[(&app, &release)]);
    device.join(&cloud);
    cloud.wait_settled(&app, &release);
    let ours = schema(&device);
    device.stop();

    // A step that fails: the file is as it was, with a verified copy beside it, and the agent of before goes on.
    device.change_agent(&next);
    device.set("HOLDFAST_TEST_MIGRATION", "fail");
    device.spawn();
    wait_log(&device, &["no such table: nowhere", "the schema is as it was before"]);
    // Tried again every few seconds, and the copy is not made again each time.
    std::thread::sleep(std::time::Duration::from_secs(6));
    device.kill();
    assert_eq!(copies(&device).len(), 1, "{:?}", copies(&device));
    assert!(copies(&device)[0].ends_with(&format!("-v{ours}.sqlite")));
    device.change_agent(binary());
    device.start();
    assert_eq!((schema(&device), recovery(&device)), (ours, String::new()));
    device.wait_status(&[&release.commit]);
    device.stop();

    // A step that works, and back: the stored script takes it back, and what that costs is said.
    device.change_agent(&next);
    device.unset("HOLDFAST_TEST_MIGRATION");
    device.start();
    assert_eq!(schema(&device), ours + 1);
    assert!(copies(&device).iter().any(|name| name.ends_with(&format!("-v{ours}.sqlite"))), "a copy from before the step");
    device.stop();
    device.change_agent(binary());
    device.start();
    assert_eq!(schema(&device), ours);
    assert!(recovery(&device).contains("lost with it: table test_history (2 rows)"), "{}", recovery(&device));
    assert!(copies(&device)[0].ends_with(&format!("-v{}.sqlite", ours + 1)), "the newer database is kept as it was");
    assert!(device.command(&["status"]).stdout.contains("test_history"), "a person is told");
    cloud.wait_settled(&app, &release);
    device.stop();

    // A way back that is broken: the copy of this agent's version comes back.
    device.change_agent(&next);
    device.start();
    device.stop();
    sql(&device, &format!("UPDATE migration SET down_sql = 'DROP TABLE not_there' WHERE version = {}", ours + 1));
    device.change_agent(binary());
    device.start();
    assert_eq!(schema(&device), ours);
    let said = recovery(&device);
    assert!(said.contains("cannot be taken back") && said.contains("was restored") && said.contains("is lost"), "{said}");
    cloud.wait_settled(&app, &release);
    device.stop();

    // Neither a way back nor a copy: left as it is, and tried again.
    device.change_agent(&next);
    device.start();
    device.stop();
    sql(&device, &format!("UPDATE migration SET down_sql = 'DROP TABLE not_there' WHERE version = {}", ours + 1));
    std::fs::remove_dir_all(device.path("data/backups")).unwrap();
    let before = std::fs::read(device.path("data/database.sqlite")).unwrap();
    device.change_agent(binary());
    device.spawn();
    wait_log(&device, &["it was left as it is: start the newer agent"]);
    device.kill();
    assert_eq!(std::fs::read(device.path("data/database.sqlite")).unwrap(), before, "not touched");
    device.change_agent(&next);
    device.start();
    assert_eq!(schema(&device), ours + 1, "the newer agent goes on with it");
    device.stop();

    // Going back on command, while no agent runs.
    sql(&device, &format!("UPDATE migration SET down_sql = 'DROP TABLE test_history' WHERE version = {}", ours + 1));
    let back = device.command(&["db", "migrate", "--to", &ours.to_string()]);
    assert!(back.code == 0 && back.stdout.contains("a verified copy"), "{back:?}");
    device.change_agent(binary());
    device.start();
    assert_eq!((schema(&device), recovery(&device)), (ours, String::new()));
}
