//! The command line of one machine and the agent of another, with a real SSH server between them.
// needs: engine

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::support::{
    Answer, App, Cloud, Device, Engine, Release, Role, Service, Site, SshDevice, SshServer, check, free_port, wait_for,
};
use serde_json::Value;

/// A device that runs a release, a server in front of it, and a machine without an agent.
struct Far {
    device: Device,
    server: SshDevice,
    laptop: Device,
    app: App,
    cloud: Cloud,
}

impl Far {
    fn behind(server: SshServer) -> Option<Far> {
        let mut device = Device::simulated();
        let server = SshDevice::start(server, &device)?;
        let (cloud, app) = (Cloud::of(&device), App::new());
        let release = release("one");
        cloud.want(&[(&app, &release)]);
        device.join(&cloud);
        cloud.wait_settled(&app, &release);
        let mut laptop = Device::simulated();
        server.introduce_to(&mut laptop);
        Some(Far { device, server, laptop, app, cloud })
    }

    /// Runs a command on the laptop.
    fn ask(&self, arguments: &[&str]) -> Answer {
        let host = self.server.host();
        self.laptop.command(&[arguments, &["--host", &host]].concat())
    }
}

fn release(name: &str) -> Release {
    Release::new(name).service("main", Service::new(&format!("registry.example.com/a@sha256:{:064x}", name.len())))
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.stdout).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
}

#[test]
fn every_question_takes_one_ssh() {
    let Some(far) = Far::behind(SshServer::OpenSsh) else { return };
    for (arguments, words) in [
        (&["status"][..], &[far.app.name.as_str(), "main", "running"][..]),
        (&["plan"], &["Nothing to do"]),
        (&["target", "show"], &["registry.example.com/a"]),
        (&["target", "history"], &[&far.app.name]),
        (&["lock", "list"], &["No update lock"]),
        (&["service", "list"], &["main"]),
        (&["stats"], &["Host"]),
        (&["key", "list"], &["global"]),
        (&["self-update", "--show"], &["version"]),
        (&["update"], &["looks for a new target"]),
        (&["healthy"], &["healthy"]),
        (&["db", "check"], &[]),
        (&["db", "list"], &[]),
    ] {
        let before = far.server.calls();
        let answer = far.ask(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
        words.iter().for_each(|word| assert!(answer.stdout.contains(word), "{arguments:?}: {answer:?}"));
        assert_eq!(far.server.calls() - before, 1, "{arguments:?}");
    }
    assert_eq!(json_of(&far.ask(&["status", "--json"]))["device"]["uuid"], far.device.uuid.as_str());
}

#[test]
fn a_device_is_diagnosed_by_its_own_agent() {
    let Some(far) = Far::behind(SshServer::OpenSsh) else { return };
    let before = far.server.calls();
    let (text, answer) = (far.ask(&["diagnose"]), far.ask(&["diagnose", "--json"]));
    assert_eq!(far.server.calls() - before, 2);
    let report = json_of(&answer);
    // Whether this machine has room and a good clock is not the question.
    let code = i32::from(report["verdict"] == "failed");
    assert_eq!((text.code, answer.code), (code, code), "{text:?} {answer:?}");
    let agent = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "agent").unwrap();
    assert_eq!(agent["verdict"], "ok", "the laptop has none: {agent}");
    assert!(text.stdout.contains(&format!("agent: {}", agent["sentence"].as_str().unwrap())[..20]), "{text:?}");
    assert!(text.stdout.contains(" failed, ") && text.stdout.contains(" ok, "), "{text:?}");
}

#[test]
fn nothing_is_done_here_instead() {
    let Some(mut far) = Far::behind(SshServer::OpenSsh) else { return };
    far.device.kill();
    let data = far.laptop.path("data");
    std::fs::create_dir(&data).unwrap();
    let target = far.laptop.path("target.json");
    std::fs::write(&target, "{}").unwrap();
    for arguments in [
        &["logs"][..],
        &["logs", "--follow"],
        &["self-update", "http://127.0.0.1:1/holdfast"],
        &["self-update", "--check"],
        &["self-update", "--show"],
        &["diagnose"],
        &["key", "list"],
        &["key", "rotate"],
        &["stats"],
        &["service", "list"],
        &["service", "restart", "main"],
        &["app", "purge"],
        &["target", "set", target.to_str().unwrap()],
        &["target", "history"],
    ] {
        let answer = far.ask(arguments);
        assert!(answer.code == 3 && answer.stdout.is_empty(), "{arguments:?}: {answer:?}");
        assert!(answer.stderr.contains("its agent was not"), "{arguments:?}: {answer:?}");
        assert!(!answer.stderr.contains("engine itself"), "{arguments:?}: {answer:?}");
    }
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "nothing was put there");
}

