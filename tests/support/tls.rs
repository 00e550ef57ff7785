//! TLS in front of a cloud, with a certificate authority of a test's own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A root, an authority below it, and a server's certificate from that one, for `localhost`.
pub struct Certificates {
    folder: tempfile::TempDir,
}

/// Makes all of it with openssl: another implementation than the one under test.
const MAKE: &str = r#"
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1.key"; }
key root; key middle; key server
openssl req -x509 -new -key root.key -subj '/CN=a fleet of tests' -days 30 -out root.pem \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
openssl req -new -key middle.key -subj '/CN=an authority below it' -out middle.csr
printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n' >middle.ext
openssl x509 -req -in middle.csr -CA root.pem -CAkey root.key -CAcreateserial -days 30 -extfile middle.ext -out middle.pem
openssl req -new -key server.key -subj '/CN=localhost' -out server.csr
printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >server.ext
openssl x509 -req -in server.csr -CA middle.pem -CAkey middle.key -CAcreateserial -days "$1" -extfile server.ext -out server.pem
cat server.pem middle.pem >chain.pem
base64 -w 0 root.pem >root.base64
"#;

impl Certificates {
    pub fn new() -> Certificates {
        Certificates::lasting("30")
    }

    /// With a server's certificate that ends after so many days.
    pub fn lasting(days: &str) -> Certificates {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut bash = Command::new("bash");
        let made = bash
            .args(["-euc", MAKE, "bash", days])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("bash is there");
        assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        Certificates { folder }
    }

    /// The root as `balenaRootCA` in config.json has it.
    pub fn root(&self) -> String {
        String::from_utf8(self.read("root.base64")).expect("base64 is text")
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(Path::new(self.folder.path()).join(name)).expect("openssl made it")
    }
}

/// A TLS server that passes everything on to a port behind it. It ends when dropped.
pub struct TlsFront {
    pub port: u16,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl TlsFront {
    /// Serves the chain up to, and without, the root.
    pub fn before(behind: u16, certificates: &Certificates) -> TlsFront {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificates.read("chain.pem")).collect();
        let key = PrivateKeyDer::from_pem_slice(&certificates.read("server.key")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("ring has them");
        let config =
            config.with_no_client_auth().with_single_cert(chain.expect("certificates"), key).expect("they belong together");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it can be set");
        let port = listener.local_addr().expect("it is bound").port();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, TlsAcceptor::from(Arc::new(config)), behind) => {}
                    _ = stopped => {}
                }
            });
        });
        TlsFront { port, stop: Some(stop), thread: Some(thread) }
    }

    /// The `apiEndpoint` for config.json.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

async fn accept(listener: std::net::TcpListener, acceptor: TlsAcceptor, behind: u16) {
    let listener = TcpListener::from_std(listener).expect("a runtime is there");
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // Who does not trust the certificate hangs up: its business.
            let Ok(mut secure) = acceptor.accept(stream).await else { return };
            let Ok(mut plain) = TcpStream::connect(("127.0.0.1", behind)).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
        });
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}
