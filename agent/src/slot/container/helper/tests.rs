//! The helper on an engine that refuses things.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

use super::super::start::{self, start_helper};
use super::*;

/// What an engine answers: a status and a body.
type Answer = (u16, Value);

/// An engine that notes what it is asked to change.
fn engine(socket: &std::path::Path, answer: impl Fn(&str, &Value) -> Answer + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let (listener, asked) = (UnixListener::bind(socket).unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let noted = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut first, mut length) = (String::new(), 0);
            stream.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let request = first.replace("/v1.41", "").replace(" HTTP/1.1", "").trim().to_owned();
            let (status, body) = answer(&request, &serde_json::from_slice(&body).unwrap_or_default());
            if !request.starts_with("GET") {
                noted.lock().unwrap().push(format!("{request}: {status}"));
            }
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.get_mut().write_all((head + &body).as_bytes()).unwrap();
        }
    });
    asked
}

fn container(name: &str, running: bool, status: &str) -> Value {
    json!({ "Id": format!("id-of-{name}"), "Name": format!("/{name}"), "Image": "sha256:old", "RestartCount": 0,
        "State": { "Running": running, "Status": status }, "HostConfig": { "RestartPolicy": { "Name": "no" } } })
}

fn labels() -> Value {
    json!({ OF: "id-of-agent", NAME: "agent", IMAGE: "x/agent:2", SCHEMA: "3", CLOUD: "false", WISH: "w",
        RESTART: "{\"Name\":\"always\"}" })
}

/// Takes steps until the helper is done, with errors as often as they come.
async fn steps(helper: &mut Helper<'_>, errors: usize) {
    let mut said = Vec::new();
    while said.len() <= errors {
        match helper.step().await {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => said.push(error.to_string()),
        }
    }
    assert_eq!(said.len(), errors, "{said:?}");
}

#[tokio::test]
async fn an_agent_that_cannot_be_made_is_given_up_and_the_old_one_tells_of_it() {
    let data = tempfile::tempdir().unwrap();
    let place = Place::new(data.path(), &data.path().join("database.sqlite"));
    let socket = data.path().join("engine.sock");
    let policies = Arc::<Mutex<Vec<Value>>>::default();
    let made_with = policies.clone();
    let asked = engine(&socket, move |request, body| {
        if request.starts_with("POST /containers/create") {
            made_with.lock().unwrap().push(body["HostConfig"]["RestartPolicy"].clone());
            return (400, json!({ "message": "no command specified" }));
        }
        match request {
            "GET /containers/id-of-agent/json" => (200, container("agent", true, "running")),
            _ if request.starts_with("GET /images") => (200, json!({})),
            _ if request.starts_with("GET") => (404, json!({})),
            _ => (200, json!({})),
        }
    });
    let link = EngineLink { socket };
    let ask: AskAgent<'_> = &|| Box::pin(async { None });
    let mut helper =
        Helper { link: &link, place: &place, deadline: LOOK, ask, own: "own".into(), labels: labels(), why: None, refusals: 0 };
    steps(&mut helper, 2).await;
    let asked = asked.lock().unwrap().clone();
    let create = "POST /containers/create?name=agent-new-agent: 400";
    let update = |id: &str| format!("POST /containers/{id}/update: 200");
    let (stop, start) = ("POST /containers/id-of-agent/stop: 200", "POST /containers/id-of-agent/start: 200");
    let of_old = update("id-of-agent");
    assert_eq!(asked, [create, create, create, &of_old, stop, &of_old, start, &update("own")]);
    assert_eq!(policies.lock().unwrap()[0], json!({ "Name": "always" }), "as the old one was, before it was stopped for good");
    let slots = Folder::of(data.path()).load().unwrap();
    assert!(slots.news.unwrap().contains("no command specified"));
    assert_eq!(slots.failed.map(|failed| (failed.sha256, failed.wish)), Some(("x/agent:2".into(), Some("w".into()))));
}

#[tokio::test]
async fn an_agent_that_cannot_be_started_has_failed() {
    let data = tempfile::tempdir().unwrap();
    let place = Place::new(data.path(), &data.path().join("database.sqlite"));
    let socket = data.path().join("engine.sock");
    let failed = Arc::new(Mutex::new(false));
    let asked = engine(&socket, move |request, _| {
        let mut failed = failed.lock().unwrap();
        let name = if *failed { "agent-failed-agent" } else { "agent-new-agent" };
        match request {
            "GET /containers/id-of-agent/json" => (200, container("agent", false, "exited")),
            _ if request == format!("GET /containers/{name}/json") => {
                (200, json!({ "Id": "new", "Name": name, "State": { "Running": false, "Status": "created" } }))
            }
            // At first it wants a network that is not there; then it is asked for the second time.
            "POST /containers/new/start" => (404, json!({ "message": "network not found" })),
            "POST /containers/new/rename?name=agent-failed-agent" => {
                *failed = true;
                (204, Value::Null)
            }
            // The old one is running again: from then on there is nothing left to do.
            "POST /containers/id-of-agent/start" => (204, Value::Null),
            _ if request.starts_with("GET") => (404, json!({})),
            _ => (200, json!({})),
        }
    });
    let link = EngineLink { socket };
    let ask: AskAgent<'_> = &|| Box::pin(async { None });
    let mut helper =
        Helper { link: &link, place: &place, deadline: LOOK, ask, own: "own".into(), labels: labels(), why: None, refusals: 0 };
    for _ in 0..2 {
        assert!(helper.step().await.unwrap_err().refused);
    }
    assert_eq!(helper.step().await, Ok(false), "it gets the name of one that failed");
    assert_eq!(helper.step().await, Ok(false), "it is gone back from");
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.last().map(String::as_str), Some("POST /containers/id-of-agent/start: 204"));
    assert!(Folder::of(data.path()).load().unwrap().news.unwrap().contains("not this container, or not something"));
}

