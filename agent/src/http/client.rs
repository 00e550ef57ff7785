//! The client: rustls with `ring`, gzip, no redirection followed by itself.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{chain, roots};

/// What a client is made from besides the certificates it trusts.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Who it says it is.
    pub user_agent: &'a str,
    /// Name resolution, connection and TLS may take so long.
    pub connect_timeout: Duration,
    /// Whether the usual proxy variables are followed.
    pub proxy: bool,
}

/// TLS as the agent uses it everywhere: `ring`, and the bundled certificates together with the host's and config.json's.
///
/// # Errors
/// When the library refuses its own defaults; says why.
pub fn tls(host_root: &Path, root_ca_pem: Option<&str>) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // The trusted roots are put together here and not by reqwest: its own way wants a certificate store on the machine.
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {}", chain(&error)))?
        .with_root_certificates(roots::gather(host_root, root_ca_pem))
        .with_no_client_auth())
}

/// Makes a client; connects to nothing yet. Keys go to the address they are for and to no other, so redirections are left
/// to the caller.
///
/// # Errors
/// When the library cannot work with the options; says why.
pub fn client(tls: rustls::ClientConfig, options: &Options<'_>) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(options.user_agent)
        .gzip(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.connect_timeout)
        .pool_max_idle_per_host(1);
    if !options.proxy {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| format!("the HTTP client: {}", chain(&error)))
}

/// Whether a host of an address is this machine itself: `localhost`, 127.0.0.0/8, `::1`, with or without brackets.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_no_other() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "localhost.example.com", "127.example.com", "127.0.0.1.example.com", "128.0.0.1", "10.0.0.1", "[::2]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
