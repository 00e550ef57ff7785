//! The store as the agent uses it: what goes in comes back, nothing changed costs nothing, and every failure passes.

use std::fs;
use std::time::{Duration, SystemTime};

use holdfast_plan::memory::{ImageRecord, Rejected, Remember, Settled, Trial};
use proptest::prelude::*;
use rusqlite::Connection;

use super::super::change::{LOCAL_SOURCE, StoredTarget};
use super::super::inline::InlineStore;
use super::super::migrations::migrations;
use super::*;

mod history;

const CLOUD: &str = "https://api.example.com";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open_in(folder: &tempfile::TempDir) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&folder.path().join("data"), &database_in(folder))
}

fn database_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("data/database.sqlite")
}

fn target(source: &str, uuid: &str, body: &str) -> StoredTarget {
    StoredTarget { source: source.into(), uuid: uuid.into(), etag: Some("W/\"1\"".into()), body: body.into() }
}

fn value(name: &str, value: &str) -> Change {
    Change::Value { name: name.into(), value: Some(value.into()) }
}

/// One of everything.
fn everything() -> Vec<Change> {
    let image = format!("registry2.example.com/v2/ab@{DIGEST}").parse().unwrap();
    let record = ImageRecord {
        image,
        engine_id: DIGEST.into(),
        app_uuid: "app".into(),
        service: "main".into(),
        size_bytes: 7,
        pulled_ms: None,
    };
    vec![
        Change::Target(target(CLOUD, "u1", r#"{"u1":{"name":"n","apps":{}}}"#)),
        Change::Remember(Remember::Settle { app_uuid: "app".into(), settled: settled(5, "c0ffee") }),
        Change::Remember(Remember::Depart { app_id: 6, at_ms: 1 }),
        Change::Remember(Remember::Image(record)),
        Change::Remember(Remember::Stop { app_id: 5, service: "main".into(), stopped: true }),
        Change::Remember(Remember::Held { container: "c0ffee".into(), held: true }),
        Change::ApiKey { owner: None, key: "0".repeat(32) },
        Change::ApiKey { owner: Some((5, "main".into())), key: "1".repeat(32) },
        value("name", "local"),
    ]
}

fn settled(app_id: u64, commit: &str) -> Settled {
    let document = serde_json::json!({ "id": app_id, "releases": { commit: {} } });
    Settled { app_id, commit: commit.to_owned(), fingerprint: "f".into(), document }
}

/// Runs something on the store's connection and waits for it.
async fn on_connection<T: Send + 'static>(store: &SqliteStore, action: impl FnOnce(&Connection) -> T + Send + 'static) -> T {
    let (reply, answer) = oneshot::channel();
    let command = Command::With(Box::new(move |connection| assert!(reply.send(action(connection)).is_ok())));
    assert!(store.commands.as_ref().unwrap().send(command).await.is_ok());
    answer.await.unwrap()
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    assert_eq!(store.load(CLOUD, "u1").await.unwrap(), Loaded::default());
    store.commit(everything()).await.unwrap();
    let before = store.load(CLOUD, "u1").await.unwrap();
    assert!(before.memory.target_stored && before.target.is_some() && before.api_keys.len() == 2);
    drop(store);
    assert!(!folder.path().join("data/database.sqlite-wal").exists(), "the log is moved into the file at the end");

    let store = open_in(&folder).unwrap();
    assert_eq!(store.load(CLOUD, "u1").await.unwrap(), before);
    let health = store.health().await;
    assert!(
        health.open
            && health.schema == migrations().len() as u32
            && health.rows >= 8
            && health.free_bytes.is_some()
            && health.journal_mode == "wal"
            && health.size_bytes > 4096,
        "{health:?}"
    );
    assert_eq!(health.error, None);
}

#[tokio::test]
async fn what_is_there_already_costs_no_write() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    store.commit(everything()).await.unwrap();
    let picture = || {
        let files =
            ["database.sqlite", "database.sqlite-wal"].map(|name| fs::metadata(folder.path().join("data").join(name)).unwrap());
        files.map(|file| (file.len(), file.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
    };
    let (before, changes) = (picture(), on_connection(&store, Connection::total_changes).await);
    std::thread::sleep(Duration::from_millis(20));
    for _ in 0..100 {
        store.commit(everything()).await.unwrap();
        store.commit(vec![]).await.unwrap();
        let gone = Change::Value { name: "never there".into(), value: None };
        store.commit(vec![gone, Change::Remember(Remember::Unsettle { app_uuid: "never there".into() })]).await.unwrap();
    }
    assert_eq!(on_connection(&store, Connection::total_changes).await, changes);
    assert_eq!(picture(), before);
    // And the picture is one that shows a write.
    store.commit(vec![value("name", "other")]).await.unwrap();
    assert_ne!(picture(), before);
}

#[tokio::test]
async fn a_target_of_another_cloud_or_device_is_not_this_devices() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    store.commit(vec![Change::Target(target(CLOUD, "u1", "{}"))]).await.unwrap();
    store.commit(vec![Change::Target(target(LOCAL_SOURCE, "u1", "[]"))]).await.unwrap();
    let body = async |source: &str, uuid: &str| store.load(source, uuid).await.unwrap().target.map(|target| target.body);
    assert_eq!(body(CLOUD, "u1").await.as_deref(), Some("{}"));
    assert_eq!(body(LOCAL_SOURCE, "u1").await.as_deref(), Some("[]"));
    for (source, uuid) in [(CLOUD, "u2"), ("https://other.example.com", "u1")] {
        let loaded = store.load(source, uuid).await.unwrap();
        assert_eq!((loaded.target, loaded.memory.target_stored), (None, true));
    }
    // Another cloud's target ends the first cloud's; another identity ends everything of the old one.
    store.commit(vec![Change::Target(target("https://other.example.com", "u1", "1"))]).await.unwrap();
    assert_eq!((body(CLOUD, "u1").await, body(LOCAL_SOURCE, "u1").await.as_deref()), (None, Some("[]")));
    store.commit(vec![Change::Target(target(CLOUD, "u2", "2"))]).await.unwrap();
    assert_eq!(
        on_connection(&store, |c| c.query_row("SELECT count(*) FROM stored_target", [], |r| r.get::<_, i64>(0))).await,
        Ok(1)
    );
}

#[tokio::test]
async fn a_commit_is_stored_as_a_whole_or_not_at_all() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    for bad in [
        Change::ApiKey { owner: None, key: "NOT HEX".into() },
        Change::Target(target(CLOUD, "u1", "{not json")),
        Change::Remember(Remember::Depart { app_id: u64::MAX, at_ms: 0 }),
        Change::Remember(Remember::Stop { app_id: 1, service: String::new(), stopped: true }),
    ] {
        let error = store.commit(vec![value("a", "b"), bad.clone()]).await.unwrap_err().to_string();
        assert!(error.starts_with(&database_in(&folder).display().to_string()), "{error}");
        assert!(error.contains("nothing was stored"), "{error}");
        assert_eq!(store.load(CLOUD, "u1").await.unwrap(), Loaded::default(), "{bad:?}");
    }
    store.commit(everything()).await.unwrap();
    let twice = Change::ApiKey { owner: Some((9, "other".into())), key: "1".repeat(32) };
    assert!(store.commit(vec![twice]).await.is_err(), "two owners had the same key");
}