/// An agent, as its engine shows it, with a helper of an earlier order.
fn engine_with_a_helper(
    socket: &std::path::Path,
    policy: &'static str,
    labelled: Arc<Mutex<Vec<Value>>>,
) -> Arc<Mutex<Vec<String>>> {
    engine(socket, move |request, body| match request {
        "GET /containers/agent-update/json" => {
            (200, json!({ "Id": "earlier", "Image": "sha256:old", "Config": { "Labels": labels() } }))
        }
        "GET /containers/id-of-agent/json" => (200, own(policy)),
        _ if request.starts_with("GET") => (404, json!({})),
        _ if request.starts_with("POST /containers/create") => {
            labelled.lock().unwrap().push(body["Labels"].clone());
            (201, json!({ "Id": "later" }))
        }
        _ => (204, Value::Null),
    })
}

fn own(policy: &str) -> Value {
    json!({ "Id": "id-of-agent", "Name": "/agent", "Image": "sha256:old", "HostConfig": { "RestartPolicy": { "Name": policy } } })
}

#[tokio::test]
async fn a_helper_that_is_about_to_stop_the_agent_is_left_to_it() {
    let data = tempfile::tempdir().unwrap();
    let order = start::Helper { image: "x/agent:3".into(), schema: 3, cloud: false, wish: None };
    let labelled = Arc::<Mutex<Vec<Value>>>::default();
    let link = EngineLink { socket: data.path().join("begun.sock") };
    let asked = engine_with_a_helper(&link.socket, "no", labelled.clone());
    // It was as it was before when the agent looked.
    assert!(start_helper(&link, &own("always"), &order).await.unwrap_err().message.contains("about to stop this agent"));
    assert_eq!(*asked.lock().unwrap(), ["POST /containers/earlier/pause: 204", "POST /containers/earlier/unpause: 204"]);

    let link = EngineLink { socket: data.path().join("idle.sock") };
    let asked = engine_with_a_helper(&link.socket, "always", labelled.clone());
    start_helper(&link, &own("always"), &order).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[..2], ["POST /containers/earlier/pause: 204", "DELETE /containers/agent-update?force=1&v=1: 204"]);
    assert_eq!(
        asked[4..6],
        ["DELETE /containers/agent-old-agent?force=1&v=0: 204", "POST /containers/id-of-agent/update: 204"],
        "{asked:?}"
    );
    assert_eq!(asked.last().map(String::as_str), Some("POST /containers/later/start: 204"));
    assert_eq!(labelled.lock().unwrap()[0][RESTART], "{\"Name\":\"always\"}");
}

#[tokio::test]
async fn a_long_refusal_is_told_in_short() {
    let data = tempfile::tempdir().unwrap();
    let link = EngineLink { socket: data.path().join("engine.sock") };
    engine(&link.socket, |_, _| (500, json!({ "message": "x".repeat(100_000) })));
    assert!(link.start("agent").await.unwrap_err().to_string().len() < 1000, "it has to fit into the record");
}

#[test]
fn an_engine_that_is_away_has_refused_nothing() {
    let place = Place::new(std::path::Path::new("/nowhere"), std::path::Path::new("/nowhere/database.sqlite"));
    let link = EngineLink { socket: "/nowhere".into() };
    let ask: AskAgent<'_> = &|| Box::pin(async { None });
    let mut helper =
        Helper { link: &link, place: &place, deadline: LOOK, ask, own: "own".into(), labels: labels(), why: None, refusals: 0 };
    for _ in 0..10 {
        assert!(helper.refused(Err(SlotError::of("engine", "no answer within 120 s"))).is_err());
    }
    assert!(helper.refused(Err(SlotError::refused("x", "no"))).is_err());
    assert_eq!(helper.refused(Ok(())), Ok(None), "what works in between begins anew");
    let mut refuse = || helper.refused(Err(SlotError::refused("x", "no")));
    assert!(refuse().is_err() && refuse().is_err() && refuse().is_ok_and(|why| why.is_some()));
}
