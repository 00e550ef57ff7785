//! The client over TLS: what it trusts and what it does not. The server's certificate is signed by an authority made for
//! this test alone, whose certificate stands in config.json.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::cloud::{Client, ClientSettings, Cloud, CloudError, TargetAnswer, Timeouts};
use crate::settings::CloudSettings;

const AUTHORITY: &str = include_str!("../../http/testdata/own-ca.pem");
const CERTIFICATE: &str = include_str!("../../http/testdata/server.pem");
const KEY: &str = include_str!("../../http/testdata/server-key.pem");

/// Serves one connection on a thread of its own.
fn serve_once() -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        // A client that does not trust the server breaks off here.
        if stream.read(&mut [0; 4096]).is_ok() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
            let _ = stream.flush();
        }
    });
    address
}

/// TLS on a host without certificates.
pub(in crate::cloud) fn trusting(root_ca_pem: Option<&str>) -> rustls::ClientConfig {
    crate::http::tls(Path::new("/nonexistent"), root_ca_pem).unwrap()
}

async fn poll(root_ca_pem: Option<&str>) -> Result<TargetAnswer, CloudError> {
    let cloud = CloudSettings {
        api_endpoint: format!("https://{}", serve_once()),
        uuid: Some("u".into()),
        device_api_key: Some("k".into()),
        root_ca_pem: root_ca_pem.map(str::to_owned),
        ..CloudSettings::default()
    };
    let timeouts = Timeouts::per_phase(Duration::from_secs(5));
    let settings = ClientSettings {
        cloud: &cloud,
        tls: trusting(cloud.root_ca_pem.as_deref()),
        os_version: None,
        os_variant: None,
        timeouts,
    };
    Client::new(&settings)?.target(None).await
}

#[tokio::test]
async fn a_server_of_an_own_authority_is_trusted_when_config_json_says_so() {
    assert_eq!(poll(Some(AUTHORITY)).await, Ok(TargetAnswer::Body { text: "{}".into(), etag: None }));
}

#[tokio::test]
async fn without_that_it_is_not() {
    let error = poll(None).await.unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
}
