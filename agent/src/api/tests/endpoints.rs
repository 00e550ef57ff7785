//! Every endpoint: what it answers, and how it refuses.

use std::sync::Arc;

use serde_json::{Value, json};

use super::pictures::{APP, NEW, OLD, downloading, locked, reference, refused, settled};
use super::*;
use crate::api::FromAnswer;
use crate::api::{LockList, PlanAnswer, Status};
use crate::reconcile::Phase;

fn given(view: View) -> Given {
    Given { view, ..Given::default() }
}

async fn text(served: &Served, path: &str) -> String {
    String::from_utf8(client::get(&served.socket, path).await.unwrap().body.to_vec()).unwrap()
}

/// A request as it is written, and everything that comes back.
async fn raw(socket: &std::path::Path, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn ping_and_version() {
    let served = Given::default().serve().await;
    assert_eq!(text(&served, "/ping").await, "OK");
    assert_eq!(served.get("/v2/version").await, json!({ "status": "success", "version": "19.0.5" }));
}

#[tokio::test]
async fn healthy_speaks_of_the_agent_only() {
    let offline =
        CloudView { endpoint: CLOUD.into(), poll_error: Some("no route".into()), poll_failures: 90, ..CloudView::default() };
    let served = Given { cloud: offline, ..Given::default() }.serve().await;
    assert_eq!(text(&served, "/v1/healthy").await, "OK");
    let stuck = Given { last_tick_boot_ms: NOW.boot_ms - 181_000, ..Given::default() }.serve().await;
    assert_eq!(stuck.refused("GET", "/v1/healthy", "").await, (500, "Unhealthy".into()));
    let closed = Given { store_open: false, ..Given::default() }.serve().await;
    assert_eq!(closed.refused("GET", "/v1/healthy", "").await, (500, "Unhealthy".into()));
    let reasons = closed.get("/v3/status").await["health"]["reasons"].clone();
    assert_eq!(reasons, json!(["the database /data/database.sqlite is not open: disk I/O error"]));
    // Who accepts JSON learns why.
    let answer =
        raw(&closed.socket, "GET /v1/healthy HTTP/1.1\r\nhost: h\r\naccept: application/json\r\nconnection: close\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(head.starts_with("HTTP/1.1 500"), "{head}");
    assert_eq!((&body["health"]["reasons"], &body["database"]["open"]), (&reasons, &json!(false)));
}

#[tokio::test]
async fn the_database_in_figures() {
    let served = Given::default().serve().await;
    let answer = served.get("/v3/db").await;
    assert_eq!(
        (&answer["pages"]["all"], &answer["pages"]["free"], &answer["rows"]),
        (&json!(12), &json!(2), &json!({ "event": 9 }))
    );
    assert_eq!(answer["writes"]["since_start"]["target"], json!({ "times": 1, "bytes": 8240, "syncs": 1 }));
    assert_eq!(answer["writes"]["days"][0]["date"], "2026-01-01");
    assert_eq!((&answer["database"]["rows"], &answer["database"]["newest_backup"]["verified"]), (&json!(9), &json!(true)));
    assert_eq!(served.get("/v3/status").await["database"], answer["database"]);
}

#[tokio::test]
async fn past_states_come_newest_first() {
    let served = Given::default().serve().await;
    let answer = served.get("/v3/target/history").await;
    let row = |id: i64, kind: &str, state: Value| {
        json!({
            "id": id, "kind": kind, "taken": { "ago_ms": 5000, "utc": "2025-12-31T23:59:55.000Z" },
            "source": null, "shortened": false, "state": state,
        })
    };
    assert_eq!(answer, json!({ "snapshots": [row(2, "current", json!({ "apps": {} })), row(1, "target", json!({}))] }));
    assert_eq!(serde_json::to_value(crate::api::History::from_answer(&answer)).unwrap(), answer, "it is read back");
}

#[tokio::test]
async fn update_asks_for_a_poll() {
    let mut served = Given::default().serve().await;
    let reply = client::post(&served.socket, "/v1/update", "").await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0));
    assert_eq!(served.polls.try_recv().unwrap(), PollNow { from: "local API".into(), force: false, cancel: false });
    assert!(served.requests.try_recv().is_err());
}

