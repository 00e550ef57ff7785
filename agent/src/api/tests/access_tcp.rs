//! Who asks over TCP, and what they reach.

use std::net::{IpAddr, Ipv4Addr};

use holdfast_plan::container::SUPERVISOR_NETWORK;
use holdfast_plan::current::Network;
use holdfast_plan::target::NetworkSpec;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::pictures::settled;
use super::*;
use crate::api::{Listening, TcpPlaces, access, serve_tcp};
use crate::reconcile::{Keyring, Phase};
use crate::store::{Loaded, StoredKey, usual_scopes};

const GLOBAL: &str = "00000000000000000000000000000000";
const MAIN: &str = "11111111111111111111111111111111";
const DB: &str = "22222222222222222222222222222222";

/// The fleet with two services that call the API, of which `main` controls the host.
pub(in crate::api) fn called() -> View {
    let mut view = settled();
    for (service, labels) in [("main", &["supervisor-api", "host-control"][..]), ("db", &["supervisor-api"])] {
        for label in labels {
            set_label(&mut view, service, label, Some("1"));
        }
    }
    let network =
        Network { id: "n".into(), name: SUPERVISOR_NETWORK.into(), spec: NetworkSpec::default(), labels: Default::default() };
    Arc::make_mut(&mut view.current).engine.networks.push(network);
    let mut loaded = Loaded::default();
    for (owner, key) in [(None, GLOBAL), (Some((5, "main".to_owned())), MAIN), (Some((5, "db".to_owned())), DB)] {
        let scopes = usual_scopes(&owner);
        loaded.api_keys.insert(owner, StoredKey { key: key.into(), scopes });
    }
    view.keys = Arc::new(Keyring::of(&loaded));
    view
}

/// Sets a label of a service in the target and on its container.
fn set_label(view: &mut View, service: &str, label: &str, value: Option<&str>) {
    let name = format!("io.balena.features.{label}");
    let target = Arc::make_mut(view.target.as_mut().unwrap());
    for wanted in target.apps.values_mut().filter_map(|app| app.release.as_mut()?.services.get_mut(service)) {
        wanted.labels.remove(&name);
        wanted.labels.extend(value.map(|value| (name.clone(), value.to_owned())));
    }
    for container in Arc::make_mut(&mut view.current).engine.containers.iter_mut().filter(|c| c.service == service) {
        let spec = Arc::make_mut(&mut container.spec);
        spec.labels.remove(&name);
        spec.labels.extend(value.map(|value| (name.clone(), value.to_owned())));
    }
}

/// The API over TCP at loopback with this picture.
struct Tcp {
    _served: Served,
    address: std::net::SocketAddr,
    _stop: tokio::sync::oneshot::Sender<()>,
}

async fn tcp(given: Given) -> Tcp {
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let limits = given.limits;
    let (served, state) = given.serve_with_state().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let places = TcpPlaces { asked: Some(free), port: 1, port_override: Some(1) };
    let listening = tokio::sync::watch::Sender::new(Listening::default());
    let mut told = listening.subscribe();
    tokio::spawn(serve_tcp(places, state, listening, limits, async {
        let _ = stopped.await;
    }));
    told.wait_for(|listening| listening.open.contains(&free)).await.unwrap();
    Tcp { _served: served, address: free, _stop: stop }
}

impl Tcp {
    /// Status and body.
    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    async fn get(&self, path: &str, key: &str) -> u16 {
        self.ask("GET", path, &format!("Authorization: Bearer {key}\r\n"), "").await.0
    }

    async fn post(&self, path: &str, key: &str, body: &str) -> u16 {
        self.ask("POST", path, &format!("Authorization: Bearer {key}\r\n"), body).await.0
    }
}

