//! The stream over HTTP.

use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::cloud::logs::LogUpload;
use crate::cloud::{Client, ClientSettings, Timeouts};
use crate::http::canned::{Canned, Server};
use crate::settings::CloudSettings;

const UUID: &str = "0123456789abcdef0123456789abcdef";

/// Short times, so that a test over a real socket need not wait.
const QUICK: LogTiming = LogTiming {
    grace: Duration::from_millis(50),
    flush: Duration::from_millis(10),
    idle: Duration::from_millis(300),
    retry_first: Duration::from_millis(20),
    retry_longest: Duration::from_millis(100),
    stall: Duration::from_secs(5),
    farewell: Duration::from_secs(2),
};

fn upload(api_endpoint: &str, logs_endpoint: Option<String>) -> Arc<LogUpload> {
    let cloud = CloudSettings {
        api_endpoint: api_endpoint.into(),
        logs_endpoint,
        uuid: Some(UUID.into()),
        device_api_key: Some("secretkey".into()),
        ..CloudSettings::default()
    };
    let settings = ClientSettings {
        cloud: &cloud,
        tls: crate::cloud::client::tls::trusting(None),
        os_version: None,
        os_variant: None,
        timeouts: Timeouts::per_phase(Duration::from_secs(5)),
    };
    Arc::new(Client::new(&settings).unwrap().log_upload(&cloud).unwrap())
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("did not come: {what}");
}

#[tokio::test]
async fn the_head_is_as_the_protocol_says_and_a_refusal_is_tried_again() {
    let server = Server::start(vec![Canned::new("503 Service Unavailable", "log storage is down"); 3]).await;
    // The endpoint of its own wins, and http is taken as it says.
    let bench = Bench::start(upload("http://127.0.0.1:1", Some(format!("http://{}", server.address))), QUICK);
    bench.say("hello");
    until("three requests", || server.requests().len() == 3).await;
    let request = server.requests().remove(0).to_lowercase();
    assert!(request.starts_with(&format!("post /device/v2/{UUID}/log-stream http/1.1\r\n")), "{request}");
    for header in [
        "authorization: bearer secretkey\r\n",
        "content-type: application/x-ndjson\r\n",
        "content-encoding: gzip\r\n",
        "transfer-encoding: chunked\r\n",
    ] {
        assert!(request.contains(header), "{header} in {request}");
    }
    assert!(request.ends_with("\r\n\r\n"), "nothing is sent before the grace is over: {request}");
    bench.shutdown.send_replace(true);
    bench.task.await.unwrap();
}

#[cfg(feature = "sandbox")]
mod embedded {
    use super::*;
    use crate::sandbox::cloud::{Behaviour, EmbeddedCloud, Endpoint, Failure};

    fn messages(cloud: &EmbeddedCloud) -> Vec<String> {
        cloud.log_lines().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    fn answered(cloud: &EmbeddedCloud) -> Vec<u16> {
        cloud.requests().iter().filter(|seen| seen.path.ends_with("/log-stream")).map(|seen| seen.status).collect()
    }

    #[tokio::test]
    async fn lines_arrive_while_the_stream_is_open_and_it_closes_in_order() {
        let cloud = EmbeddedCloud::start(UUID, "secretkey").unwrap();
        let bench = Bench::start(upload(&cloud.endpoint(), None), QUICK);
        bench.say("one");
        until("the first line", || messages(&cloud) == ["one"]).await;
        assert_eq!(answered(&cloud), [0], "the stream is open");
        bench.say("two");
        until("the second line", || messages(&cloud) == ["one", "two"]).await;
        until("the end of the stream", || answered(&cloud) == [201]).await;
        bench.say("three");
        until("the third line", || messages(&cloud).len() == 3).await;
        bench.say("four");
        bench.shutdown.send_replace(true);
        bench.task.await.unwrap();
        assert_eq!(messages(&cloud), ["one", "two", "three", "four"]);
        assert_eq!(answered(&cloud), [201, 201]);
    }

    #[tokio::test]
    async fn an_outage_is_outlasted() {
        let cloud = EmbeddedCloud::start(UUID, "secretkey").unwrap();
        let port = cloud.port();
        let failing = |failure| Behaviour { only: Some(Endpoint::Logs), times: Some(2), ..Behaviour::failing(failure) };
        cloud.set_behaviour(failing(Failure::HangUp));
        let bench = Bench::start(upload(&cloud.endpoint(), None), QUICK);
        bench.say("one");
        until("the first line", || messages(&cloud) == ["one"]).await;
        drop(cloud);
        sleep(Duration::from_millis(100)).await;
        bench.say("two");
        sleep(Duration::from_millis(200)).await;
        let cloud = EmbeddedCloud::start_on(port, UUID, "secretkey").unwrap();
        until("the second line", || messages(&cloud) == ["two"]).await;
    }

    #[tokio::test]
    async fn a_wrong_key_is_refused_and_nothing_arrives() {
        let cloud = EmbeddedCloud::start(UUID, "another key").unwrap();
        let bench = Bench::start(upload(&cloud.endpoint(), None), QUICK);
        bench.say("one");
        // A request stands there before it is answered.
        until("two refusals", || answered(&cloud).starts_with(&[401, 401])).await;
        assert!(messages(&cloud).is_empty());
    }
}
