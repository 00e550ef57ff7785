//! What a device gets, on the processor it is for: the static binaries of `cross/build`, run by qemu.
// needs: engine
// needs: device builds

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{App, Certificates, Cloud, Device, Engine, Release, Role, Service, TlsFront, check, wait_for};
use serde_json::{Value, json};

/// Target, what runs it here, its entry in the ELF header.
const BUILDS: [(&str, Option<&str>, &str); 3] = [
    ("aarch64-unknown-linux-musl", Some("qemu-aarch64-static"), "AArch64"),
    ("armv7-unknown-linux-musleabihf", Some("qemu-arm-static"), "ARM"),
    ("x86_64-unknown-linux-musl", None, "Advanced Micro Devices X86-64"),
];

/// Largest binary that is still called small, bytes.
const SIZE_LIMIT_BYTES: u64 = 6 * 1024 * 1024;

/// One of the builds that `tests/run` made.
struct Build {
    target: &'static str,
    binary: PathBuf,
    runner: Option<&'static str>,
    machine: &'static str,
}

impl Build {
    fn all() -> Vec<Build> {
        let Some(folder) = std::env::var_os("HOLDFAST_TEST_DEVICE_BUILDS") else {
            eprintln!("skipped: needs the device builds, which tests/run makes");
            return Vec::new();
        };
        let build = |(target, runner, machine)| {
            let binary = Path::new(&folder).join(target).join("device/holdfast");
            Build { target, binary, runner, machine }
        };
        BUILDS.into_iter().map(build).filter(|build| build.binary.exists()).collect()
    }

    fn program(&self) -> Vec<OsString> {
        self.runner.map(OsString::from).into_iter().chain([self.binary.clone().into_os_string()]).collect()
    }
}

