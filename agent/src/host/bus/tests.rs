//! Against a bus of dbus-daemon's own, and against sockets that send nonsense.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

const BUS: &str = "org.freedesktop.DBus";

/// A private bus; `None` where the daemon is not installed.
struct Daemon {
    child: Child,
    _folder: tempfile::TempDir,
    address: String,
}

impl Daemon {
    fn start() -> Option<Daemon> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("bus socket");
        let address = format!("unix:path={}", socket.display()).replace(' ', "%20");
        let config = folder.path().join("bus.conf");
        let policy = "<policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/><allow user=\"*\"/></policy>";
        let text = format!("<busconfig><listen>{address}</listen><auth>EXTERNAL</auth>{policy}</busconfig>");
        std::fs::write(&config, text).unwrap();
        let mut daemon = Command::new("dbus-daemon");
        daemon.arg("--nofork").arg(format!("--config-file={}", config.display()));
        let child = daemon.stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let begin = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "dbus-daemon listens");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Daemon { child, _folder: folder, address })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask<'a>(interface: &'a str, member: &'a str, arguments: &'a [Argument<'a>]) -> Call<'a> {
    Call { destination: BUS, path: "/org/freedesktop/DBus", interface, member, arguments }
}

#[tokio::test]
async fn a_real_bus_answers() {
    let Some(daemon) = Daemon::start() else { return eprintln!("skipped: dbus-daemon is not installed") };
    let names = call(&daemon.address, ask(BUS, "ListNames", &[])).await.unwrap();
    assert!(names.iter().any(|name| name == BUS) && names.len() >= 2, "{names:?}");
    let owner = call(&daemon.address, ask(BUS, "GetNameOwner", &[Argument::Text(BUS)])).await.unwrap();
    assert_eq!(owner, [BUS]);
    let arguments = [Argument::Text(BUS), Argument::Text("Features")];
    let features = call(&daemon.address, ask("org.freedesktop.DBus.Properties", "Get", &arguments)).await.unwrap();
    assert!(features.iter().all(|feature| !feature.is_empty()), "a variant with a list: {features:?}");
}

#[tokio::test]
async fn a_real_bus_refuses_with_a_name_and_a_sentence() {
    let Some(daemon) = Daemon::start() else { return eprintln!("skipped: dbus-daemon is not installed") };
    let nobody = Call { destination: "org.example.Nobody", ..ask("org.example.Nobody", "Go", &[Argument::Switch(true)]) };
    match call(&daemon.address, nobody).await {
        Err(BusError::Refused { name, message, method }) => {
            assert_eq!(name, "org.freedesktop.DBus.Error.ServiceUnknown");
            assert!(message.contains("org.example.Nobody") && method == "org.example.Nobody.Go", "{message}");
        }
        other => panic!("{other:?}"),
    }
}

/// A listener that takes what is sent and answers with these bytes, then hangs up.
fn hostile(folder: &Path, answer: Vec<u8>) -> String {
    let socket = folder.join("bus");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    format!("unix:path={}", socket.display())
}

#[tokio::test(start_paused = true)]
async fn nonsense_neither_hangs_nor_grows_nor_breaks() {
    let head = |kind: u8, body: u32, fields: u32| {
        let mut head = vec![b'l', kind, 0, 1];
        for number in [body, 1, fields] {
            head.extend(number.to_le_bytes());
        }
        head
    };
    let ok = b"OK 0123\r\n".to_vec();
    let answers: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"REJECTED EXTERNAL\r\n".to_vec(),
        vec![b'x'; 4096],
        ok.clone(),
        [ok.clone(), vec![0; 64]].concat(),
        [ok.clone(), head(2, u32::MAX, u32::MAX)].concat(),
        [ok.clone(), head(2, 1 << 20, 0)].concat(),
        [ok.clone(), head(2, 0, 8), vec![5, 1, b'u', 0, 255, 255, 255, 255]].concat(),
        [ok.clone(), head(2, 8, 8), vec![8, 1, b'g', 0, 200, b'v', b'v', 0], vec![255; 8]].concat(),
        [ok, std::iter::repeat_n(head(4, 0, 0), 200).flatten().collect()].concat(),
    ];
    for answer in answers {
        let folder = tempfile::tempdir().unwrap();
        let address = hostile(folder.path(), answer.clone());
        let outcome = call(&address, ask(BUS, "ListNames", &[])).await;
        assert!(matches!(outcome, Err(BusError::Away { .. })), "{answer:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_bus_that_is_not_there_is_named() {
    let error = call("unix:path=/nowhere/bus", ask(BUS, "ListNames", &[])).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/bus"), "{error}");
    assert!(call("tcp:host=localhost", ask(BUS, "ListNames", &[])).await.unwrap_err().to_string().contains("unix:path="));
}