#[tokio::test]
async fn keys_in_all_their_places() {
    let tcp = tcp(Given { view: called(), ..Given::default() }).await;
    assert_eq!(tcp.ask("GET", "/ping", "", "").await, (200, "OK".into()));
    assert_eq!(tcp.ask("GET", "/v1/healthy", "", "").await.0, 200);
    assert_eq!(tcp.ask("GET", "/v2/version", "", "").await, (401, "Unauthorized".into()));
    for header in [
        format!("Authorization: ApiKey {DB}\r\n"),
        format!("authorization: bEARER  {DB}\r\n"),
        format!("Authorization: Bearer {GLOBAL}\r\n"),
    ] {
        assert_eq!(tcp.ask("GET", "/v2/version", &header, "").await.0, 200, "{header}");
    }
    for header in [
        format!("Authorization: Basic {DB}\r\n"),
        format!("Authorization: {DB}\r\n"),
        format!("Authorization: Bearer {}\r\n", &DB[1..]),
        "Authorization: Bearer \r\n".to_owned(),
        "Authorization: Bearer \u{e4}\r\n".to_owned(),
    ] {
        assert_eq!(tcp.ask("GET", "/v2/version", &header, "").await.0, 401, "{header}");
    }
    assert_eq!(tcp.ask("GET", &format!("/v2/version?apikey={DB}"), "", "").await.0, 200);
    // The query comes first, whatever the header says.
    let good = format!("Authorization: Bearer {GLOBAL}\r\n");
    assert_eq!(tcp.ask("GET", "/v2/version?apikey=nonsense", &good, "").await.0, 401);
    assert_eq!(tcp.ask("GET", "/v2/version?x=1&apikey=", &good, "").await.0, 401);
    let (status, body) = tcp.ask("GET", "/v3/plan", "", "").await;
    assert!(status == 401 && body.contains("\"status\":\"failed\""), "{body}");
}

#[tokio::test]
async fn without_a_key_whoever_is_near_an_address_that_was_opened_looks_on() {
    let tcp = tcp(Given { view: called(), ..Given::default() }).await;
    let (status, body) = tcp.ask("GET", "/v3/status", "", "").await;
    assert!(status == 200 && body.contains("\"reduced\":true") && !body.contains(UUID), "{body}");
    assert_eq!(tcp.ask("GET", "/v3/locks", "", "").await.0, 200);
    assert_eq!(tcp.ask("GET", "/", "", "").await.0, 200);
    for (method, path) in [("GET", "/v3/target"), ("GET", "/v3/plan"), ("GET", "/v3/keys"), ("POST", "/v1/update")] {
        assert_eq!(tcp.ask(method, path, "", "").await.0, 401, "{method} {path}");
    }
    for not_near in ["Authorization: Bearer wrong\r\n", "Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(tcp.ask("GET", "/v3/status", not_near, "").await.0, 401, "{not_near}");
    }
}

#[tokio::test]
async fn who_looks_on_is_told_by_where_they_are() {
    use crate::api::access::{Origin, identify};
    let (_served, state) = Given { view: called(), ..Given::default() }.serve_with_state().await;
    let looks_on = |origin| identify(&state, origin, &Default::default(), &Default::default()).unwrap().looks_on;
    for near in ["127.0.0.1", "192.168.1.9", "169.254.7.7", "10.1.2.3", "::1", "fe80::1", "fd00::7", "::ffff:10.1.2.3"] {
        let near: IpAddr = near.parse().unwrap();
        assert!(looks_on(Origin::Asked(near)), "{near}");
        assert!(!looks_on(Origin::Tcp(near)), "{near}: that address is open for services");
    }
    for far in ["203.0.113.5", "2001:db8::1", "10.114.104.7", "::ffff:203.0.113.5"] {
        assert!(!looks_on(Origin::Asked(far.parse().unwrap())), "{far}");
    }
    assert!(!looks_on(Origin::Socket), "they are the operator");
}

/// A page of another site makes a browser send what it likes to a socket that is forwarded, or to a device in local mode.
#[tokio::test]
async fn another_sites_page_does_nothing_on_the_socket() {
    let served = Given { view: called(), queue: 9, ..Given::default() }.serve().await;
    let ask = |method: &'static str, path: &'static str, headers: &'static str| {
        let socket = served.socket.clone();
        async move {
            let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
            let request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}content-length: 0\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer[9..12].parse::<u16>().unwrap()
        }
    };
    let own =
        "host: localhost:8080\r\norigin: http://localhost:8080\r\nsec-fetch-site: same-origin\r\nuser-agent: Mozilla/5.0\r\n";
    assert_eq!((ask("POST", "/v1/update", own).await, ask("GET", "/v3/status", own).await), (204, 200));
    assert_eq!(ask("POST", "/v1/update", "host: any.name.example\r\nuser-agent: curl/8\r\n").await, 204, "no browser");
    for foreign in [
        "host: localhost:8080\r\norigin: http://evil.example\r\n",
        "host: localhost:8080\r\nsec-fetch-site: cross-site\r\n",
        "host: rebound.example:8080\r\nuser-agent: Mozilla/5.0\r\n",
    ] {
        assert_eq!((ask("POST", "/v1/update", foreign).await, ask("GET", "/v3/status", foreign).await), (401, 401), "{foreign}");
        assert_eq!(ask("GET", "/", foreign).await, 200, "a link to the page is no harm: {foreign}");
    }
}

