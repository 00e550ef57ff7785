//! Past states, events, what they cost, and the views that people ask.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::events::{Level, Topic};
use crate::store::{EventPage, EventRange, SnapshotKind, Written};

fn event(level: Level, message: &str) -> Event {
    Event { app: Some("fleet".into()), ..Event::note(level, message.into(), Some(1_800_000_000_000)) }
}

fn current(state: &str) -> Change {
    Change::Snapshot { state: state.into() }
}

async fn count(store: &SqliteStore, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    on_connection(store, move |c| c.query_row(&sql, [], |row| row.get(0)).unwrap()).await
}

async fn texts(store: &SqliteStore) -> Vec<(String, i64)> {
    on_connection(store, |c| {
        let mut select = c.prepare("SELECT text, count FROM event ORDER BY id").unwrap();
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    })
    .await
}

async fn written(store: &SqliteStore) -> BTreeMap<String, Written> {
    store.figures().await.unwrap().writes.since_start
}

#[tokio::test]
async fn targets_are_kept_when_they_change_and_states_when_they_differ() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    let with_etag =
        |etag: &str, body: &str| Change::Target(StoredTarget { etag: Some(etag.into()), ..target(CLOUD, "u1", body) });
    store.commit(vec![with_etag("1", "{}")]).await.unwrap();
    // The same body under another name is no news.
    store.commit(vec![with_etag("2", "{}")]).await.unwrap();
    store.commit(vec![current("1"), current("1")]).await.unwrap();
    store.commit(vec![with_etag("3", "[]")]).await.unwrap();
    store.commit(vec![current("1")]).await.unwrap();
    store.commit(vec![current("2")]).await.unwrap();
    let history = store.history().await.unwrap();
    let seen: Vec<_> = history.iter().map(|s| (s.id, s.kind, s.state.as_str())).collect();
    use SnapshotKind::{Current, Target};
    assert_eq!(seen, [(4, Current, "2"), (3, Target, "[]"), (2, Current, "1"), (1, Target, "{}")]);
    assert_eq!((history[0].source.as_deref(), history[1].source.as_deref()), (None, Some(CLOUD)));
    drop(store);
    // The same from the file alone, which is left as it is.
    let before = fs::metadata(database_in(&folder)).unwrap().modified().unwrap();
    assert_eq!(crate::store::history_of(&database_in(&folder)).unwrap(), history);
    assert_eq!(fs::metadata(database_in(&folder)).unwrap().modified().unwrap(), before);
    let left = fs::read_dir(folder.path().join("data")).unwrap().flatten().map(|entry| entry.file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().contains("sqlite-")).count(), 0);
}

#[tokio::test]
async fn history_is_bounded_in_number_and_bytes() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    on_connection(&store, |c| c.pragma_update(None, "synchronous", "OFF").unwrap()).await;
    for number in 0..120 {
        store.commit(vec![current(&number.to_string()), Change::Target(target(CLOUD, "u1", &number.to_string()))]).await.unwrap();
    }
    assert_eq!(count(&store, "snapshot").await, 100, "fifty of each kind");
    for number in 0..30 {
        let state = format!("\"{number}{}\"", "x".repeat(60_000));
        store.commit(vec![current(&state), Change::Target(target(CLOUD, "u1", &state))]).await.unwrap();
    }
    let kept = store.history().await.unwrap();
    let bytes: usize = kept.iter().map(|snapshot| snapshot.state.len()).sum();
    assert!(bytes < 1_100_000 && kept.len() < 20, "{bytes} bytes in {} snapshots", kept.len());
    // One target that is longer than all that is left is kept by what matters of it.
    let long = format!("{{\"u1\":{{\"apps\":{{}},\"config\":{{\"A\":\"{}\"}}}}}}", "x".repeat(2_000_000));
    store.commit(vec![Change::Target(target(CLOUD, "u1", &long))]).await.unwrap();
    let newest = &store.history().await.unwrap()[0];
    assert_eq!((newest.shortened, newest.state.as_str()), (true, r#"{"u1":{"apps":{}}}"#));
    assert_eq!(store.load(CLOUD, "u1").await.unwrap().target.unwrap().body, long);
}

#[tokio::test]
async fn events_ride_with_a_commit_that_writes_and_with_no_other() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    store.commit(vec![value("a", "1")]).await.unwrap();
    let changes = on_connection(&store, Connection::total_changes).await;
    for _ in 0..5 {
        store.note(&event(Level::Info, "again"));
    }
    store.note(&event(Level::Error, "once"));
    store.commit(vec![value("a", "1")]).await.unwrap();
    store.commit(vec![]).await.unwrap();
    assert_eq!(on_connection(&store, Connection::total_changes).await, changes, "nothing changed, nothing is written");
    store.commit(vec![value("a", "2")]).await.unwrap();
    assert_eq!(texts(&store).await, [("again".to_owned(), 5), ("once".to_owned(), 1)]);
    let changes = on_connection(&store, Connection::total_changes).await;
    store.flush().await.unwrap();
    assert_eq!(on_connection(&store, Connection::total_changes).await, changes, "none waits");
    store.note(&event(Level::Warning, "alone"));
    store.flush().await.unwrap();
    assert_eq!(texts(&store).await.len(), 3);
    assert_eq!(count(&store, "agent_run").await, 1);
}

