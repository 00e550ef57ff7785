//! The parts of one agent, from its settings.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use holdfast_plan::target::{ImageRef, parse};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::api::Identity;
use crate::clock::Clock;
use crate::cloud::logs::LogTransport;
use crate::cloud::provision::{Description, Need, Pin, Provisioner, Registrar};
use crate::cloud::report::os_variant;
use crate::cloud::{Client, ClientSettings, Cloud, CloudError, Timeouts, registry_host_is_ours};
use crate::engine::docker::DockerEngine;
use crate::engine::{DEFAULT_ADDRESSES, Engine, RegistryAuth};
use crate::host::{ControlSettings, DeviceInfo, ServiceManager, SystemHost};
use crate::http;
use crate::policy::Zone;
use crate::reconcile::{TargetInForce, Tools, View};
use crate::registry::{HttpRegistry, Registry, RegistrySettings};
use crate::settings::{SettingFault, Settings};
use crate::store::{Loaded, Place, SqliteStore, Store, StoreError};
use crate::telemetry::{Sampler, Statistics, Surroundings};

/// How often a data directory that cannot be used is tried again.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// How much longer each such try lets the start take.
const START_EXTENSION: Duration = Duration::from_secs(120);

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    pub fn new() -> anyhow::Result<Signals> {
        let catch = |kind| signal(kind).context("signals cannot be caught");
        Ok(Signals { term: catch(SignalKind::terminate())?, int: catch(SignalKind::interrupt())? })
    }

    /// Waits for one of them.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// Opens the store. A partition that is full, read-only or missing is tried again until it is not: containers go on
