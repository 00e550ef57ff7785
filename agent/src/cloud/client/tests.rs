//! The real client against canned answers on a real socket.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::cloud::{Cloud, CloudError, TargetAnswer};
use crate::http::canned::{Canned, Server, gzip, gzip_bomb};

const UUID: &str = "0123456789abcdef0123456789abcdef";

fn client_at(endpoint: String, limit: Duration) -> Client {
    let cloud = CloudSettings {
        api_endpoint: endpoint,
        uuid: Some(UUID.into()),
        device_api_key: Some("secretkey".into()),
        ..CloudSettings::default()
    };
    let settings = ClientSettings {
        cloud: &cloud,
        tls: crate::cloud::client::tls::trusting(None),
        os_version: Some("testOS 1"),
        os_variant: Some("dev"),
        timeouts: Timeouts::per_phase(limit),
    };
    Client::new(&settings).unwrap()
}

async fn poll(answer: Canned) -> (Result<TargetAnswer, CloudError>, Server) {
    let server = Server::start(vec![answer]).await;
    let client = client_at(format!("http://{}", server.address), Duration::from_secs(5));
    (client.target(Some("W/\"held\"")).await, server)
}

async fn error_text(answer: Canned) -> String {
    poll(answer).await.0.unwrap_err().to_string()
}

#[tokio::test]
async fn a_poll_asks_as_the_protocol_says_and_keeps_the_etag() {
    let (answer, server) = poll(Canned::new("200 OK", "{}").header("etag", "W/\"new\"")).await;
    assert_eq!(answer, Ok(TargetAnswer::Body { text: "{}".into(), etag: Some("W/\"new\"".into()) }));
    let request = server.requests().remove(0).to_lowercase();
    assert!(request.starts_with(&format!("get /device/v3/{UUID}/state http/1.1\r\n")), "{request}");
    for header in [
        "authorization: bearer secretkey\r\n",
        "if-none-match: w/\"held\"\r\n",
        "accept-encoding: gzip\r\n",
        concat!("user-agent: supervisor/19.0.5 (linux; testos 1; dev) holdfast/", env!("CARGO_PKG_VERSION"), "\r\n"),
    ] {
        assert!(request.contains(header), "{header} in {request}");
    }
}

#[tokio::test]
async fn not_modified_is_an_answer() {
    assert_eq!(poll(Canned::new("304 Not Modified", "")).await.0, Ok(TargetAnswer::Unchanged));
}

#[tokio::test]
async fn gzip_is_unpacked() {
    let (answer, _) = poll(Canned::new("200 OK", gzip(b"{\"a\":1}")).header("content-encoding", "gzip")).await;
    assert_eq!(answer, Ok(TargetAnswer::Body { text: "{\"a\":1}".into(), etag: None }));
}

#[tokio::test]
async fn a_small_answer_that_unpacks_into_a_huge_one_is_refused() {
    let bomb = gzip_bomb(BODY_LIMIT_BYTES / 258 + 1000);
    assert!(bomb.len() < BODY_LIMIT_BYTES / 100);
    let (answer, _) = poll(Canned::new("200 OK", bomb).header("content-encoding", "gzip")).await;
    assert!(matches!(answer, Err(CloudError::TooLarge { .. })), "{answer:?}");
}

#[tokio::test]
async fn an_answer_that_announces_too_much_is_refused_before_it_is_read() {
    let (answer, _) = poll(Canned::new("200 OK", vec![b' '; BODY_LIMIT_BYTES + 1])).await;
    assert!(matches!(answer, Err(CloudError::TooLarge { .. })), "{answer:?}");
}

#[tokio::test]
async fn half_a_body_is_an_error_that_says_so() {
    for answer in [
        Canned::new("200 OK", "{\"half\": true}").cut_after(7),
        Canned::new("200 OK", gzip(b"{\"half\": true}")).header("content-encoding", "gzip").cut_after(16),
    ] {
        let text = error_text(answer).await;
        assert!(text.contains("broke off after"), "{text}");
    }
}