#[tokio::test]
async fn an_event_never_holds_a_change_up() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    on_connection(&store, |c| c.execute_batch("ALTER TABLE event RENAME TO elsewhere").unwrap()).await;
    store.note(&event(Level::Info, "kept"));
    store.commit(vec![value("a", "1")]).await.unwrap();
    assert_eq!(store.load("", "").await.unwrap().values["a"], "1");
    assert!(store.flush().await.is_err());
    assert!(store.health().await.error.is_some());
    on_connection(&store, |c| c.execute_batch("ALTER TABLE elsewhere RENAME TO event").unwrap()).await;
    store.commit(vec![value("a", "2")]).await.unwrap();
    assert_eq!(texts(&store).await, [("kept".to_owned(), 1)]);
}

#[tokio::test]
async fn old_events_go_and_ids_go_on() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    on_connection(&store, |c| {
        c.execute_batch(
            "INSERT INTO agent_run VALUES (1, 'an earlier boot', 5, '0');
             WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO event SELECT i, 1, 1, i, 'info', NULL, NULL, 'old', 1, 'note' FROM n;",
        )
        .unwrap();
    })
    .await;
    drop(store);
    let store = open_in(&folder).unwrap();
    store.note(&Event { wall_ms: None, ..event(Level::Info, "new") });
    store.flush().await.unwrap();
    assert_eq!(texts(&store).await, [("new".to_owned(), 1)], "older than a week by this machine's clock");
    let newest: i64 = on_connection(&store, |c| c.query_row("SELECT max(id) FROM event", [], |row| row.get(0)).unwrap()).await;
    assert!(newest > 105_000, "{newest}");
    assert_eq!(count(&store, "agent_run").await, 1);
}

fn messages(page: &EventPage) -> Vec<(&str, u32)> {
    page.events.iter().map(|stored| (stored.event.message.as_str(), stored.count)).collect()
}

#[tokio::test]
async fn events_are_read_back_by_id_across_restarts() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    let mut told = store.newest_event();
    let begin = *told.borrow_and_update();
    assert_eq!(store.events(EventRange::After(begin), 10).await.unwrap(), EventPage::default());
    for text in ["one", "again", "two", "again"] {
        store.note(&event(Level::Info, text));
    }
    assert!(told.has_changed().unwrap());
    let page = store.events(EventRange::After(begin), 10).await.unwrap();
    assert_eq!(messages(&page), [("one", 1), ("again", 1), ("two", 1), ("again", 1)], "as they came, before any write");
    let seen = page.events[1].id;
    store.flush().await.unwrap();
    drop(store);
    let store = open_in(&folder).unwrap();
    store.note(&Event { topic: Topic::Pull, service: Some("main".into()), ..event(Level::Error, "three") });
    let mut after = seen;
    let mut all = Vec::new();
    loop {
        let page = store.events(EventRange::After(after), 2).await.unwrap();
        assert!(!page.gap);
        let Some(last) = page.events.last() else { break };
        after = last.id;
        all.extend(page.events);
    }
    let texts: Vec<_> = all.iter().map(|stored| (stored.event.message.as_str(), stored.count)).collect();
    assert_eq!(texts, [("two", 1), ("again", 2), ("three", 1)]);
    assert_eq!((all[2].event.topic, all[2].event.level), (Topic::Pull, Level::Error));
    store.flush().await.unwrap();
    drop(store);
    let store = open_in(&folder).unwrap();
    let stored = store.events(EventRange::After(all[1].id), 10).await.unwrap().events;
    assert_eq!(stored, [all[2].clone()], "the same from the file as it was before");
    let newest = store.events(EventRange::Newest, 2).await.unwrap();
    assert_eq!(messages(&newest), [("again", 2), ("three", 1)]);
}