#[test]
fn a_small_server_does_as_well() {
    let Some(far) = Far::behind(SshServer::Dropbear) else { return };
    let status = far.ask(&["status", "--json"]);
    assert_eq!(json_of(&status)["device"]["uuid"], far.device.uuid.as_str(), "{status:?}");
    // A target of some size goes the other way.
    let target = far.ask(&["target", "show"]);
    let file = far.laptop.path("target.json");
    std::fs::write(&file, &target.stdout).unwrap();
    assert_eq!(far.ask(&["plan", file.to_str().unwrap()]).code, 0, "{target:?}");
}

#[test]
fn watching_keeps_its_connection_and_leaves_nothing_behind() {
    let Some(far) = Far::behind(SshServer::OpenSsh) else { return };
    let (host, socket) = (far.server.host(), far.device.path("agent.sock").display().to_string());
    let before = far.server.calls();
    let mut watch = far.laptop.prepared(&["status", "--watch", "--json", "--host", &host, "--socket", &socket]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watch.stdout.take().unwrap()));
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["device"]["uuid"], far.device.uuid.as_str());
    wait_for("the device's end", || check(dialled(&socket) > 0, "nobody dials"));
    // A change shows over the same connection.
    let release = release("two");
    far.cloud.want(&[(&far.app, &release)]);
    let shows = |line: std::io::Result<String>| line.unwrap().contains(&release.commit);
    assert!(lines.any(shows));
    assert_eq!(far.server.calls() - before, 1);
    watch.kill().unwrap();
    watch.wait().unwrap();
    wait_for("the device's end to be gone", || check(dialled(&socket) == 0, "it is there"));
}

/// How many processes carry a conversation to this socket.
fn dialled(socket: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains("dial-stdio") && line.contains(socket))
        .count()
}

#[test]
fn one_that_is_away_does_not_hold_up_the_others() {
    let Some(far) = Far::behind(SshServer::OpenSsh) else { return };
    let (alive, dead) = (far.server.host(), format!("ssh://root@127.0.0.1:{}", free_port()));
    let both = ["status", "--host", &dead, "--host", &alive];
    let table = far.laptop.command(&both);
    assert_eq!(table.code, 3, "the worst of them: {table:?}");
    let line =
        |host: &str| table.stdout.lines().find(|line| line.contains(host.trim_start_matches("ssh://"))).unwrap().to_owned();
    assert!(line(&alive).contains("settled") && line(&alive).contains(&far.app.name), "{table:?}");
    assert!(line(&dead).contains("no answer") && table.stderr.contains("refused"), "{table:?}");
    let all = json_of(&far.laptop.command(&[&both[..], &["--json"]].concat()));
    assert_eq!((&all[0]["host"], &all[1]["host"]), (&dead.into(), &alive.into()), "in the order they were named");
    assert!(all[0]["error"].is_string(), "{all}");
    assert_eq!(all[1]["status"]["device"]["uuid"], far.device.uuid.as_str());
}

#[test]
fn who_is_away_is_said() {
    let Some(mut far) = Far::behind(SshServer::OpenSsh) else { return };
    let said = |answer: &Answer, words: &[&str]| {
        assert_eq!(answer.code, 3, "{answer:?}");
        words.iter().for_each(|word| assert!(answer.stderr.contains(word), "{word}: {answer:?}"));
    };
    far.device.kill();
    // Two sentences: the device's own about its socket, and this machine's.
    said(&far.ask(&["status"]), &["agent.sock", "its agent was not", &far.server.host()]);
    said(&far.ask(&["target", "history"]), &["its agent was not"]);
    said(&far.ask(&["db", "check"]), &["its agent was not", "on the device itself"]);
    let bare = SshDevice::bare(SshServer::OpenSsh).unwrap();
    bare.introduce_to(&mut far.laptop);
    said(&far.laptop.command(&["status", "--host", &bare.host()]), &["not found", "there is no holdfast"]);
    far.server.introduce_to(&mut far.laptop);
    far.server.refuse_keys();
    said(&far.ask(&["status"]), &["Permission denied", "log in"]);
    let nobody = format!("ssh://127.0.0.1:{}", free_port());
    said(&far.laptop.command(&["status", "--host", &nobody]), &["refused", "could not reach"]);
    far.laptop.set("HOLDFAST_SSH", "/no/such/ssh");
    said(&far.ask(&["status"]), &["/no/such/ssh", "HOLDFAST_SSH"]);
}

