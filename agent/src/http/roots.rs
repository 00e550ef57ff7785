//! The certificates the device trusts: Mozilla's, bundled; the host's, where it has some; those of config.json.

use std::io::Read;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Where the host keeps its bundle, below the host's root.
const HOST_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// More of a bundle than this is not read, bytes.
const BUNDLE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// Gathers the trusted roots. What cannot be read is left out and logged: the bundled roots are always there, also in a
/// container that has no certificate store at all.
pub fn gather(host_root: &Path, root_ca_pem: Option<&str>) -> RootCertStore {
    let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let path = host_root.join(HOST_BUNDLE);
    match read_limited(&path) {
        Ok(pem) => merge(&mut store, &pem, &path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => log::warn!("{}: cannot be read, only the bundled certificates are used: {error}", path.display()),
    }
    if let Some(pem) = root_ca_pem {
        merge(&mut store, pem.as_bytes(), "balenaRootCA in config.json");
    }
    store
}

fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    std::fs::File::open(path)?.take(BUNDLE_LIMIT_BYTES).read_to_end(&mut pem)?;
    Ok(pem)
}

/// Adds the certificates of a PEM text.
fn merge(store: &mut RootCertStore, pem: &[u8], source: &str) {
    let mut read = 0_usize;
    let mut bad = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let valid = certificate.is_ok_and(|certificate| add_once(store, certificate));
        *(if valid { &mut read } else { &mut bad }) += 1;
    }
    if bad > 0 || read == 0 {
        log::warn!("{source}: {read} certificate(s) read, {bad} left out because they are not valid");
    }
}

/// Adds a certificate unless it is there already, as most of a host's bundle is; `false` when it is not valid.
fn add_once(store: &mut RootCertStore, certificate: CertificateDer<'_>) -> bool {
    if store.add(certificate).is_err() {
        return false;
    }
    if let Some(added) = store.roots.pop()
        && !store.roots.contains(&added)
    {
        store.roots.push(added);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A self-signed certificate authority made for this test alone.
    const OWN_CA: &str = include_str!("testdata/own-ca.pem");

    #[test]
    fn the_bundled_roots_are_there_without_any_host() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(gather(empty.path(), None).len(), webpki_roots::TLS_SERVER_ROOTS.len());
    }

    #[test]
    fn a_root_of_config_json_is_added_once_and_rubbish_is_left_out() {
        let host = tempfile::tempdir().unwrap();
        let bundle = host.path().join(HOST_BUNDLE);
        std::fs::create_dir_all(bundle.parent().unwrap()).unwrap();
        std::fs::write(&bundle, OWN_CA).unwrap();
        let bundled = webpki_roots::TLS_SERVER_ROOTS.len();
        assert_eq!(gather(host.path(), Some(OWN_CA)).len(), bundled + 1);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(gather(host.path(), Some(broken)).len(), bundled + 1);
        assert_eq!(gather(host.path(), Some("not a certificate")).len(), bundled + 1);
    }
}