#[tokio::test]
async fn a_reader_is_told_when_something_it_has_not_seen_is_gone() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    store.note(&event(Level::Info, "first"));
    store.flush().await.unwrap();
    let first = store.events(EventRange::Newest, 1).await.unwrap().events[0].id;
    drop(store);
    let store = open_in(&folder).unwrap();
    on_connection(&store, |c| c.execute_batch("UPDATE event SET at_ms = 1").unwrap()).await;
    store.note(&event(Level::Info, "second"));
    store.note(&event(Level::Info, "third"));
    store.flush().await.unwrap();
    drop(store);
    let store = open_in(&folder).unwrap();
    assert!(store.events(EventRange::After(first - 1), 9).await.unwrap().gap, "the first is too old by now");
    assert!(!store.events(EventRange::After(0), 9).await.unwrap().gap, "nobody has seen anything");
    let foreign = store.events(EventRange::After(i64::MAX), 9).await.unwrap();
    assert!(foreign.gap && messages(&foreign) == [("second", 1), ("third", 1)], "{foreign:?}");
}

#[tokio::test]
async fn what_is_written_is_counted_by_cause() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    if !store.figures().await.unwrap().writes.bytes_counted {
        return;
    }
    assert_eq!(written(&store).await, BTreeMap::new());
    store.commit(vec![value("a", "1")]).await.unwrap();
    let log = fs::metadata(folder.path().join("data/database.sqlite-wal")).unwrap().len();
    let first = written(&store).await["value"];
    assert_eq!((first.times, first.bytes, first.syncs), (1, log, 3), "the log with its header: log twice, folder once");
    store.commit(vec![value("a", "2"), Change::Remember(Remember::Depart { app_id: 6, at_ms: 1 })]).await.unwrap();
    let grown = fs::metadata(folder.path().join("data/database.sqlite-wal")).unwrap().len() - log;
    assert_eq!(written(&store).await["memory"], Written { times: 1, bytes: grown, syncs: 1 });
    // A long log is moved into the file, at a cost of its own, and begins anew.
    on_connection(&store, |c| c.pragma_update(None, "synchronous", "OFF").unwrap()).await;
    for number in 0..20 {
        // Pages that stay the same are not written, so none does.
        let body = format!("\"{}\"", (number + 10).to_string().repeat(250_000));
        store.commit(vec![Change::Target(target(CLOUD, "u1", &body))]).await.unwrap();
    }
    let account = written(&store).await;
    assert!(account.contains_key("checkpoint"), "{account:?}");
    assert!(account["checkpoint"].times >= 2 && account["checkpoint"].bytes > 500_000, "{account:?}");
    let log = fs::metadata(folder.path().join("data/database.sqlite-wal")).unwrap().len();
    assert!(log < 6 * 1024 * 1024, "the log grew to {log} bytes");
}

#[tokio::test]
async fn a_file_with_much_room_in_it_is_made_smaller() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    let large = format!("\"{}\"", "x".repeat(3_000_000));
    store.commit(vec![Change::Target(target(CLOUD, "u1", &large))]).await.unwrap();
    store.tidy().await.unwrap();
    store.commit(vec![Change::Target(target(CLOUD, "u1", "{}"))]).await.unwrap();
    let before = store.figures().await.unwrap();
    assert!(before.free_pages > 700, "{before:?}");
    store.tidy().await.unwrap();
    let after = store.figures().await.unwrap();
    assert_eq!(after.free_pages, 0);
    assert!(store.health().await.size_bytes < 400_000);
    let writes = written(&store).await;
    store.tidy().await.unwrap();
    assert_eq!(written(&store).await, writes, "nothing left to do costs nothing");
}