#[test]
fn a_host_is_never_an_option_of_ssh() {
    let laptop = Device::simulated();
    let file = laptop.path("taken");
    let option = format!("-oProxyCommand=touch {}", file.display());
    for host in [option.clone(), format!("ssh://{option}"), format!("ssh://root@{option}"), format!("ssh://{option}@localhost")] {
        let answer = laptop.command(&["status", "--host", &host]);
        assert_eq!(answer.code, 2, "{host}: {answer:?}");
        let attached = laptop.command(&["status", &format!("--host={host}")]);
        assert_eq!(attached.code, 2, "{host}: {attached:?}");
    }
    assert!(!file.exists());
}

#[test]
fn work_on_files_of_this_machine_is_refused() {
    let laptop = Device::simulated();
    for arguments in [
        &["db", "migrate", "--to", "1"][..],
        &["db", "check", "--data-dir", "/tmp"],
        &["db", "import", "x"],
        &["data", "move", "a", "b"],
        &["self-update", "/no/such/file"],
        &["self-update", "http://127.0.0.1:1/x", "--data-dir", "/tmp"],
        &["diagnose", "--bundle", "x.tar.gz"],
        &["diagnose", "--fix", "stale-locks"],
        &["diagnose", "--data-dir", "/tmp"],
    ] {
        let answer = laptop.command(&[arguments, &["--host", "ssh://127.0.0.1"]].concat());
        assert_eq!(answer.code, 2, "{arguments:?}: {answer:?}");
    }
}

#[test]
fn volumes_come_and_go_through_it() {
    let Some(engine) = Engine::shared() else { return };
    let release =
        Release::new("first").service("db", Service::new(&engine.image(Role::Sleeps, "1")).mount("data:/data")).volume("data");
    let (site, containers) = Site::settled(&engine, &release);
    let server = SshDevice::start(SshServer::Dropbear, &site.device).unwrap();
    let mut laptop = Device::simulated();
    server.introduce_to(&mut laptop);
    let (host, file) = (server.host(), laptop.path("data.tar.gz").display().to_string());
    engine.exec_ok(
        &containers[0].id,
        &["sh", "-c", "dd if=/dev/urandom of=/data/noise bs=1M count=20 2>/dev/null; echo kept > /data/file"],
    );
    let sum = || {
        engine.exec_ok(
            &site.engine.wait_running(&site.app, &release.commit, &["db"])[0].id,
            &["/bin/busybox", "sha256sum", "/data/noise"],
        )
    };
    let before = sum();

    let lock = site.device.lock_dir(&site.app, "db").join("updates.lock");
    std::fs::write(&lock, "").unwrap();
    let held = laptop.command(&["volume", "backup", "data", &file, "--host", &host]);
    assert_eq!(held.code, 4, "{held:?}");
    std::fs::remove_file(&lock).unwrap();

    let made = laptop.command(&["volume", "backup", "data", &file, "--host", &host]);
    assert!(made.code == 0 && Path::new(&file).exists(), "{made:?}");
    let running = engine.wait_running(&site.app, &release.commit, &["db"]);
    engine.exec_ok(&running[0].id, &["sh", "-c", "rm /data/noise; echo lost > /data/file"]);
    let restored = laptop.command(&["volume", "restore", "data", &file, "--host", &host]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(sum(), before, "20 MB came back as they went");
}

#[test]
fn the_devices_end_passes_on_what_it_is_given() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    device.join(&cloud);
    let mut dial = device.prepared(&["dial-stdio"]);
    let mut dial = dial.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = dial.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut begin = [0; 15];
    dial.stdout.as_mut().unwrap().read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    // Without a word from either side it stays; the end of its input is the end of the conversation.
    assert!(dial.try_wait().unwrap().is_none());
    drop(input);
    let status = wait_for("it to end", || dial.try_wait().unwrap().ok_or_else(|| "it runs".to_owned()));
    assert!(status.success());
    let away = Device::simulated().command(&["dial-stdio"]);
    assert!(away.code == 3 && away.stderr.contains("agent.sock"), "{away:?}");
}