fn readelf(arguments: &str, binary: &Path) -> String {
    let output = Command::new("readelf").args(["--wide", arguments]).arg(binary).output().expect("binutils are there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn they_are_static_small_and_without_the_sandbox() {
    for build in Build::all() {
        let header = readelf("--file-header", &build.binary);
        assert!(header.contains(build.machine), "{header}");
        let segments = readelf("--segments", &build.binary);
        assert!(!segments.contains("INTERP"), "{}: asks for a loader\n{segments}", build.target);
        let dynamic = readelf("--dynamic", &build.binary);
        assert!(!dynamic.contains("NEEDED"), "{}: asks for libraries\n{dynamic}", build.target);
        let size = std::fs::metadata(&build.binary).unwrap().len();
        println!("{}: {size} bytes, {:.2} MiB", build.target, size as f64 / 1024.0 / 1024.0);
        assert!(size <= SIZE_LIMIT_BYTES, "{}: {size} bytes", build.target);

        let device = Device::simulated().running(build.program());
        let version: Value = serde_json::from_str(&device.command(&["version", "--json"]).stdout).unwrap();
        assert_eq!(version["version"], env!("CARGO_PKG_VERSION"), "{}", build.target);
        assert_eq!(device.command(&["demo"]).code, 2, "the demo belongs to no device");
        assert_eq!(device.command(&["healthy"]).code, 3, "nobody runs");
    }
}

#[test]
fn a_release_is_installed_through_the_engines_socket() {
    let Some(engine) = Engine::shared() else { return };
    for build in Build::all() {
        let mut device = Device::on(&engine).running(build.program());
        let cloud = Cloud::of(&device);
        let app = App::new();
        let release = Release::new("first")
            .service("db", Service::new(&engine.image(Role::Sleeps, "db")).mount("data:/data"))
            .service("main", Service::new(&engine.image(Role::SleepsHealthy, "main")).depends_on(&["db"]))
            .volume("data");
        cloud.want(&[(&app, &release)]);
        device.join(&cloud);
        cloud.wait_settled(&app, &release);
        let containers = engine.wait_running(&app, &release.commit, &["db", "main"]);
        assert_eq!(device.command(&["healthy"]).code, 0, "{}", build.target);
        assert!(device.stop().0.success(), "{}", build.target);
        device.check_database();
        let checked = device.command(&["db", "check"]);
        assert_eq!(checked.code, 0, "{}: {checked:?}", build.target);
        let diagnosed = device.command(&["diagnose", "--json"]);
        let report: Value = serde_json::from_str(&diagnosed.stdout).unwrap_or_else(|error| panic!("{error}: {diagnosed:?}"));
        let row = |name: &str| report["checks"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
        assert_eq!(
            (diagnosed.code, &row("agent")["verdict"]),
            (1, &json!("failed")),
            "{}: it was stopped: {report}",
            build.target
        );
        for name in ["database", "engine", "container-restarts", "cloud"] {
            assert_eq!(row(name)["verdict"], "ok", "{}: {report}", build.target);
        }
        containers.iter().for_each(|container| engine.remove_container(&container.id));
    }
}

#[test]
fn a_cloud_with_a_certificate_of_the_fleets_own_is_polled_and_no_other() {
    let Some(_) = Engine::shared() else { return };
    for build in Build::all() {
        // The engine plays no part here: none is there, and the cloud is polled all the same.
        let mut device = Device::simulated().running(build.program());
        device.set("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        let cloud = Cloud::of(&device);
        cloud.want(&[]);
        let certificates = Certificates::new();
        let front = TlsFront::before(cloud.port(), &certificates);
        let config = |root: Option<String>| {
            let mut config = json!({
                "apiEndpoint": front.url(), "uuid": device.uuid, "deviceApiKey": device.key(), "deviceType": "generic-aarch64",
                "deviceId": 1, "applicationId": 1,
            });
            if let Some(root) = root {
                config["balenaRootCA"] = root.into();
            }
            config
        };
        let (trusting, without, other) =
            (config(Some(certificates.root())), config(None), config(Some(Certificates::new().root())));
        for distrusting in [without, other] {
            device.write_config(&distrusting);
            device.start();
            device.wait_status(&["certificate"]);
            assert_eq!(cloud.polls(), [], "{}: nothing is asked of a cloud that is not trusted", build.target);
            device.kill();
        }
        device.write_config(&trusting);
        device.start();
        wait_for("a poll over TLS", || check(cloud.polls().iter().any(|poll| poll.status == 200), device.status()));
        device.kill();
    }
}

#[test]
fn the_container_image_holds_the_binary_alone_and_the_engine_asks_it_how_it_is() {
    let Some(engine) = Engine::shared() else { return };
    let Some(build) = Build::all().into_iter().find(|build| build.machine == "AArch64") else { return };
    let context = tempfile::tempdir().unwrap();
    let recipe = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Dockerfile.aarch64")).unwrap();
    // The last stage as it stands; only where the binary comes from is replaced by what was built already.
    let last = &recipe[recipe.rfind("\nFROM ").unwrap()..];
    let source = "COPY --from=build /source/target/aarch64-unknown-linux-musl/device/holdfast ";
    assert!(last.contains(source), "{last}");
    std::fs::write(context.path().join("Dockerfile"), last.replace(source, "COPY holdfast ")).unwrap();
    std::fs::copy(&build.binary, context.path().join("holdfast")).unwrap();
    let tag = format!("holdfast-{}", crate::support::unique());
    docker(&engine, &["build", "-q", "-t", &tag, context.path().to_str().unwrap()]);
    let image = engine.call("GET", &format!("/images/{tag}/json"), &Value::Null).json();
    // BuildKit marks it as the stage says; the builder of old, used here, puts its own processor on every empty image.
    assert!(last.contains("FROM --platform=linux/arm64 scratch\n") && image["Os"] == "linux", "{last}\n{image}");
    assert_eq!(image["RootFS"]["Layers"].as_array().map(Vec::len), Some(1), "the binary and nothing else: {image}");
    assert_eq!(image["Config"]["Healthcheck"]["Test"], json!(["CMD", "/usr/bin/holdfast", "healthy"]));

    // The same on this processor: qemu goes in front of both commands, as the kernel would put it where it is set up to.
    let qemu = Command::new("sh").args(["-c", "command -v qemu-aarch64-static"]).output().unwrap().stdout;
    std::fs::copy(String::from_utf8(qemu).unwrap().trim(), context.path().join("qemu")).unwrap();
    let emulated = format!(
        "FROM {tag}\nCOPY qemu /qemu\nENTRYPOINT [\"/qemu\", \"/usr/bin/holdfast\"]\nCMD [\"run\"]\n\
         HEALTHCHECK --interval=2s --timeout=60s CMD [\"/qemu\", \"/usr/bin/holdfast\", \"healthy\"]\n"
    );
    std::fs::write(context.path().join("Dockerfile"), emulated).unwrap();
    let emulated = format!("{tag}-emulated");
    docker(&engine, &["build", "-q", "-t", &emulated, context.path().to_str().unwrap()]);
    let socket = format!("{}:/var/run/balena-engine.sock", engine.socket().display());
    docker(&engine, &["run", "-d", "--name", &emulated, "--network", "host", "-v", &socket, "-v", "/data", &emulated]);
    wait_for("the engine to find the agent healthy", || {
        let state = engine.call("GET", &format!("/containers/{emulated}/json"), &Value::Null).json()["State"].clone();
        check(state["Health"]["Status"] == "healthy", state)
    });
    docker(&engine, &["rm", "-f", "-v", &emulated]);
    docker(&engine, &["rmi", &emulated, &tag]);
}

/// The engine's own command line, with the builder that every engine has.
fn docker(engine: &Engine, arguments: &[&str]) {
    let mut command = Command::new("docker");
    command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display())).env("DOCKER_BUILDKIT", "0");
    let output = command.args(arguments).output().expect("docker is there");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