#[tokio::test]
async fn keys_have_scopes() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    store.commit(everything()).await.unwrap();
    let scopes = || {
        on_connection(&store, |c| {
            let mut select = c.prepare("SELECT scopes FROM api_key ORDER BY app_id").unwrap();
            select.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap).collect::<Vec<_>>()
        })
    };
    assert_eq!(scopes().await, [r#"[{"type":"global"}]"#, r#"[{"type":"app","appId":5}]"#]);
    let owner = Some((5, "main".to_owned()));
    store.commit(vec![Change::KeyScopes { owner: owner.clone(), scopes: "[]".into() }]).await.unwrap();
    store.commit(vec![Change::ApiKey { owner: owner.clone(), key: "2".repeat(32) }]).await.unwrap();
    assert_eq!(scopes().await[1], "[]", "a new key may do what the old one could");
    assert!(store.commit(vec![Change::KeyScopes { owner: owner.clone(), scopes: "everything".into() }]).await.is_err());
    store.commit(vec![Change::DropKey { owner: Some((5, "other".into())) }]).await.unwrap();
    assert_eq!(scopes().await.len(), 2, "nobody's");
    store.commit(vec![Change::DropKey { owner: owner.clone() }]).await.unwrap();
    assert_eq!(scopes().await, [r#"[{"type":"global"}]"#]);
    let key = "3".repeat(32);
    store.commit(vec![Change::ApiKey { owner: owner.clone(), key: key.clone() }, Change::DropKey { owner: None }]).await.unwrap();
    let keys = store.load(CLOUD, "u1").await.unwrap().api_keys;
    assert_eq!((keys.len(), &keys[&owner].key), (1, &key));
}

#[tokio::test]
async fn the_views_show_the_target_in_force() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    let app = |class: &str, host: bool| json!({ "id": 5, "class": class, "is_host": host, "releases": { "c": {} } });
    let clouds = json!({ "u1": { "config": { "A": "cloud" }, "apps": {
        "fleet": app("fleet", false), "plain": { "id": 6 }, "block": app("block", false), "host": app("fleet", true) } } });
    let own = json!({ "u1": { "config": { "A": "own" }, "apps": { "own": app("fleet", false) } } });
    let shown = || {
        on_connection(&store, |c| {
            let list = |sql: &str| c.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
            let apps = list("SELECT group_concat(app_uuid, ' ') FROM (SELECT app_uuid FROM app ORDER BY app_uuid)");
            (
                apps,
                list("SELECT group_concat(app_uuid, ' ') FROM (SELECT app_uuid FROM release ORDER BY app_uuid)"),
                list("SELECT group_concat(value, ' ') FROM device_config"),
            )
        })
    };
    let is = |apps: &str, releases: &str, config: &str| (apps.to_owned(), releases.to_owned(), config.to_owned());
    store.commit(vec![Change::Target(target(LOCAL_SOURCE, "u1", &own.to_string()))]).await.unwrap();
    assert_eq!(shown().await, is("own", "own", "own"), "no cloud");
    store.commit(vec![Change::Target(target(CLOUD, "u1", &clouds.to_string()))]).await.unwrap();
    assert_eq!(shown().await, is("block host own", "block host own", "cloud"), "local mode");
    store.commit(vec![Change::DropTarget { source: LOCAL_SOURCE.into() }]).await.unwrap();
    assert_eq!(shown().await, is("block fleet host plain", "block fleet host", "cloud"), "the cloud's");
}

#[tokio::test]
async fn the_views_read_any_target() {
    let folder = folder();
    let store = open_in(&folder).unwrap();
    let bodies = [
        r#"{"u1":{"config":{"A":"1"},"apps":{"app":{"id":5,"name":"n","releases":{"c":{"id":7,"services":{"main":
            {"id":1,"image":"x","environment":{"K":"v"}},"odd":"text"},"volumes":{"d":{}},"networks":{"n":null}},"odd":5}},"odd":[]}}}"#,
        r#"{"u1":"text"}"#,
        r#"{"u1":{"apps":"text","config":7}}"#,
        r#"{"u1":{"apps":{"a":{"releases":["x"]}, "":{"releases":{"":{"services":[1,"{"]}}}},"config":["x"]}}"#,
        "[]",
        "\"{\"",
        "null",
    ];
    for body in bodies {
        store.commit(vec![Change::Target(target(CLOUD, "u1", body)), current(&format!("{{\"apps\":{body}}}"))]).await.unwrap();
        for view in ["app", "release", "service", "service_status", "network", "volume", "device_config"] {
            let rows = count(&store, view).await;
            if body == bodies[0] && view != "service_status" {
                assert_eq!(rows, 1, "{view}");
            }
        }
    }
}