/// meanwhile, and the service manager is told that the start takes longer. `None` when the agent was asked to end before.
pub(super) async fn open_store(
    settings: &Settings,
    signals: &mut Signals,
    manager: &ServiceManager,
) -> anyhow::Result<Option<Arc<SqliteStore>>> {
    let mut said = None;
    loop {
        let place = Place::of(settings);
        let opened = spawn_blocking(move || SqliteStore::open_at(place)).await;
        let error = match opened.context("opening the database broke off")? {
            Ok(store) => {
                store.keep_events(settings.event_retention);
                return Ok(Some(Arc::new(store)));
            }
            Err(error @ StoreError::Held { .. }) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        manager.starting(START_EXTENSION, &error);
        if said.as_ref() != Some(&error) {
            log::error!("{error}; containers go on, tried again every {} s", STORE_RETRY.as_secs());
            said = Some(error);
        }
        tokio::select! {
            _ = signals.next() => return Ok(None),
            () = tokio::time::sleep(STORE_RETRY) => {}
        }
    }
}

/// The stored target, parsed again; one that cannot be read any more is said and asked for anew.
pub(super) fn stored_target(loaded: &Loaded, uuid: &str) -> Option<TargetInForce> {
    let stored = loaded.target.as_ref()?;
    let document = serde_json::from_str(&stored.body).map_err(|error| error.to_string());
    match document.and_then(|document| parse(&document, uuid).map_err(|error| error.to_string())) {
        Ok(target) => Some(TargetInForce { target: Arc::new(target), source: stored.source.clone() }),
        Err(error) => {
            log::error!("the stored target cannot be read, containers are left alone until the cloud sends one: {error}");
            None
        }
    }
}

/// The effects the loop works with.
pub(super) fn tools(settings: &Settings, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> anyhow::Result<Tools> {
    let cloud = settings.cloud.clone();
    let host = SystemHost::new(settings.host_root.clone(), settings.lock_dir.clone(), cloud.device_type.clone());
    // Beside others, in a label scope of its own, the machine is not the agent's to restart; a host given to it is.
    let host = if settings.scope.is_some() && settings.host_root == std::path::Path::new("/") {
        host
    } else {
        host.controlled(ControlSettings {
            data_dir: settings.data_dir.clone(),
            config: settings.config_file(),
            bus: settings.system_bus.clone(),
            uuid: cloud.uuid.clone().unwrap_or_default(),
        })
    };
    let (engine, registry) = engine(settings, &clock)?;
    Ok(Tools {
        engine,
        registry,
        data_root: None,
        // Beside others on one engine, nobody knows whose an image without a name is.
        clean_dangling: settings.scope.is_none(),
        host: Arc::new(host),
        store,
        clock,
        zone: Arc::new(Zone::of_host(&settings.host_root)),
        uuid: cloud.uuid.clone().unwrap_or_default(),
        api_endpoint: Some(cloud.api_endpoint.clone()).filter(|endpoint| !endpoint.is_empty()),
        device_api_key: cloud.device_api_key.as_ref().map(|key| key.reveal().to_owned()),
        api_port: cloud.listen_port,
        lock_root: settings.lock_dir.to_string_lossy().into_owned(),
        volume_grace: settings.volume_grace,
        max_retry: settings.poll_interval,
        auth_for: Arc::new(move |image: &ImageRef| {
            let host = image.host.as_deref().filter(|host| registry_host_is_ours(&cloud, host))?;
            let (uuid, key) = (cloud.uuid.as_ref()?, cloud.device_api_key.as_ref()?);
            Some(RegistryAuth {
                username: format!("d_{uuid}"),
                password: key.reveal().to_owned(),
                server_address: host.to_owned(),
            })
        }),
    })
}

/// The engine, and the registries it pulls from: the simulated engine has none but its own.
fn engine(settings: &Settings, clock: &Arc<dyn Clock>) -> anyhow::Result<(Arc<dyn Engine>, Arc<dyn Registry>)> {
    let scope = settings.scope.clone();
    #[cfg(feature = "sandbox")]
    if settings.engine.as_deref() == Some(crate::sandbox::engine::ADDRESS) {
        // Like any engine it goes on while the agent opens its database anew.
        static SIMULATED: std::sync::OnceLock<crate::sandbox::engine::SimEngine> = std::sync::OnceLock::new();
        let simulated = SIMULATED.get_or_init(|| crate::sandbox::engine::SimEngine::for_agent(clock.clone())).clone();
        return Ok((Arc::new(simulated.clone()), Arc::new(simulated)));
    }
    let _ = clock;
    let engine = match &settings.engine {
        Some(address) => DockerEngine::connect(address, scope)?,
        None => DockerEngine::connect_any(&DEFAULT_ADDRESSES, scope)?,
    };
    let registries = RegistrySettings::new(settings.host_root.clone(), settings.cloud.root_ca_pem.clone());
    Ok((Arc::new(engine), Arc::new(HttpRegistry::new(registries))))
}

/// The loop that keeps statistics of what the reconcile loop saw last.
pub(super) fn sampler(
    settings: &Settings,
    statistics: Statistics,
    tools: &Tools,
    view: watch::Receiver<Arc<View>>,
    shutdown: watch::Receiver<bool>,
) -> Sampler {
    Sampler {
        statistics,
        file: settings.data_dir.join("telemetry.sqlite"),
        host: tools.host.clone(),
        engine: tools.engine.clone(),
        clock: tools.clock.clone(),
        surroundings: Box::new(move || {
            let view = view.borrow();
            let data_root = view.engine.as_ref().and_then(|engine| engine.data_root.clone());
            Surroundings { current: view.current.clone(), data_root }
        }),
        shutdown,
    }
}

/// What the device speaks to its cloud with.
pub(super) struct CloudLinks {
    /// Targets and reports.
    pub cloud: Arc<dyn Cloud>,
    /// The log stream.
    pub logs: Arc<dyn LogTransport>,
    /// What it takes to join the cloud first, where that is still to be done.
    pub joining: Option<Joining>,
}

/// What it takes to join the cloud.
pub(super) struct Joining {
    need: Need,
    pin: Option<Pin>,
    device: Description,
    registrar: Arc<dyn Registrar>,
}

impl Joining {
    /// The loop that does it.
    pub fn provisioner(self, settings: &Settings, clock: Arc<dyn Clock>) -> Provisioner {
        let (cloud, file) = (settings.cloud.clone(), settings.config_file());
        Provisioner::new(self.need, cloud, self.device, file, self.registrar, clock, fastrand::Rng::new()).pinned(self.pin)
    }
}

/// TLS in the making.
pub(super) type Trust = JoinHandle<Result<rustls::ClientConfig, String>>;

/// Puts what is trusted together, on another processor while the database is opened: a host has hundreds of certificates.
/// `None` on a device without a cloud.
pub(super) fn trust(settings: &Settings) -> Option<Trust> {
    let (root, pem) = (settings.host_root.clone(), settings.cloud.root_ca_pem.clone());
    (!settings.cloud.api_endpoint.is_empty()).then(|| spawn_blocking(move || http::tls(&root, pem.as_deref())))
}

/// The cloud's client; `None`, with a fault, when the device cannot speak to one.
pub(super) async fn cloud(
    settings: &Settings,
    trust: Option<Trust>,
    pin: Option<Pin>,
    device: DeviceInfo,
    faults: &mut Vec<SettingFault>,
) -> Option<CloudLinks> {
    let Some(trust) = trust else {
        log::info!("config.json names no apiEndpoint: this device is unmanaged");
        return None;
    };
    let variant = os_variant(device.os_variant.as_deref(), settings.cloud.development_mode);
    let tls = trust.await.unwrap_or_else(|error| Err(format!("TLS: {error}"))).map_err(CloudError::Settings);
    let client = tls.and_then(|tls| {
        Client::new(&ClientSettings {
            cloud: &settings.cloud,
            tls,
            os_version: device.os_version.as_deref(),
            os_variant: Some(variant),
            timeouts: Timeouts::default(),
        })
    });
    let links = client.and_then(|client| {
        let logs = Arc::new(client.log_upload(&settings.cloud)?);
        let still_to_pin = settings.cloud.device_id.filter(|_| pin.is_some()).map(Need::Pin);
        let joining = match Need::of(&settings.cloud).or(still_to_pin) {
            Some(need) => {
                let registrar = Arc::new(client.registrar(&settings.cloud)?);
                Some(Joining { need, pin, device: description(&device, variant), registrar })
            }
            None => None,
        };
        Ok(CloudLinks { cloud: Arc::new(client), logs, joining })
    });
    match links {
        Ok(links) => Some(links),
        Err(error) => {
            let message =
                format!("{error}; the cloud is neither polled nor reported to until this is mended and the agent started again");
            faults.push(SettingFault { subject: "cloud".into(), message });
            None
        }
    }
}

/// What a registration says of the device.
fn description(device: &DeviceInfo, os_variant: &str) -> Description {
    Description {
        device_type: device.device_type.clone(),
        os_version: device.os_version.clone(),
        os_variant: os_variant.to_owned(),
        mac_address: device.mac_address.clone(),
    }
}

/// Who this device is, for the local API.
pub(super) fn identity(settings: &Settings, source: &str, settings_faults: Vec<SettingFault>) -> Identity {
    Identity {
        uuid: settings.cloud.uuid.clone().unwrap_or_default(),
        target_source: source.to_owned(),
        device_type: settings.cloud.device_type.clone(),
        api_port: settings.cloud.listen_port,
        development_mode: settings.cloud.development_mode,
        settings_faults,
    }
}
