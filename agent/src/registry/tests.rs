//! The client against the embedded registry and against canned ones that want to see a token.

use std::time::Duration;

use holdfast_plan::target::ImageRef;

use super::{HttpRegistry, ImageSize, Layer, Platform, Registry, RegistryError, RegistrySettings};
use crate::http::RegistryAuth;
use crate::http::canned::{Canned, Server};

const MANIFEST: &str = r#"{"schemaVersion":2,
    "config":{"digest":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","size":2},
    "layers":[{"digest":"sha256:1","size":300},{"digest":"sha256:2","size":40}]}"#;
const CONFIGURATION: &str = r#"{"rootfs":{"type":"layers","diff_ids":["one","two"]}}"#;

fn registry() -> HttpRegistry {
    let settings = RegistrySettings {
        platform: Platform { architecture: "arm".into(), version: Some(7) },
        connect_timeout: Duration::from_secs(5),
        total_timeout: Duration::from_secs(10),
        ..RegistrySettings::new("/nonexistent".into(), None)
    };
    HttpRegistry::new(settings)
}

fn image(server: &Server) -> ImageRef {
    format!("{}/v2/main:1", server.address).parse().unwrap()
}

fn auth(host: &str) -> RegistryAuth {
    RegistryAuth { username: "d_uuid".into(), password: "device-key".into(), server_address: host.into() }
}

fn expected() -> ImageSize {
    let layer = |diff_id: &str, compressed_bytes| Layer { diff_id: diff_id.into(), compressed_bytes };
    ImageSize { layers: vec![layer("one", 300), layer("two", 40)] }
}

fn ok(body: &str) -> Canned {
    Canned::new("200 OK", body)
}

