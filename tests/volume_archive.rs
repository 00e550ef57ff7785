//! Copies of application volumes on a real engine: whole, checked, under the services' locks, and never at the price of a
//! service that stays stopped.
// runs: beside the others
// needs: engine

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Container, Engine, PATIENCE, Release, Role, Service, Site, binary, check, ids, own_mib, request, wait_for};
use serde_json::{Value, json};

/// `db` mounts the volume, `job` too and is never started again by anybody once it has ended, `web` has nothing to do with it.
fn release(name: &str, image: &str) -> Release {
    let job = Service::new(image).mount("data:/data").field("restart", json!("no"));
    let release = Release::new(name).service("db", Service::new(image).mount("data:/data")).service("job", job);
    release.service("web", Service::new(image)).volume("data")
}

const ALL: [&str; 3] = ["db", "job", "web"];

/// Something of every kind, with owners and modes that have to survive.
const FILL: &str = "cd /data && echo precious > file && chown 1000:1001 file && chmod 640 file && mkdir -p deep/er && \
    echo below > deep/er/x && ln -s file link && ln file hard && touch 'with space' && chown 1000:1000 /data && chmod 0711 /data";

/// What of it can be seen from a container.
const LOOK: &str = "cd /data && ls -lanR . | grep -v '^total' && cat file hard deep/er/x";

fn shell(engine: &Engine, container: &str, script: &str) -> String {
    engine.exec_ok(container, &["sh", "-c", script])
}

/// What is in the volume, without the times of folders, which an engine does not keep.
fn content(engine: &Engine, container: &str) -> Vec<String> {
    let listed = shell(engine, container, LOOK);
    let without_time = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [mode, links, user, group, size, _, _, _, name @ ..] if mode.len() >= 10 => {
                let size = if mode.starts_with('d') { "-" } else { size };
                format!("{mode} {links} {user} {group} {size} {}", name.join(" "))
            }
            _ => line.to_owned(),
        }
    };
    // The folder above is the container's own.
    listed.lines().map(without_time).filter(|line| !line.ends_with(" ..")).collect()
}

fn settled(engine: &Engine) -> (Site<'_>, Release, Vec<Container>) {
    let release = release("first", &engine.image(Role::Sleeps, "1"));
    let (site, containers) = Site::settled(engine, &release);
    shell(engine, &containers[0].id, FILL);
    (site, release, containers)
}

fn archive(site: &Site<'_>, name: &str) -> PathBuf {
    site.device.path(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Containers that copies are made through.
fn copies(engine: &Engine, site: &Site<'_>) -> usize {
    let all = engine.call("GET", "/containers/json?all=1", &Value::Null).json();
    let volume = site.app.volume("data");
    all.as_array().unwrap().iter().filter(|container| container["Labels"]["io.holdfast.copy"] == volume.as_str()).count()
}

fn lock(site: &Site<'_>, service: &str) {
    std::fs::write(site.device.lock_dir(&site.app, service).join("updates.lock"), "").unwrap();
}

#[test]
fn what_is_copied_comes_back_as_it_was() {
    let Some(engine) = Engine::shared() else { return };
    let (site, first, before) = settled(&engine);
    let kept = content(&engine, &before[0].id);
    let file = archive(&site, "data.tar.gz");

    let made = site.device.command(&["volume", "backup", &site.app.volume("data"), text(&file)]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.stdout.contains("db, job") && made.stdout.contains("read back"), "{made:?}");
    let after = engine.wait_running(&site.app, &first.commit, &ALL);
    assert_eq!(ids(&after), ids(&before), "stopped and started, not replaced");
    assert_ne!(after[0].started_at(), before[0].started_at(), "db was stopped for it");
    assert_ne!(after[1].started_at(), before[1].started_at(), "and so was job, which nobody but the agent starts again");
    assert_eq!(after[2].started_at(), before[2].started_at(), "web was left alone");
    wait_for("the locks to be given back", || {
        let locks = site.device.get("/v3/locks").json()["locks"].clone();
        check(locks == json!([]), &locks)
    });

    // Any tar reads it, and the manifest says what it is.
    let listed = Command::new("tar").args(["-xOzf", text(&file), "holdfast-volume.json"]).output().unwrap();
    let manifest: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&manifest["volume"], &manifest["app"]), (&json!(site.app.volume("data")), &json!(site.app.name)));
    assert_eq!((&manifest["files"], &manifest["live"]), (&json!(3), &json!(false)), "{manifest}");
    assert_eq!(manifest["sha256"].as_str().unwrap().len(), 64);

    // Everything is replaced, nothing merged.
    shell(&engine, &after[0].id, "cd /data && rm -r deep file hard && echo new > other && chmod 777 /data && chown 0:0 /data");
    let restored = site.device.command(&["volume", "restore", "data", text(&file)]);
    assert_eq!(restored.code, 0, "{restored:?}");
    let anew = engine.wait_running(&site.app, &first.commit, &ALL);
    assert_eq!(content(&engine, &anew[0].id), kept, "owners, modes and links as they were");
    assert_eq!(anew[2].id, after[2].id, "web was left alone");
    let volume = engine.call("GET", &format!("/volumes/{}", site.app.volume("data")), &Value::Null).json();
    assert_eq!(volume["Labels"]["io.balena.app-uuid"], site.app.uuid.as_str(), "the volume carries its labels");
    assert_eq!(copies(&engine, &site), 0);
    site.wait_settled(&first);
}