#[tokio::test]
async fn statuses_say_what_they_are() {
    let text = error_text(Canned::new("500 Internal Server Error", "database\nis away")).await;
    assert!(text.ends_with("answered 500: database is away"), "{text}");
    let text = error_text(Canned::new("502 Bad Gateway", "<html><h1>Bad gateway")).await;
    assert!(text.contains("answered 502: an HTML page"), "{text}");
    let text = error_text(Canned::new("401 Unauthorized", "Unauthorized")).await;
    assert!(text.contains("does not accept this device's key") && text.contains("10 minutes"), "{text}");
    let text = error_text(Canned::new("302 Found", "").header("location", "http://portal.example/")).await;
    assert!(text.contains("a redirection to http://portal.example/, which is not followed"), "{text}");
    assert!(!text.contains("secretkey"));
}

#[tokio::test]
async fn retry_after_is_seconds() {
    let error = poll(Canned::new("429 Too Many Requests", "").header("retry-after", "7")).await.0.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(error.to_string().contains("asks to wait 7 s"), "{error}");
}

#[tokio::test]
async fn each_phase_has_its_limit() {
    let limit = Duration::from_millis(300);
    let long = Duration::from_secs(20);
    for (answer, words) in [
        (Canned::new("200 OK", "{}").wait_before_head(long), "waiting for the answer to begin"),
        (Canned::new("200 OK", "{}").wait_within_body(long), "waiting for more of the answer's body"),
    ] {
        let server = Server::start(vec![answer]).await;
        let begin = Instant::now();
        let error = client_at(format!("http://{}", server.address), limit).target(None).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(begin.elapsed() < long / 2);
    }
}

#[tokio::test]
async fn a_body_that_trickles_for_ever_ends_at_its_own_limit() {
    let server = Server::start(vec![Canned::new("200 OK", "{}").wait_within_body(Duration::from_secs(20))]).await;
    let mut client = client_at(format!("http://{}", server.address), Duration::from_secs(10));
    client.timeouts.body_total = Duration::from_millis(200);
    let error = client.target(None).await.unwrap_err().to_string();
    assert!(error.contains("the answer's body as a whole"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_an_error_with_its_cause() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client_at(format!("http://{address}"), Duration::from_secs(5)).target(None).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn plain_text_where_tls_is_spoken_is_an_error() {
    let server = Server::start(vec![Canned::new("200 OK", "{}")]).await;
    let client = client_at(format!("https://{}", server.address), Duration::from_secs(2));
    assert!(client.target(None).await.is_err());
}

#[tokio::test]
async fn a_report_stands_below_the_uuid() {
    let server = Server::start(vec![Canned::new("200 OK", "OK"), Canned::new("401 Unauthorized", "")]).await;
    let client = client_at(format!("http://{}/", server.address), Duration::from_secs(5));
    let fields = json!({ "status": "Idle" }).as_object().unwrap().clone();
    client.report(&fields).await.unwrap();
    let request = server.requests().remove(0);
    assert!(request.starts_with("PATCH /device/v3/state HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with(&format!("\r\n\r\n{{\"{UUID}\":{{\"status\":\"Idle\"}}}}")), "{request}");
    let error = client.report(&fields).await.unwrap_err();
    assert!(matches!(error, CloudError::Unauthorised { .. }), "{error}");
}

#[test]
fn settings_that_make_no_client_are_named() {
    let whole = CloudSettings {
        api_endpoint: "https://api.example.com/base/".into(),
        uuid: Some("a/b".into()),
        device_api_key: Some("k".into()),
        ..CloudSettings::default()
    };
    let made = |cloud: &CloudSettings| {
        let timeouts = Timeouts::default();
        Client::new(&ClientSettings {
            cloud,
            tls: crate::cloud::client::tls::trusting(None),
            os_version: None,
            os_variant: None,
            timeouts,
        })
    };
    let client = made(&whole).map_err(|error| error.to_string()).unwrap();
    assert_eq!(client.target_url.as_str(), "https://api.example.com/base/device/v3/a%2Fb/state");
    for (cloud, words) in [
        (CloudSettings { uuid: None, ..whole.clone() }, "no uuid"),
        (CloudSettings { device_api_key: None, ..whole.clone() }, "no deviceApiKey"),
        (CloudSettings { device_api_key: Some("a\nb".into()), ..whole.clone() }, "characters"),
        (CloudSettings { api_endpoint: "api.example.com".into(), ..whole.clone() }, "is not an address"),
        (CloudSettings { api_endpoint: "ftp://api.example.com".into(), ..whole.clone() }, "http or https"),
    ] {
        let error = made(&cloud).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}