fn challenge(server: &Server) -> Canned {
    let bearer = format!(r#"Bearer realm="http://{}/token",service="r.io",scope="repository:v2/main:pull""#, server.address);
    Canned::new("401 Unauthorized", "").header("www-authenticate", &bearer)
}

/// `authorization` of a request, in lower case as the client writes names.
fn authorization(request: &str) -> Option<&str> {
    request.lines().find_map(|line| line.strip_prefix("authorization: "))
}

#[tokio::test]
async fn a_registry_that_asks_for_nothing() {
    let server = Server::start(vec![ok(MANIFEST), ok(CONFIGURATION)]).await;
    let key = auth(&server.address.to_string());
    assert_eq!(registry().image_size(&image(&server), Some(&key)).await, Ok(expected()));
    let requests = server.requests();
    assert!(requests[0].starts_with("GET /v2/v2/main/manifests/1 HTTP/1.1"), "{}", requests[0]);
    assert!(requests[0].contains("application/vnd.oci.image.index.v1+json"), "{}", requests[0]);
    assert!(requests[1].starts_with("GET /v2/v2/main/blobs/sha256:cccc"), "{}", requests[1]);
    assert!(requests.iter().all(|request| authorization(request).is_none()), "nothing is shown unasked");
}

#[tokio::test]
async fn a_token_is_fetched_with_the_devices_credentials_and_shown() {
    let tokens = Server::start(vec![ok(r#"{"token":"t0ken"}"#)]).await;
    let server = Server::start(vec![challenge(&tokens), ok(MANIFEST), ok(CONFIGURATION)]).await;
    let key = auth(&server.address.to_string());
    assert_eq!(registry().image_size(&image(&server), Some(&key)).await, Ok(expected()));
    let asked = &tokens.requests()[0];
    assert!(asked.starts_with("GET /token?service=r.io&scope=repository%3Av2%2Fmain%3Apull HTTP/1.1"), "{asked}");
    // d_uuid:device-key
    assert_eq!(authorization(asked), Some("Basic ZF91dWlkOmRldmljZS1rZXk="));
    let shown: Vec<_> = server.requests().iter().map(|request| authorization(request).map(str::to_owned)).collect();
    assert_eq!(shown, [None, Some("Bearer t0ken".into()), Some("Bearer t0ken".into())]);
}

#[tokio::test]
async fn credentials_of_another_registry_stay_here() {
    let tokens = Server::start(vec![ok(r#"{"access_token":"public"}"#)]).await;
    let server = Server::start(vec![challenge(&tokens), ok(MANIFEST), ok(CONFIGURATION)]).await;
    let key = auth("registry2.example.com");
    assert_eq!(registry().image_size(&image(&server), Some(&key)).await, Ok(expected()));
    assert_eq!(authorization(&tokens.requests()[0]), None);
    let wants = Canned::new("401 Unauthorized", "").header("www-authenticate", "Basic realm=\"r\"");
    let server = Server::start(vec![wants.clone()]).await;
    let error = registry().image_size(&image(&server), Some(&key)).await.unwrap_err();
    assert!(error.to_string().contains("wants a user and a password"), "{error}");
    let server = Server::start(vec![wants, ok(MANIFEST), ok(CONFIGURATION)]).await;
    let key = auth(&server.address.to_string());
    assert_eq!(registry().image_size(&image(&server), Some(&key)).await, Ok(expected()));
    assert_eq!(authorization(&server.requests()[1]), Some("Basic ZF91dWlkOmRldmljZS1rZXk="));
}

#[tokio::test]
async fn a_token_server_without_tls_elsewhere_is_not_asked() {
    let bearer = r#"Bearer realm="http://auth.example.com/token",service="r.io""#;
    let server = Server::start(vec![Canned::new("401 Unauthorized", "").header("www-authenticate", bearer)]).await;
    let key = auth(&server.address.to_string());
    let error = registry().image_size(&image(&server), Some(&key)).await.unwrap_err();
    assert!(error.to_string().contains("not reached over TLS"), "{error}");
}

#[tokio::test]
async fn a_blob_may_lie_elsewhere_and_the_token_does_not_go_there() {
    let tokens = Server::start(vec![ok(r#"{"token":"t0ken"}"#)]).await;
    let storage = Server::start(vec![ok(CONFIGURATION)]).await;
    let moved = Canned::new("307 Temporary Redirect", "").header("location", &format!("http://{}/stored?sig=x", storage.address));
    let server = Server::start(vec![challenge(&tokens), ok(MANIFEST), moved]).await;
    assert_eq!(registry().image_size(&image(&server), None).await, Ok(expected()));
    let request = &storage.requests()[0];
    assert!(request.starts_with("GET /stored?sig=x "), "{request}");
    assert_eq!(authorization(request), None);
    let away = Canned::new("302 Found", "").header("location", "http://storage.example.com/x");
    let server = Server::start(vec![away]).await;
    let error = registry().image_size(&image(&server), None).await.unwrap_err();
    assert!(error.to_string().contains("leads nowhere the agent may go"), "{error}");
}

#[tokio::test]
async fn of_a_list_the_devices_own_image() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let list = format!(
        r#"{{"manifests":[{{"digest":"sha256:{}","platform":{{"os":"linux","architecture":"amd64"}}}},
            {{"digest":"{digest}","platform":{{"os":"linux","architecture":"arm","variant":"v7"}}}}]}}"#,
        "b".repeat(64)
    );
    let server = Server::start(vec![ok(&list), ok(MANIFEST), ok(CONFIGURATION)]).await;
    assert_eq!(registry().image_size(&image(&server), None).await, Ok(expected()));
    assert!(server.requests()[1].contains(&format!("/manifests/{digest} ")), "{}", server.requests()[1]);
    let circle = Server::start(vec![ok(&list), ok(&list), ok(&list)]).await;
    let error = registry().image_size(&image(&circle), None).await.unwrap_err();
    assert!(matches!(error, RegistryError::Reference { .. }), "{error}");
}

#[tokio::test]
async fn what_goes_wrong_is_named() {
    let fails = async |answers| {
        let server = Server::start(answers).await;
        registry().image_size(&image(&server), None).await.unwrap_err().to_string()
    };
    let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#;
    let error = fails(vec![Canned::new("404 Not Found", unknown)]).await;
    assert!(error.contains("/v2/v2/main/manifests/1: answered 404: ") && error.contains("MANIFEST_UNKNOWN"), "{error}");
    let error = fails(vec![ok("<html>hello</html>")]).await;
    assert!(error.contains("not a manifest"), "{error}");
    let error = fails(vec![ok(MANIFEST), ok(r#"{"rootfs":{"diff_ids":["one"]}}"#)]).await;
    assert!(error.contains("names 1 layers and the manifest 2"), "{error}");
    let error = fails(vec![Canned::new("401 Unauthorized", "")]).await;
    assert!(error.contains("does not say what it wants"), "{error}");
    let error = fails(vec![Canned::new("200 OK", vec![b' '; 5 * 1024 * 1024])]).await;
    assert!(error.contains("larger than 4194304 bytes"), "{error}");
    let error = fails(vec![ok(MANIFEST).cut_after(20)]).await;
    assert!(error.contains("broke off after 20 bytes"), "{error}");
}

#[tokio::test]
async fn all_calls_together_have_their_time() {
    let server = Server::start(vec![ok(MANIFEST), ok(CONFIGURATION).wait_before_head(Duration::from_secs(30))]).await;
    let mut settings = RegistrySettings::new("/nonexistent".into(), None);
    settings.total_timeout = Duration::from_millis(300);
    let error = HttpRegistry::new(settings).image_size(&image(&server), None).await.unwrap_err();
    assert!(matches!(error, RegistryError::TimedOut { .. }), "{error}");
    assert!(error.to_string().contains("within 0.3 s"), "{error}");
}

#[cfg(feature = "sandbox")]
#[tokio::test]
async fn an_image_of_the_embedded_registry() {
    use crate::sandbox::program::Machine;
    use crate::sandbox::registry::{EmbeddedRegistry, Recipe, build};
    let embedded = EmbeddedRegistry::start().unwrap();
    let built = build(&Recipe::program(Machine::X86_64, "web", "1"));
    let reference = embedded.add("v2/web", "latest", &built);
    let size = registry().image_size(&reference.parse().unwrap(), None).await.unwrap();
    let [layer] = size.layers.as_slice() else { panic!("{size:?}") };
    // Uncompressed: its digest is its diff id.
    assert_eq!(built.blobs[&layer.diff_id].len() as u64, layer.compressed_bytes);
    assert_eq!(size.missing_bytes(&[layer.diff_id.clone()].into()), 0);
}