#[tokio::test]
async fn force_and_cancel_reach_the_loop_at_once() {
    let mut served = Given::default().serve().await;
    client::post(&served.socket, "/v1/update", r#"{"force":"on","cancel":1,"operator":true}"#).await.unwrap();
    let Request::Look { from, force, cancel } = served.requests.try_recv().unwrap() else { panic!("a look is asked for") };
    assert_eq!((from.as_str(), force, cancel), ("command line", true, true));
    assert_eq!(served.polls.try_recv().unwrap(), PollNow { from, force: true, cancel: false });
}

#[tokio::test]
async fn without_a_cloud_update_looks_at_what_is_there() {
    let mut served = Given { cloud: CloudView::default(), ..Given::default() }.serve().await;
    client::post(&served.socket, "/v1/update", r#"{"force":"0"}"#).await.unwrap();
    assert!(matches!(served.requests.try_recv().unwrap(), Request::Look { force: false, cancel: false, .. }));
    assert!(served.polls.try_recv().is_err());
}

#[tokio::test]
async fn update_is_ignored_where_the_device_is_told_to() {
    let mut view = settled();
    let mut target = (*view.target.unwrap()).clone();
    target.config.insert("RESIN_SUPERVISOR_INSTANT_UPDATE_TRIGGER".into(), "0".into());
    view.target = Some(Arc::new(target));
    let mut served = given(view).serve().await;
    assert_eq!(client::post(&served.socket, "/v1/update", "{}").await.unwrap().status, 202);
    assert!(served.polls.try_recv().is_err());
    assert_eq!(client::post(&served.socket, "/v1/update", r#"{"operator":true}"#).await.unwrap().status, 204);
    assert!(served.polls.try_recv().is_ok());
}

#[tokio::test]
async fn update_says_when_it_cannot() {
    let mut served = Given::default().serve().await;
    for _ in 0..3 {
        client::post(&served.socket, "/v1/update", "").await.unwrap();
    }
    // The queue is full of polls without force: this one says more than they do.
    let (status, message) = served.refused("POST", "/v1/update", r#"{"force":true}"#).await;
    assert_eq!((status, message.as_str()), (503, "too many requests wait already; try again in a moment"));
    assert_eq!(served.refused("POST", "/v1/update", "{").await.0, 400);
    served.polls.close();
    assert_eq!(served.refused("POST", "/v1/update", "").await.0, 503);
}

#[tokio::test]
async fn device_of_version_1() {
    let served = given(settled()).serve().await;
    let expected = json!({
        "api_port": 48484, "ip_address": "10.0.0.7", "os_version": "balenaOS 5", "mac_address": "AA:BB:CC:DD:EE:FF",
        "supervisor_version": "19.0.5", "update_pending": false, "update_failed": false, "update_downloaded": false,
        "commit": OLD, "status": "Idle",
    });
    assert_eq!(served.get("/v1/device").await, expected);
    let waiting = given(locked()).serve().await.get("/v1/device").await;
    assert_eq!(waiting["update_downloaded"], true);
    assert_eq!(waiting.get("commit"), None, "no commit while an update is under way");
    let empty = Given::default().serve().await.get("/v1/device").await;
    assert_eq!(empty.get("status"), None);
}

#[tokio::test]
async fn state_of_version_2() {
    let served = given(downloading()).serve().await;
    let answer = served.get("/v2/state/status").await;
    assert_eq!(answer["appState"], "applying");
    assert_eq!(answer["overallDownloadProgress"], 45.0);
    assert_eq!(answer["release"], OLD);
    assert_eq!(
        answer["containers"][0],
        json!({ "status": "Running", "serviceName": "main", "appId": 5, "imageId": 101, "serviceId": 1,
                "containerId": "main-1", "createdAt": "2025-12-31T23:58:50.000Z" })
    );
    assert_eq!(
        answer["images"],
        json!([
            { "name": reference("db", 'd'), "appId": 5, "serviceName": "db", "imageId": 102, "dockerImageId": "sha256:dbd",
              "status": "Downloaded", "downloadProgress": null },
            { "name": reference("main", '2'), "appId": 5, "serviceName": "main", "imageId": 101, "dockerImageId": null,
              "status": "Downloading", "downloadProgress": 45 },
        ])
    );
    let done = given(settled()).serve().await.get("/v2/state/status").await;
    assert_eq!((&done["appState"], &done["overallDownloadProgress"]), (&json!("applied"), &Value::Null));
}

#[tokio::test]
async fn applications_of_version_2() {
    let answer = given(downloading()).serve().await.get("/v2/applications/state").await;
    let expected = json!({ "kitchen": {
        "appId": 5, "appUuid": APP, "commit": NEW, "updateStatus": "downloading", "services": {
            "db": { "status": "Downloaded", "image": reference("db", 'd'), "downloadProgress": null, "releaseId": 9 },
            "main": { "status": "Downloading", "image": reference("main", '2'), "downloadProgress": 45, "releaseId": 9 },
        } } });
    assert_eq!(answer, expected);
    assert_eq!(given(settled()).serve().await.get("/v2/applications/state").await["kitchen"]["updateStatus"], "done");
    let rejected = given(refused()).serve().await.get("/v2/applications/state").await;
    assert_eq!(rejected["kitchen"]["updateStatus"], "rejected");
    assert_eq!(Given::default().serve().await.get("/v2/applications/state").await, json!({}));
}

#[tokio::test]
async fn status_of_a_settled_device() {
    let served = given(settled()).serve().await;
    let status: Status = client::get(&served.socket, "/v3/status").await.unwrap().read().unwrap();
    assert_eq!(status.phase.text, "Settled: everything runs as the target asks.");
    assert_eq!((status.device.uuid.as_str(), status.device.name.as_deref()), (UUID, Some("pi")));
    assert_eq!(status.utc.as_deref(), Some("2026-01-01T00:00:00.000Z"));
    let main = &status.apps[0].services[1];
    assert_eq!((main.state.as_deref(), main.status.as_str(), main.image_present), (Some("running"), "Running", true));
    assert_eq!(main.started.as_ref().unwrap().ago_ms, 60_000);
    assert!(status.health.healthy && status.database.open);
    // Named once for each service that asks for it.
    let unsupported: Vec<_> = status.unsupported.iter().map(|row| row.service.as_deref()).collect();
    assert_eq!(unsupported, [Some("db"), Some("main")]);
}

#[tokio::test]
async fn status_says_what_is_done_and_what_is_waited_for() {
    let served = given(downloading()).serve().await;
    let status: Status = client::get(&served.socket, "/v3/status").await.unwrap().read().unwrap();
    assert_eq!(status.doing[0].text, format!("download {}", reference("main", '2')));
    assert_eq!((status.doing[0].progress, status.doing[0].since.ago_ms), (Some(45), 12_000));
    let main = &status.apps[0].services[1];
    assert_eq!(main.waiting.as_deref(), Some("waiting for main to be downloaded"));
    assert_eq!((main.running_commit.as_deref(), main.wanted_commit.as_deref()), (Some(OLD), Some(NEW)));

    let held = given(locked()).serve().await;
    let status: Status = client::get(&held.socket, "/v3/status").await.unwrap().read().unwrap();
    assert_eq!(status.waiting[0].reason, "waiting-for-lock");
    assert_eq!(status.waiting[0].since.as_ref().unwrap().ago_ms, 300_000);
    assert_eq!(status.waiting[1].until.as_ref().unwrap().in_ms, 30_000);
    assert_eq!(status.apps[0].update_status.as_deref(), Some("downloaded"));
    assert_eq!(status.faults[0].subject, "engine");
}

#[tokio::test]
async fn status_of_a_refused_app_keeps_its_services() {
    let served = given(refused()).serve().await;
    let status: Status = client::get(&served.socket, "/v3/status").await.unwrap().read().unwrap();
    assert_eq!(status.refused[0].offences[0].message, "two releases");
    assert_eq!((status.apps[0].name.as_str(), status.apps[0].services.len()), ("kitchen", 2));
    assert_eq!(status.apps[0].wanted_commit, None);
}

#[tokio::test]
async fn status_without_an_engine() {
    let phase = Phase::EngineAway { error: "refused".into(), since_boot_ms: NOW.boot_ms - 60_000 };
    let served = given(View { phase, ..View::default() }).serve().await;
    let status: Status = client::get(&served.socket, "/v3/status").await.unwrap().read().unwrap();
    assert_eq!((status.phase.name.as_str(), status.phase.since.unwrap().ago_ms), ("engine-away", 60_000));
    assert_eq!(status.engine, None);
}

#[tokio::test]
async fn locks_with_their_holders() {
    let served = given(locked()).serve().await;
    let list: LockList = client::get(&served.socket, "/v3/locks").await.unwrap().read().unwrap();
    let lock = &list.locks[0];
    assert_eq!((lock.app.as_str(), lock.service.as_str(), lock.holder.as_str()), ("kitchen", "main", "application"));
    assert_eq!(lock.waiting, [format!("kitchen on its way to release {NEW}")]);
    assert_eq!(Given::default().serve().await.get("/v3/locks").await, json!({ "locks": [] }));
}

#[tokio::test]
async fn the_stored_target_comes_back_as_it_came() {
    let body = "{\"b\":1.50,\"a\":{}}";
    let served = Given { stored: Some(body), ..Given::default() }.serve().await;
    let raw = text(&served, "/v3/target").await;
    assert!(raw.ends_with(&format!(",\"target\":{body}}}")), "{raw}");
    let answer: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!((&answer["etag"], &answer["source"]), (&json!("W/\"7\""), &json!(CLOUD)));
    // Never so, but if: the answer stays JSON.
    let broken = Given { stored: Some("<html>"), ..Given::default() }.serve().await;
    assert_eq!(broken.get("/v3/target").await["target"], "<html>");
    assert_eq!(Given::default().serve().await.refused("GET", "/v3/target", "").await.0, 404);
    let closed = Given { store_open: false, ..Given::default() }.serve().await;
    assert_eq!(closed.refused("GET", "/v3/target", "").await, (503, "/data/database.sqlite: disk I/O error".into()));
}

#[tokio::test]
async fn the_plan_for_the_stored_target() {
    let served = given(locked()).serve().await;
    let plan: PlanAnswer = client::get(&served.socket, "/v3/plan").await.unwrap().read().unwrap();
    assert_eq!((plan.target.as_str(), plan.settled), ("stored", false));
    assert!(plan.waiting.iter().any(|wait| wait.reason == "waiting-for-lock"), "{plan:?}");
    let lock = plan.steps.iter().find(|step| step.action == "take-lock").unwrap();
    assert!(lock.after[0].contains("updates.lock") && lock.round > plan.steps[0].round, "{plan:?}");
    let nothing = Given::default().serve().await.get("/v3/plan").await;
    assert_eq!((&nothing["settled"], &nothing["steps"]), (&json!(true), &json!([])));
}

#[tokio::test]
async fn the_plan_for_another_target() {
    let served = Given::default().serve().await;
    for (body, said) in [
        ("", "the body is empty"),
        ("<html>", "the target document is not JSON"),
        ("{\"someone-else\":{}}", "no entry for this device"),
    ] {
        let (status, message) = served.refused("POST", "/v3/plan", body).await;
        assert_eq!(status, 400);
        assert!(message.contains(said), "{message}");
    }
}