#[tokio::test]
async fn a_service_reaches_its_app_and_the_host_only_with_the_label() {
    let mut view = called();
    let mut other = view.current.engine.containers[0].clone();
    (other.app_id, other.id) = (6, "other".into());
    Arc::make_mut(&mut view.current).engine.containers.push(other);
    let tcp = tcp(Given { view, queue: 9, ..Given::default() }).await;
    for path in ["/v3/status", "/v3/keys", "/v3/volumes/5_data/archive"] {
        assert_eq!((tcp.get(path, MAIN).await, tcp.get(path, DB).await), (401, 401), "{path}");
    }
    assert_eq!((tcp.get("/v3/status", GLOBAL).await, tcp.get("/v3/keys", GLOBAL).await), (200, 200));
    let (status, body) = tcp.ask("POST", "/v1/reboot", &format!("Authorization: Bearer {DB}\r\n"), "").await;
    assert!(status == 401 && body.contains("service db") && body.contains("host-control"), "{body}");
    assert_ne!(tcp.get("/v1/device/host-config", MAIN).await, 401);
    assert_eq!(tcp.get("/v1/device/host-config", DB).await, 401);
    assert_eq!(tcp.post("/v1/update", DB, "{}").await, 204);
    assert_eq!(tcp.post("/v1/update", DB, "{\"force\":true}").await, 401);
    assert_eq!(tcp.post("/v1/update", DB, "{\"cancel\":true}").await, 401);
    assert_eq!(tcp.post("/v1/update", MAIN, "{\"force\":true}").await, 204);
    let containers = async |key: &str| {
        let (_, body) = tcp.ask("GET", "/v2/state/status", &format!("Authorization: Bearer {key}\r\n"), "").await;
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["containers"].as_array().unwrap().len()
    };
    assert_eq!((containers(GLOBAL).await, containers(DB).await), (3, 2), "another app's container is not its to see");
}

#[tokio::test]
async fn a_service_that_is_gone_or_has_lost_its_label_is_nobody() {
    let without = |change: fn(&mut View)| {
        let mut view = called();
        change(&mut view);
        Given { view, ..Given::default() }
    };
    type Change = fn(&mut View);
    let cases: [(&str, u16, Change); 7] = [
        ("everything in its place", 200, |_| {}),
        ("no container", 401, |view| Arc::make_mut(&mut view.current).engine.containers.retain(|c| c.service != "db")),
        ("no label", 401, |view| set_label(view, "db", "supervisor-api", None)),
        ("label switched off", 401, |view| set_label(view, "db", "supervisor-api", Some("0"))),
        ("taken back by the target", 401, |view| {
            let target = Arc::make_mut(view.target.as_mut().unwrap());
            for app in target.apps.values_mut() {
                app.release.as_mut().unwrap().services.get_mut("db").unwrap().labels.clear();
            }
        }),
        ("left the target, and still runs", 200, |view| {
            let target = Arc::make_mut(view.target.as_mut().unwrap());
            target.apps.values_mut().for_each(|app| drop(app.release.as_mut().unwrap().services.remove("db")));
        }),
        ("nobody has looked yet", 503, |view| {
            Arc::make_mut(&mut view.current).engine.containers.clear();
            view.phase = Phase::Starting;
        }),
    ];
    for (case, status, change) in cases {
        let tcp = tcp(without(change)).await;
        assert_eq!(tcp.get("/v2/version", DB).await, status, "{case}");
        assert_eq!(tcp.get("/v2/version", GLOBAL).await, 200, "{case}");
    }
}

