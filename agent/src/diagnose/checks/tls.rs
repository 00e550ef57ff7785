//! A greeting over TLS, to see what certificate a server shows: also one that is not trusted.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use super::certificate::{Validity, judge, validity};
use super::network::cloud_host;
use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;
use crate::http;

/// For each address, and for each silence.
const LIMIT: Duration = Duration::from_secs(4);
/// Addresses that are tried.
const MOST_ADDRESSES: usize = 2;
/// Certificates of a chain that are looked at.
const MOST_CERTIFICATES: usize = 8;
/// By these the usual clients are told of a proxy.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The certificate the cloud shows: its dates, and whether it is trusted.
pub(super) fn certificate(scene: &Scene) -> Judgement {
    let Some((url, host, port)) = cloud_host(scene) else { return Judgement::skipped("no cloud is named") };
    if url.scheme() != "https" {
        return Judgement::skipped(format!("{url} is not reached over TLS"));
    }
    let proxy = PROXIES.iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if let Some(name) = proxy.filter(|_| !http::is_loopback(&host)) {
        return Judgement::skipped(format!("the cloud is reached through a proxy ({name})"));
    }
    match greet(scene, &host, port) {
        Ok((chain, refused)) => judge(&host, &chain, refused.as_deref(), scene.clock.now().machine_ms / 1000),
        Err(cause) => {
            Judgement::failed(format!("{host}:{port} cannot be greeted: {cause}"), "see the checks dns, network and cloud")
        }
    }
}

/// The dates of the chain that was shown, and why it was refused, if it was.
fn greet(scene: &Scene, host: &str, port: u16) -> Result<(Vec<Validity>, Option<String>), String> {
    let addresses = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
    let mut last = "it has no address".to_owned();
    let connected = addresses.take(MOST_ADDRESSES).find_map(|address| {
        let connected = TcpStream::connect_timeout(&address, LIMIT);
        connected.map_err(|error| last = format!("{address}: {error}")).ok()
    });
    let mut stream = connected.ok_or(last)?;
    let timed = stream.set_read_timeout(Some(LIMIT)).and_then(|()| stream.set_write_timeout(Some(LIMIT)));
    timed.map_err(|error| error.to_string())?;

    let text = |error: Error| http::chain(&error);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = http::trusted_roots(&scene.settings.host_root, scene.settings.cloud.root_ca_pem.as_deref());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let witness = Arc::new(Witness { inner: inner.map_err(|error| error.to_string())?, seen: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(text)?;
    let config = config.dangerous().with_custom_certificate_verifier(witness.clone()).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(text)?;
    let mut refused = None;
    while refused.is_none() && connection.is_handshaking() {
        refused = connection.complete_io(&mut stream).err().map(|error| http::chain(&error));
    }
    let seen = std::mem::take(&mut *witness.seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((seen, refused))
}

/// Takes note of what is shown before it is judged as ever.
#[derive(Debug)]
struct Witness {
    inner: Arc<WebPkiServerVerifier>,
    seen: Mutex<Vec<Validity>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = std::iter::once(end_entity).chain(intermediates).take(MOST_CERTIFICATES);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = shown.filter_map(|one| validity(one)).collect();
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
