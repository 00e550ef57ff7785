//! One test's corner of a real engine, and the images that are pulled into it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use holdfast::engine::docker::DockerEngine;
use holdfast::engine::{Engine, Progress};
use holdfast_plan::container::{ContainerSpec, NetworkMode, Options};
use holdfast_plan::current::{Container, EngineState};
use holdfast_plan::target::ImageRef;
use tokio::time::{sleep, timeout};

pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program for the containers: ends at once when it is told to.
pub const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

/// One test's corner of the engine.
pub struct Ground {
    pub address: String,
    pub scope: String,
    pub app: u64,
    pub engine: DockerEngine,
}

impl Ground {
    /// `None`, and a line that says so, where no engine is given.
    pub fn new() -> Option<Ground> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(address) = address() else {
            eprintln!("skipped: HOLDFAST_TEST_DOCKER is not set");
            return None;
        };
        let app = u64::from(std::process::id()) * 100 + u64::from(COUNT.fetch_add(1, Ordering::Relaxed));
        let scope = format!("test-{app}");
        let engine = DockerEngine::connect(&address, Some(scope.clone())).unwrap();
        Some(Ground { address, scope, app, engine })
    }

    pub fn network(&self, name: &str) -> String {
        format!("u{}_{name}", self.app)
    }

    pub fn volume(&self, name: &str) -> String {
        format!("{}_{name}", self.app)
    }

    /// A container as an agent would ask for it, as plain as can be.
    pub fn spec(&self, service: &str) -> ContainerSpec {
        let labels = [
            ("io.balena.supervised", "true".to_owned()),
            ("io.balena.app-id", self.app.to_string()),
            ("io.balena.app-uuid", format!("u{}", self.app)),
            ("io.balena.service-name", service.to_owned()),
            ("io.balena.service-id", "11".to_owned()),
        ];
        ContainerSpec {
            name: format!("{service}_{}_22_abc", self.app),
            image: image().to_string(),
            labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            network_mode: NetworkMode::None,
            options: Options {
                command: Some(words("sh -c").into_iter().chain([SLEEP.to_owned()]).collect()),
                ..Options::default()
            },
            ..ContainerSpec::default()
        }
    }

    pub async fn pulled(&self) -> &Self {
        self.engine.pull(&image(), None, quiet()).await.unwrap();
        self
    }

    pub async fn observe(&self) -> EngineState {
        self.engine.observe().await.unwrap()
    }

    pub async fn container(&self, id: &str) -> Container {
        self.observe().await.containers.into_iter().find(|container| container.id == id).expect("the container is there")
    }

    pub async fn wait_for(&self, id: &str, what: impl Fn(&Container) -> bool) -> Container {
        let waited = async {
            loop {
                let container = self.container(id).await;
                if what(&container) {
                    return container;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, waited).await.expect("in time")
    }

    /// Runs the engine's own command line, so that what the agent claims is not believed.
    pub fn docker(&self, arguments: &[&str]) -> String {
        docker(&self.address, arguments, &[])
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let filter = format!("label=io.holdfast.scope={}", self.scope);
        for (list, remove) in [
            (["ps", "-aq"].as_slice(), ["rm", "-fv"].as_slice()),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm"]),
        ] {
            let found = docker(&self.address, &[list, &["--filter", &filter]].concat(), &[]);
            let found: Vec<&str> = found.split_whitespace().collect();
            if !found.is_empty() {
                docker(&self.address, &[remove, &found].concat(), &[]);
            }
        }
    }
}

pub fn address() -> Option<String> {
    let folder = || std::env::var("HOLDFAST_TEST_ENGINE").map(|folder| format!("unix://{folder}/docker.sock"));
    std::env::var("HOLDFAST_TEST_DOCKER").or_else(|_| folder()).ok()
}

pub fn registry() -> String {
    std::env::var("HOLDFAST_TEST_REGISTRY").unwrap_or_else(|_| "localhost:5000".to_owned())
}

pub fn docker(address: &str, arguments: &[&str], input: &[u8]) -> String {
    use std::io::Write as _;
    let mut command = Command::new("docker");
    command.env("DOCKER_HOST", address).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the docker command is there");
    let mut pipe = child.stdin.take().unwrap();
    let content = input.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&content));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "docker {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The image most tests share.
pub fn image() -> ImageRef {
    static IMAGE: OnceLock<ImageRef> = OnceLock::new();
    let make = || match std::env::var("HOLDFAST_TEST_IMAGE") {
        Ok(reference) => reference.parse().unwrap(),
        Err(_) => pushed("shared", &busybox()),
    };
    IMAGE.get_or_init(make).clone()
}

/// Runs a test of this suite again in the network of the private engine, where the registry is; true when that was done.
pub fn beside_the_registry(test: &str) -> bool {
    const INSIDE: &str = "HOLDFAST_TEST_INSIDE";
    let Ok(network) = std::env::var("HOLDFAST_TEST_NETNS") else { return false };
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let mut again = Command::new("nsenter");
    again.arg(format!("--net={network}")).arg(std::env::current_exe().unwrap()).env(INSIDE, "1");
    let output = again.args([&format!("engine_docker::{test}"), "--exact"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    true
}

/// Puts an image into the registry, removes it from the engine, and tells its reference with digest.
pub fn pushed(name: &str, archive: &[u8]) -> ImageRef {
    let address = address().unwrap();
    let repository = format!("{}/v2/{name}-{}", registry(), std::process::id());
    docker(&address, &["import", "--change", "ENV PATH=/bin FROM_IMAGE=1", "-", &repository], archive);
    docker(&address, &["push", "-q", &repository], &[]);
    let reference = docker(&address, &["image", "inspect", "--format", "{{index .RepoDigests 0}}", &repository], &[]);
    docker(&address, &["image", "rm", &repository], &[]);
    reference.parse().unwrap()
}

/// A root file system with a static busybox in it.
pub fn busybox() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    std::fs::copy("/bin/busybox", folder.path().join("bin/busybox")).unwrap();
    for name in ["sh", "sleep", "true", "false", "cat"] {
        std::os::unix::fs::symlink("busybox", folder.path().join("bin").join(name)).unwrap();
    }
    packed(folder.path())
}

pub fn packed(folder: &std::path::Path) -> Vec<u8> {
    Command::new("tar").arg("-C").arg(folder).args(["-c", "."]).output().unwrap().stdout
}

/// A file of this many bytes that do not compress.
pub fn random_file(bytes: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut content = vec![0; bytes];
    let mut random = fastrand::Rng::with_seed(bytes as u64 ^ u64::from(std::process::id()));
    random.fill(&mut content);
    std::fs::write(folder.path().join("random"), content).unwrap();
    packed(folder.path())
}

pub fn quiet() -> Progress {
    Arc::new(|_| {})
}

pub fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

pub fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