#[tokio::test]
async fn scopes_count() {
    let mut view = called();
    let mut loaded = Loaded::default();
    let owner = Some((5, "db".to_owned()));
    loaded.api_keys.insert(owner, StoredKey { key: DB.into(), scopes: r#"[{"type":"app","appId":6}]"#.into() });
    view.keys = Arc::new(Keyring::of(&loaded));
    assert_eq!(tcp(Given { view, ..Given::default() }).await.get("/v2/version", DB).await, 401);
}

#[tokio::test]
async fn keys_are_listed_without_themselves_and_made_anew() {
    let tcp = tcp(Given { view: called(), queue: 1, ..Given::default() }).await;
    let list = async |query: &str| tcp.ask("GET", &format!("/v3/keys?apikey={GLOBAL}{query}"), "", "").await.1;
    let plain = list("").await;
    assert!(![GLOBAL, MAIN, DB].iter().any(|key| plain.contains(key)), "{plain}");
    let shown: serde_json::Value = serde_json::from_str(&list("&show=1").await).unwrap();
    assert_eq!(shown["keys"][0]["key"], GLOBAL);
    assert_eq!(
        (&shown["keys"][2]["service"], &shown["keys"][2]["scopes"], &shown["keys"][2]["controls_host"]),
        (&json!("main"), &json!([{ "type": "app", "appId": 5 }]), &json!(true))
    );
    assert_eq!(tcp.post("/v3/keys/rotate", GLOBAL, "{\"service\":\"nobody\"}").await, 404);
    assert_eq!(tcp.post("/v3/keys/rotate", GLOBAL, "{\"app\":5}").await, 400);
    assert_eq!(tcp.post("/v3/keys/rotate", GLOBAL, "{\"service\":5}").await, 400, "not the global one instead");
    assert_eq!(tcp.post("/v3/keys/rotate", MAIN, "{}").await, 401);
}

#[tokio::test]
async fn without_a_cloud_the_machine_itself_needs_no_key_and_others_do() {
    let everybody = async |local: bool, development: bool, remote: Ipv4Addr| {
        let (_served, mut state) = Given { view: called(), ..Given::default() }.serve_with_state().await;
        if local {
            state.identity.target_source = crate::store::LOCAL_SOURCE.into();
        }
        state.identity.development_mode = development;
        let origin = access::Origin::Tcp(IpAddr::V4(remote));
        access::identify(&state, origin, &Default::default(), &Default::default()).unwrap().caller == Caller::Operator
    };
    let (near, far) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 0, 0, 9));
    assert!(everybody(true, false, near).await && everybody(true, true, far).await);
    assert!(!everybody(true, false, far).await, "only in development mode");
    assert!(!everybody(false, true, near).await && !everybody(false, true, far).await, "with a cloud a key is asked for");
}

#[tokio::test]
async fn strangers_learn_how_the_agent_is_and_nothing_of_its_files() {
    let tcp = tcp(Given { view: called(), store_open: false, ..Given::default() }).await;
    let ask = async |key: &str| tcp.ask("GET", "/v1/healthy", &format!("Accept: application/json\r\n{key}"), "").await;
    let (status, body) = ask("").await;
    assert!(status == 500 && body.contains("is not open: disk I/O error") && !body.contains("/data"), "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&answer["health"]["healthy"], answer.get("database")), (&json!(false), None));
    let (_, body) = ask(&format!("Authorization: Bearer {DB}\r\n")).await;
    assert!(body.contains("/data/database.sqlite"), "{body}");
}

#[tokio::test]
async fn the_log_learns_who_asks_and_a_service_cannot_pass_for_the_command_line() {
    let mut tcp = tcp(Given { view: called(), queue: 4, ..Given::default() }).await;
    let mut requests = std::mem::replace(&mut tcp._served.requests, mpsc::channel(1).1);
    let mut from = async |path: &str, key: &str| {
        let told = async {
            match requests.recv().await.unwrap() {
                Request::Look { from, .. } | Request::Host { from, .. } | Request::App { from, .. } => from,
                other => panic!("{other:?}"),
            }
        };
        let body = "{\"appId\":5,\"force\":true,\"operator\":true}";
        tokio::join!(told, tcp.post(path, key, body)).0
    };
    for path in ["/v1/update", "/v1/restart", "/v1/reboot"] {
        assert_eq!(from(path, MAIN).await, "service main of app 5", "{path}");
        assert_eq!(from(path, GLOBAL).await, "command line", "{path}");
    }
    assert_eq!(tcp._served.polls.try_recv().unwrap().from, "service main of app 5");
}
