//! Registries over HTTP.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use holdfast_plan::target::ImageRef;
use tokio::time::timeout;

use super::clients::Clients;
use super::manifest::{self, Manifest};
use super::session::Session;
use super::{ImageSize, Platform, Registry, RegistryError};
use crate::http;
use crate::http::RegistryAuth;

/// Who the agent says it is. What it runs on is no registry's business.
const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));

/// Manifests beyond this are refused by registries too, bytes.
const MANIFEST_LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// Configurations hold the history of an image and are larger than manifests only by mistake, bytes.
const CONFIGURATION_LIMIT_BYTES: usize = 8 * 1024 * 1024;
/// How often a list may lead to a list.
const MAX_LISTS: u32 = 2;

/// What asking registries is made from.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Where the host's certificates are looked for.
    pub host_root: PathBuf,
    /// Certificates of config.json.
    pub root_ca_pem: Option<String>,
    /// The machine images are for.
    pub platform: Platform,
    /// Name resolution, connection and TLS.
    pub connect_timeout: Duration,
    /// All that it takes to learn one image's size. A slow answer holds up a pull that may well be possible.
    pub total_timeout: Duration,
}

impl RegistrySettings {
    /// The usual limits of time, for the machine this runs on.
    pub fn new(host_root: PathBuf, root_ca_pem: Option<String>) -> RegistrySettings {
        let (connect_timeout, total_timeout) = (Duration::from_secs(10), Duration::from_secs(30));
        RegistrySettings { host_root, root_ca_pem, platform: Platform::of_machine(), connect_timeout, total_timeout }
    }
}

/// Asks registries over HTTP. The clients are made when the first image is asked for: a device at its target needs none.
pub struct HttpRegistry {
    settings: RegistrySettings,
    clients: OnceLock<Result<Clients, RegistryError>>,
}

impl HttpRegistry {
    /// Connects to nothing yet.
    pub fn new(settings: RegistrySettings) -> HttpRegistry {
        HttpRegistry { settings, clients: OnceLock::new() }
    }

    fn clients(&self) -> Result<&Clients, RegistryError> {
        self.clients.get_or_init(|| self.make_clients().map_err(RegistryError::Client)).as_ref().map_err(Clone::clone)
    }

    fn make_clients(&self) -> Result<Clients, String> {
        let settings = &self.settings;
        let tls = http::tls(&settings.host_root, settings.root_ca_pem.as_deref())?;
        let options = http::Options { user_agent: USER_AGENT, connect_timeout: settings.connect_timeout, proxy: true };
        let away = http::client(tls.clone(), &options)?;
        Ok(Clients { away, here: http::client(tls, &http::Options { proxy: false, ..options })? })
    }

    async fn ask(&self, image: &ImageRef, auth: Option<&RegistryAuth>) -> Result<ImageSize, RegistryError> {
        let mut session = Session::new(self.clients()?, image, auth)?;
        let mut reference = image.digest.clone().or(image.tag.clone()).unwrap_or_else(|| "latest".into());
        for _ in 0..=MAX_LISTS {
            let url = session.repository().manifest(&reference);
            let text = session.get(&url, manifest::ACCEPTED, MANIFEST_LIMIT_BYTES).await?;
            let wrong = |what| RegistryError::Answer { call: format!("GET {url}"), what };
            let (config, sizes) = match manifest::read(&text, &self.settings.platform).map_err(wrong)? {
                Manifest::Image { config, sizes } => (config, sizes),
                Manifest::List { chosen } => {
                    reference = chosen;
                    continue;
                }
            };
            let url = session.repository().blob(&config);
            let text = session.get(&url, "*/*", CONFIGURATION_LIMIT_BYTES).await?;
            return manifest::layers(&text, &sizes).map_err(|what| RegistryError::Answer { call: format!("GET {url}"), what });
        }
        Err(RegistryError::Reference { image: image.to_string(), why: "lists of manifests lead to further lists".into() })
    }
}

#[async_trait::async_trait]
impl Registry for HttpRegistry {
    async fn image_size(&self, image: &ImageRef, auth: Option<&RegistryAuth>) -> Result<ImageSize, RegistryError> {
        let limit = self.settings.total_timeout;
        let late = |_| RegistryError::TimedOut { image: image.to_string(), limit };
        timeout(limit, self.ask(image, auth)).await.map_err(late)?
    }
}