#[tokio::test]
async fn a_full_disk_passes() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    store.commit(everything()).await.unwrap();
    let before = store.load(CLOUD, "u1").await.unwrap();
    let limit = |pages: u32| {
        move |c: &Connection| c.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, u32>(0)).unwrap()
    };
    on_connection(&store, limit(1)).await;
    let large = || vec![value("first", "x"), Change::Target(target(CLOUD, "u1", &format!("\"{}\"", "y".repeat(200_000))))];
    let error = store.commit(large()).await.unwrap_err().to_string();
    assert!(error.contains("database.sqlite: ") && error.contains("full") && error.contains("free some space"), "{error}");
    assert_eq!(store.health().await.error, Some(error));
    assert_eq!(store.load(CLOUD, "u1").await.unwrap(), before);
    on_connection(&store, limit(u32::MAX / 2)).await;
    store.commit(large()).await.unwrap();
    assert_eq!(store.health().await.error, None);
    assert_eq!(store.load(CLOUD, "u1").await.unwrap().values["first"], "x");
}

#[tokio::test]
async fn another_program_may_read_and_a_locking_one_passes() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    store.commit(everything()).await.unwrap();
    let other = Connection::open(database_in(&folder)).unwrap();
    let integrity: String = other.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    on_connection(&store, |connection| connection.busy_timeout(Duration::from_millis(10)).unwrap()).await;
    let error = store.commit(vec![value("a", "b")]).await.unwrap_err().to_string();
    assert!(error.contains("another program has the file locked"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(vec![value("a", "b")]).await.unwrap();
}

#[tokio::test]
async fn a_transaction_left_open_does_not_stop_the_next_commit() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    on_connection(&store, |connection| connection.execute_batch("BEGIN; INSERT INTO value VALUES ('half', 'x')").unwrap()).await;
    store.commit(vec![value("a", "b")]).await.unwrap();
    assert_eq!(store.load("", "").await.unwrap().values, [("a".to_owned(), "b".to_owned())].into());
}

#[tokio::test]
async fn a_row_that_makes_no_sense_does_not_stop_the_others() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    store.commit(everything()).await.unwrap();
    on_connection(&store, |c| c.execute("INSERT INTO image VALUES ('a@b', '', '', '', 0, NULL)", []).unwrap()).await;
    assert_eq!(store.load(CLOUD, "u1").await.unwrap().memory.images.len(), 1);
}