#[test]
fn a_held_lock_refuses_unless_it_is_broken() {
    let Some(engine) = Engine::shared() else { return };
    let (site, first, before) = settled(&engine);
    let (file, volume) = (archive(&site, "data.tar.gz"), site.app.volume("data"));
    lock(&site, "db");
    let refused = site.device.command(&["volume", "backup", &volume, text(&file)]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("db") && refused.stderr.contains("lock"), "{refused:?}");
    assert!(!file.exists() && !archive(&site, "data.tar.gz.part").exists(), "nothing is left of it");
    let live = site.device.command(&["volume", "backup", &volume, text(&archive(&site, "live.tar.gz")), "--live"]);
    assert_eq!(live.code, 0, "{live:?}");
    let untouched = engine.wait_running(&site.app, &first.commit, &ALL);
    let times = |containers: &[Container]| containers.iter().map(|c| c.started_at().to_owned()).collect::<Vec<_>>();
    assert_eq!(times(&untouched), times(&before), "a live copy stops nobody");
    let restore = site.device.command(&["volume", "restore", &volume, text(&archive(&site, "live.tar.gz"))]);
    assert_eq!(restore.code, 4, "{restore:?}");

    let forced = site.device.command(&["volume", "backup", &volume, text(&file), "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    assert!(forced.stderr.contains("updates.lock of db was broken"), "{forced:?}");
    engine.wait_running(&site.app, &first.commit, &ALL);
}

#[test]
fn a_damaged_archive_touches_nothing() {
    let Some(engine) = Engine::shared() else { return };
    let (site, first, before) = settled(&engine);
    let (file, volume) = (archive(&site, "data.tar.gz"), site.app.volume("data"));
    assert_eq!(site.device.command(&["volume", "backup", &volume, text(&file), "--live"]).code, 0);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    std::fs::write(&file, &bytes).unwrap();
    let refused = site.device.command(&["volume", "restore", &volume, text(&file)]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("the volume is as it was"), "{refused:?}");
    std::fs::write(&file, &bytes[..middle]).unwrap();
    assert_eq!(site.device.command(&["volume", "restore", &volume, text(&file)]).code, 1);
    assert_eq!(ids(&engine.wait_running(&site.app, &first.commit, &ALL)), ids(&before));
    assert_eq!(site.device.command(&["volume", "backup", "nothing"]).code, 1);

    // And what is none at all, by a client that does not look first.
    let kept = content(&engine, &before[0].id);
    for body in [&b""[..], &bytes[..middle]] {
        let path = format!("/v3/volumes/{volume}/archive");
        let answer = request(&site.device.socket(), "PUT", &path, &[], body, PATIENCE * 3).unwrap();
        assert!(answer.status == 422 && answer.text().contains("is as it was"), "{}", answer.text());
    }
    let after = engine.wait_running(&site.app, &first.commit, &ALL);
    assert_eq!(content(&engine, &after[0].id), kept);
}

/// Begins a backup that takes its time and waits until the services stand still for it.
fn begin_slow_backup(site: &Site<'_>, engine: &Engine, file: &Path) -> Child {
    let mut command = Command::new(binary());
    command
        .args(["volume", "backup", &site.app.volume("data"), text(file)])
        .env("HOLDFAST_SOCKET", site.device.path("agent.sock"));
    let mut client = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the services to stand still and bytes to flow", || {
        let running: Vec<_> = engine.containers(&site.app).into_iter().filter(|c| c.running).map(|c| c.service).collect();
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let size = std::fs::metadata(part).map(|file| file.len()).unwrap_or_default();
        assert!(client.try_wait().unwrap().is_none(), "the backup was over too early");
        check(running == ["web"] && size > 0, format!("{running:?}, {size} bytes"))
    });
    // From here on it goes no further until it is continued.
    rustix::process::kill_process(rustix::process::Pid::from_child(&client), rustix::process::Signal::STOP).unwrap();
    client
}

