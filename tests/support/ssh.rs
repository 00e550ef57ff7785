//! A device that is reached through SSH: a server of a test's own on loopback, with throw-away keys, in a mount namespace
//! where `/usr/bin/holdfast` is the binary under test and root's home is a folder of the test. The machine is not touched.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Device, binary, wait_for};

/// Which SSH server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshServer {
    OpenSsh,
    /// The small one that embedded images have.
    Dropbear,
}

/// A server that runs. It is gone when dropped.
pub struct SshDevice {
    process: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl SshDevice {
    /// Starts a server in front of a device's agent; `None` where `tests/run` could not prepare for it.
    pub fn start(server: SshServer, device: &Device) -> Option<SshDevice> {
        SshDevice::launch(server, Some(device))
    }

    /// One on a device that has no holdfast.
    pub fn bare(server: SshServer) -> Option<SshDevice> {
        SshDevice::launch(server, None)
    }

    fn launch(server: SshServer, device: Option<&Device>) -> Option<SshDevice> {
        if std::env::var_os("HOLDFAST_TEST_ENGINE").is_none() {
            eprintln!("skipped: needs root and the packages that tests/run installs");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("holdfast-ssh-").tempdir().expect("a temporary folder");
        let port = super::free_port();
        prepare(dir.path(), port, device);
        let log = std::fs::File::create(dir.path().join("log")).expect("a log file");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "unshare", "-m", "bash", "-euc", NAMESPACE, "ssh-server"]);
        let errors = log.try_clone().expect("a second handle of the log");
        command.arg(dir.path()).args(arguments(server, dir.path(), port)).stdin(Stdio::null()).stdout(log).stderr(errors);
        let process = command.spawn().expect("setpriv is there");
        let mut started = SshDevice { process, port, dir };
        wait_for("the SSH server to listen", || {
            if let Ok(Some(status)) = started.process.try_wait() {
                panic!("the SSH server ended ({status}): {}", started.log());
            }
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|e| format!("{e}: {}", started.log()))
        });
        Some(started)
    }

    /// What a person writes behind `--host`.
    pub fn host(&self) -> String {
        format!("ssh://root@127.0.0.1:{}", self.port)
    }

    /// Makes a machine's commands use this server's key, and count what they start.
    pub fn introduce_to(&self, laptop: &mut Device) {
        laptop.set("HOLDFAST_SSH", self.path("ssh").to_str().expect("a plain path"));
    }

    /// How often ssh was started so far.
    pub fn calls(&self) -> usize {
        std::fs::read_to_string(self.path("calls")).map_or(0, |calls| calls.lines().count())
    }

    /// Nobody may log in any more.
    pub fn refuse_keys(&self) {
        std::fs::write(self.path("home/.ssh/authorized_keys"), "").expect("it can be written");
    }

    /// A path in the server's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read(self.path("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }
}

impl Drop for SshDevice {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the SSH server said\n{}", self.log());
        }
    }
}

/// The namespace: another home for root, and one more program in /usr/bin. `$1` is the test's folder, the rest the server.
const NAMESPACE: &str = r#"
    dir=$1; shift
    mount --bind "$dir/passwd" /etc/passwd
    mount --bind "$dir/shadow" /etc/shadow
    mount -t overlay overlay -o "lowerdir=$dir/bin:/usr/bin" /usr/bin
    mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd
    exec "$@"
"#;

fn arguments(server: SshServer, dir: &Path, port: u16) -> Vec<String> {
    let path = |name: &str| dir.join(name).display().to_string();
    match server {
        SshServer::OpenSsh => ["/usr/sbin/sshd", "-D", "-e", "-f", &path("sshd_config")].map(str::to_owned).to_vec(),
        SshServer::Dropbear => {
            let listen = format!("127.0.0.1:{port}");
            ["/usr/sbin/dropbear", "-F", "-E", "-s", "-r", &path("dropbear_key"), "-p", &listen, "-P", &path("pid")]
                .map(str::to_owned)
                .to_vec()
        }
    }
}

/// Keys, accounts and configurations of both servers and of the client.
fn prepare(dir: &Path, port: u16, device: Option<&Device>) {
    let path = |name: &str| dir.join(name).display().to_string();
    let write = |name: &str, text: &str, mode: u32| {
        std::fs::write(dir.join(name), text).expect("it can be written");
        std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    for folder in ["bin", "home", "home/.ssh"] {
        std::fs::create_dir(dir.join(folder)).expect("a folder");
        std::fs::set_permissions(dir.join(folder), std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    }
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path("key")]);
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path("host_key")]);
    run("ssh-keygen", &["-q", "-t", "ecdsa", "-m", "PEM", "-N", "", "-f", &path("ecdsa_key")]);
    run("/usr/lib/dropbear/dropbearconvert", &["openssh", "dropbear", &path("ecdsa_key"), &path("dropbear_key")]);
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("it was made");
    write("home/.ssh/authorized_keys", &read("key.pub"), 0o600);
    let known = [read("host_key.pub"), read("ecdsa_key.pub")].map(|key| format!("[127.0.0.1]:{port} {key}"));
    write("known_hosts", &known.concat(), 0o600);
    write("passwd", &format!("root:x:0:0:root:{}:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n", path("home")), 0o644);
    write("shadow", "root:*:19000:0:99999:7:::\n", 0o600);
    let server = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nPidFile {}\nUsePAM no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nAllowTcpForwarding no\nAllowStreamLocalForwarding no\n",
        path("host_key"),
        path("pid"),
    );
    write("sshd_config", &server, 0o600);
    let client = format!(
        "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n\
         BatchMode yes\n",
        path("key"),
        path("known_hosts"),
    );
    write("ssh_config", &client, 0o600);
    write("ssh", &format!("#!/bin/sh\necho \"$*\" >>{}\nexec ssh -F {} \"$@\"\n", path("calls"), path("ssh_config")), 0o755);
    if let Some(device) = device {
        // A device whose image puts the socket elsewhere says so in its environment.
        let (program, socket) = (binary().into_string().expect("a plain path"), device.socket());
        let script = format!("#!/bin/sh\nexport HOLDFAST_SOCKET='{}'\nexec '{program}' \"$@\"\n", socket.display());
        write("bin/holdfast", &script, 0o755);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("it is installed");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
