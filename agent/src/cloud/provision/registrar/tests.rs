//! The real calls against canned answers on a real socket.

use super::*;
use crate::cloud::{Client, ClientSettings};
use crate::http::canned::{Canned, Server};
use crate::settings::CloudSettings;

const UUID: &str = "0123456789abcdef0123456789abcdef";

async fn at(answers: Vec<Canned>) -> (HttpRegistrar, Server) {
    let server = Server::start(answers).await;
    let cloud = CloudSettings {
        api_endpoint: format!("http://{}/base", server.address),
        uuid: Some(UUID.into()),
        device_api_key: Some("devicekey".into()),
        api_key: Some("fleetkey".into()),
        ..CloudSettings::default()
    };
    let timeouts = Timeouts::per_phase(Duration::from_secs(5));
    let settings = ClientSettings {
        cloud: &cloud,
        tls: crate::cloud::client::tls::trusting(None),
        os_version: None,
        os_variant: None,
        timeouts,
    };
    (Client::new(&settings).unwrap().registrar(&cloud).unwrap(), server)
}

async fn register(answer: Canned) -> Result<Registered, CloudError> {
    at(vec![answer]).await.0.register(&json!({})).await
}

#[tokio::test]
async fn a_registration_is_sent_as_the_protocol_says() {
    let (registrar, server) = at(vec![Canned::new("201 Created", format!(r#"{{"id":7,"uuid":"{UUID}","api_key":"k"}}"#))]).await;
    let registration = Registration {
        user: Some(3),
        application: 5,
        uuid: UUID,
        device_type: "raspberrypi4-64",
        api_key: "devicekey",
        os_version: Some("balenaOS 6"),
        os_variant: "prod",
        mac_address: "AA:BB:CC:DD:EE:FF",
    };
    assert_eq!(registrar.register(&registration.body()).await, Ok(Registered::As(7)));
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /base/device/register HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("authorization: bearer fleetkey\r\n"), "{head}");
    let expected = json!({
        "user": 3, "application": 5, "uuid": UUID, "device_type": "raspberrypi4-64", "api_key": "devicekey",
        "supervisor_version": "19.0.5", "os_version": "balenaOS 6", "os_variant": "prod", "mac_address": "AA:BB:CC:DD:EE:FF",
    });
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
    let sparse = Registration { user: None, os_version: None, mac_address: "", ..registration };
    assert!(["user", "os_version", "mac_address"].iter().all(|name| sparse.body().get(name).is_none()));
}

#[tokio::test]
async fn only_a_devices_id_is_a_registration() {
    assert_eq!(register(Canned::new("200 OK", r#"{"id":7}"#)).await, Ok(Registered::As(7)));
    assert_eq!(register(Canned::new("409 Conflict", "\"uuid\" must be unique")).await, Ok(Registered::Taken));
    for (answer, words) in [
        (Canned::new("200 OK", "<html>Sign in"), "HTML page"),
        (Canned::new("201 Created", r#"{"id":7,"uuid":"ffff"}"#), "another device"),
        (Canned::new("201 Created", r#"{"id":"#), "not what was asked for"),
        (Canned::new("201 Created", r#"{"id":7}"#).cut_after(3), "broke off"),
        (Canned::new("201 Created", vec![b' '; ANSWER_LIMIT_BYTES + 1]), "larger than"),
        (Canned::new("401 Unauthorized", "Unauthorized"), "provisioning key"),
        (Canned::new("400 Bad Request", "Device type not found"), "Device type not found"),
        (Canned::new("302 Found", "").header("location", "https://elsewhere.example.com/"), "not followed"),
        (Canned::new("503 Unavailable", "busy").header("retry-after", "9"), "asks to wait 9 s"),
    ] {
        let error = register(answer).await.unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(!error.contains("fleetkey"), "{error}");
    }
}

#[tokio::test]
async fn a_device_is_asked_for_with_either_key() {
    let (registrar, server) = at(vec![
        Canned::new("200 OK", r#"{"d":[{"id":7,"__metadata":{}}]}"#),
        Canned::new("200 OK", r#"{"d":[]}"#),
        Canned::new("401 Unauthorized", ""),
        Canned::new("401 Unauthorized", ""),
        Canned::new("200 OK", "<html>"),
    ])
    .await;
    assert_eq!(registrar.find(KeyOf::Device).await, Ok(Some(7)));
    assert_eq!(registrar.find(KeyOf::Fleet).await, Ok(None));
    assert_eq!(registrar.find(KeyOf::Device).await, Ok(None), "a key of nobody's");
    assert!(registrar.find(KeyOf::Fleet).await.is_err(), "a provisioning key that is not accepted says nothing of the device");
    assert!(registrar.find(KeyOf::Device).await.is_err(), "nor does a captive portal");
    let requests = server.requests();
    let query = format!("GET /base/v7/device?$select=id&$filter=uuid%20eq%20%27{UUID}%27 HTTP/1.1\r\n");
    assert!(requests[0].starts_with(&query), "{}", requests[0]);
    assert!(requests[0].contains("Bearer devicekey\r\n") && requests[1].contains("Bearer fleetkey\r\n"));
}

#[tokio::test]
async fn a_key_is_installed_or_refused_for_good_or_tried_again() {
    let (registrar, server) = at(vec![
        Canned::new("200 OK", "\"devicekey\""),
        Canned::new("200 OK", r#"{"d":[{"id":7}]}"#),
        Canned::new("200 OK", "<html>Sign in"),
        Canned::new("401 Unauthorized", ""),
        Canned::new("403 Forbidden", "not yours"),
        Canned::new("500 Internal Server Error", ""),
        Canned::new("429 Too Many Requests", "").header("retry-after", "9"),
    ])
    .await;
    assert_eq!(registrar.install(7, "devicekey").await, Ok(Installed::Yes));
    let portal = registrar.install(7, "devicekey").await.unwrap_err().to_string();
    assert!(portal.contains("does not know the key"), "{portal}");
    let refused = registrar.install(7, "devicekey").await.unwrap();
    assert!(matches!(&refused, Installed::Refused(why) if why.contains("not yours")), "{refused:?}");
    assert!(registrar.install(7, "devicekey").await.is_err());
    assert_eq!(registrar.install(7, "devicekey").await.unwrap_err().retry_after(), Some(Duration::from_secs(9)));
    let request = server.requests().remove(0);
    assert!(request.starts_with("POST /base/api-key/device/7/device-key HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("Bearer fleetkey\r\n") && request.ends_with(r#"{"apiKey":"devicekey"}"#), "{request}");
}

#[tokio::test]
async fn a_device_is_named_with_its_own_key() {
    let (registrar, server) = at(vec![Canned::new("200 OK", "OK")]).await;
    assert_eq!(registrar.name(7, "hall").await, Ok(()));
    let request = server.requests().remove(0);
    assert!(request.starts_with("PATCH /base/v7/device(7) HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("Bearer devicekey\r\n") && request.ends_with(r#"{"device_name":"hall"}"#), "{request}");
}

#[tokio::test]
async fn a_device_is_pinned_to_a_release_that_is_there() {
    let (registrar, server) = at(vec![
        Canned::new("200 OK", r#"{"d":[{"id":70}]}"#),
        Canned::new("200 OK", "OK"),
        Canned::new("200 OK", r#"{"d":[]}"#),
        Canned::new("401 Unauthorized", ""),
    ])
    .await;
    let pin = |commit: &str| Pin { app: 5, commit: commit.to_owned() };
    assert_eq!(registrar.pin(7, &pin("c0ffee")).await, Ok(true));
    assert_eq!(registrar.pin(7, &pin("o'")).await, Ok(false));
    assert!(registrar.pin(7, &pin("c0ffee")).await.is_err());
    let requests = server.requests();
    let query = "GET /base/v7/release?$select=id&$filter=belongs_to__application%20eq%205%20and%20commit%20eq%20%27c0ffee%27\
                 %20and%20status%20eq%20%27success%27 HTTP/1.1\r\n";
    assert!(requests[0].starts_with(query) && requests[0].contains("Bearer devicekey\r\n"), "{}", requests[0]);
    assert!(requests[1].starts_with("PATCH /base/v7/device(7) HTTP/1.1\r\n"), "{}", requests[1]);
    assert!(requests[1].ends_with(r#"{"is_pinned_on__release":70}"#), "{}", requests[1]);
    assert!(requests[2].contains("eq%20%27o%27%27%27%20and"), "{}", requests[2]);
}