#[tokio::test]
async fn the_second_agent_is_turned_away_until_the_first_has_gone() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    assert!(matches!(open_in(&folder), Err(StoreError::Held { pid: Some(_), .. })));
    drop(store);
    let store = open_in(&folder).unwrap();
    // What was sent before the end is done before the end.
    let (reply, _) = oneshot::channel();
    let last = Command::Commit { changes: vec![value("last", "words")], reply };
    assert!(store.commands.as_ref().unwrap().try_send(last).is_ok());
    drop(store);
    assert_eq!(open_in(&folder).unwrap().load("", "").await.unwrap().values["last"], "words");
}

/// Any change, over few enough names that they meet.
fn any_change() -> impl Strategy<Value = Change> {
    let uuid = prop_oneof![Just("u1"), Just("u2")];
    let source = prop_oneof![Just(CLOUD), Just("http://other"), Just(LOCAL_SOURCE)];
    let name = prop_oneof![Just("a"), Just("b")].prop_map(str::to_owned);
    let id = 0_u64..3;
    let key = (0_u8..2, id.clone(), name.clone()).prop_map(|(whose, id, name)| {
        let owner = (whose == 1).then_some((id, name.clone()));
        // The same owner always has the same key: keys are unique.
        Change::ApiKey { key: format!("{:032x}", owner.as_ref().map_or(0, |_| 1 + id * 2 + u64::from(name == "b"))), owner }
    });
    let remember = prop_oneof![
        (name.clone(), id.clone(), name.clone())
            .prop_map(|(app_uuid, app_id, commit)| Remember::Settle { app_uuid, settled: settled(app_id, &commit) }),
        name.clone().prop_map(|app_uuid| Remember::Unsettle { app_uuid }),
        (name.clone(), name.clone(), 0_u32..3).prop_map(|(app_uuid, commit, starts)| Remember::BeginTrial {
            app_uuid,
            trial: Trial { commit, starts, since_boot_ms: Some(1) }
        }),
        (name.clone(), name.clone(), name.clone())
            .prop_map(|(app_uuid, commit, why)| Remember::Reject { app_uuid, rejected: Rejected { commit, why } }),
        name.clone().prop_map(|app_uuid| Remember::ForgetRejected { app_uuid }),
        (id.clone(), 0_i64..3).prop_map(|(app_id, at_ms)| Remember::Depart { app_id, at_ms }),
        id.clone().prop_map(|app_id| Remember::ForgetDeparture { app_id }),
        (name.clone(), any::<bool>()).prop_map(|(container, held)| Remember::Held { container, held }),
        (id.clone(), name.clone(), any::<bool>()).prop_map(|(app_id, service, stopped)| Remember::Stop {
            app_id,
            service,
            stopped
        }),
        (name.clone(), id.clone(), proptest::option::of(0_i64..2)).prop_map(|(image, size_bytes, pulled_ms)| {
            let image = format!("r.example.com/{image}:tag@{DIGEST}").parse().unwrap();
            let text = "x".to_owned();
            Remember::Image(ImageRecord {
                image,
                engine_id: text.clone(),
                app_uuid: text.clone(),
                service: text,
                size_bytes,
                pulled_ms,
            })
        }),
        name.clone().prop_map(|image| Remember::ForgetImage { image: format!("r.example.com/{image}@{DIGEST}") }),
    ];
    prop_oneof![
        (source, uuid, 0_u8..3).prop_map(|(source, uuid, body)| Change::Target(target(source, uuid, &body.to_string()))),
        remember.prop_map(Change::Remember),
        key,
        (name.clone(), proptest::option::of(name)).prop_map(|(name, value)| Change::Value { name, value }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// The file, the simulation's store and a restart all tell the same story.
    #[test]
    fn the_file_and_the_simulation_agree(commits in prop::collection::vec(prop::collection::vec(any_change(), 1..6), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = folder();
            let (store, inline) = (open_in(&folder).unwrap(), InlineStore::new());
            on_connection(&store, |c| c.pragma_update(None, "synchronous", "OFF").unwrap()).await;
            for commit in commits {
                inline.commit(commit.clone()).await.unwrap();
                store.commit(commit).await.unwrap();
                for (source, uuid) in [(CLOUD, "u1"), (CLOUD, "u2"), ("http://other", "u1"), (LOCAL_SOURCE, "u2")] {
                    assert_eq!(store.load(source, uuid).await.unwrap(), inline.load(source, uuid).await.unwrap());
                }
            }
            drop(store);
            let reopened = open_in(&folder).unwrap();
            assert_eq!(reopened.load(CLOUD, "u1").await.unwrap(), inline.load(CLOUD, "u1").await.unwrap());
        });
    }
}