#[test]
fn nobody_stays_stopped_whoever_is_killed() {
    let Some(engine) = Engine::shared() else { return };
    let (mut site, first, before) = settled(&engine);
    shell(&engine, &before[0].id, "cat /dev/urandom | head -c 80000000 > /data/large");
    let file = archive(&site, "data.tar.gz");

    // The client dies.
    let mut client = begin_slow_backup(&site, &engine, &file);
    assert!(site.device.get("/v3/status").text().contains("held-for-volume"), "the status says why");
    client.kill().unwrap();
    client.wait().unwrap();
    let after = engine.wait_running(&site.app, &first.commit, &ALL);
    assert_eq!(ids(&after), ids(&before));

    // The agent dies.
    let mut client = begin_slow_backup(&site, &engine, &file);
    site.device.kill();
    let memory = engine.containers(&site.app).into_iter().filter(|c| c.running).count();
    assert_eq!(memory, 1, "nobody is there to start them");
    site.device.start();
    let after = engine.wait_running(&site.app, &first.commit, &ALL);
    assert_eq!(ids(&after), ids(&before), "job too, which has no restart policy");
    let _ = client.kill();
    client.wait().unwrap();
    wait_for("what the copy left to be removed", || check(copies(&engine, &site) == 0, "a container is left"));

    // The agent is stopped in order.
    let mut client = begin_slow_backup(&site, &engine, &file);
    let (status, _) = site.device.stop();
    assert!(status.success());
    engine.wait_running(&site.app, &first.commit, &ALL);
    let _ = client.kill();
    client.wait().unwrap();
    site.device.start();
    assert!(!file.exists(), "no archive came of any of these");
    let last = site.wait_settled(&first);
    shell(&engine, &last[0].id, "rm /data/large");
}

#[test]
fn a_large_volume_passes_through_little_memory() {
    let Some(engine) = Engine::shared() else { return };
    let (site, first, before) = settled(&engine);
    shell(&engine, &before[0].id, "cat /dev/urandom | head -c 150000000 > /data/large");
    let idle = own_mib(site.device.pid());
    let (file, volume) = (archive(&site, "data.tar.gz"), site.app.volume("data"));
    let watch = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).env("HOLDFAST_SOCKET", site.device.path("agent.sock")).stdin(Stdio::null());
        let mut client = command.stdout(Stdio::null()).spawn().unwrap();
        let (mut agent, mut own) = (0.0_f64, 0.0_f64);
        let status = loop {
            if let Some(status) = client.try_wait().unwrap() {
                break status;
            }
            agent = agent.max(own_mib(site.device.pid()));
            if let Ok(rollup) = std::fs::read_to_string(format!("/proc/{}/status", client.id())) {
                let line = rollup.lines().find(|line| line.starts_with("VmHWM:"));
                let peak = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or_default();
                own = own.max(peak / 1024.0);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        };
        assert!(status.success(), "{arguments:?}: {status}");
        (agent, own)
    };
    let (out, client_out) = watch(&["volume", "backup", &volume, text(&file)]);
    engine.wait_running(&site.app, &first.commit, &ALL);
    let (back, client_back) = watch(&["volume", "restore", &volume, text(&file)]);
    eprintln!(
        "150 MB: agent {idle:.1} MiB idle, {out:.1} out, {back:.1} back; client {client_out:.1} out, {client_back:.1} back"
    );
    assert!(out < idle + 16.0 && back < idle + 16.0, "the agent grew from {idle} to {out} and {back} MiB");
    let anew = engine.wait_running(&site.app, &first.commit, &ALL);
    assert!(shell(&engine, &anew[0].id, "ls -l /data/large").contains(" 150000000 "));
    shell(&engine, &anew[0].id, "rm /data/large");
}

#[test]
fn the_list_says_who_uses_what_and_what_becomes_of_the_rest() {
    let Some(engine) = Engine::shared() else { return };
    let (site, _, _) = settled(&engine);
    let volume = site.app.volume("data");
    let list = site.device.command(&["volume", "list"]);
    assert!(list.code == 0 && list.stdout.contains(&volume) && list.stdout.contains("db, job"), "{list:?}");
    let row = |site: &Site<'_>| {
        let list: Value = serde_json::from_str(&site.device.command(&["volume", "list", "--json"]).stdout).unwrap();
        list["volumes"].as_array().unwrap().iter().find(|row| row["name"] == volume.as_str()).cloned().unwrap_or_default()
    };
    let used = row(&site);
    assert!(used["size_bytes"].as_u64().unwrap() > 0 && used["orphan"] == false, "{used}");
    assert_eq!(used["used_by"], json!([{ "service": "db", "running": true }, { "service": "job", "running": true }]));

    site.cloud.want(&[]);
    let left = wait_for("the volume to be an orphan with an end", || {
        let row = row(&site);
        if row["orphan"] == true && row["removed"]["in_ms"].is_u64() { Ok(row) } else { Err(row.to_string()) }
    });
    assert_eq!(left["used_by"], json!([]));
    let text_list = site.device.command(&["volume", "list"]).stdout;
    assert!(text_list.contains("its app left the target") && text_list.contains("nobody"), "{text_list}");

    // What nobody uses can be copied too, and filled again.
    let file = archive(&site, "orphan.tar.gz");
    assert_eq!(site.device.command(&["volume", "backup", &volume, text(&file)]).code, 0);
    let restored = site.device.command(&["volume", "restore", &volume, text(&file)]);
    assert_eq!(restored.code, 0, "{restored:?}");
}
