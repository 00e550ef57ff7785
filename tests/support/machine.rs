//! A machine of a test's own: a Debian root with the overlay laid over it, looked at from outside or booted by its own
//! systemd. The real one underneath is not touched.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{binary, check, wait_within};

/// A boot may take this long on a machine that has other things to do.
const BOOT_LIMIT: Duration = Duration::from_secs(180);

/// A Debian root that nobody writes to.
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The release this machine runs; `None` where `tests/run` could not prepare for it.
    pub fn debian() -> Option<Machine> {
        Machine::of("")
    }

    /// Another release of Debian.
    pub fn of(suite: &str) -> Option<Machine> {
        if std::env::var_os("HOLDFAST_TEST_ENGINE").is_none() {
            eprintln!("skipped: needs root and the packages that tests/run installs");
            return None;
        }
        let (code, root) = output(&mut harness(&format!("machine_root {suite}")));
        assert_eq!(code, 0, "debootstrap does not make a root: {root}");
        Some(Machine { root: root.lines().last().expect("the harness prints it").into() })
    }

    /// Runs a script (bash) over the root, `$MACHINE` in it; what it changes is gone afterwards.
    pub fn try_run(&self, script: &str) -> (i32, String) {
        let mut command = harness("machine_inside \"$@\"");
        command.arg(&self.root).args(["bash", "-euc", &format!("exec 2>&1\n{script}")]);
        output(&mut command)
    }

    /// The same, and it has to succeed.
    pub fn run(&self, script: &str) -> String {
        let (code, shown) = self.try_run(script);
        assert_eq!(code, 0, "{script}\n{shown}");
        shown
    }

    /// Boots the root after a script ran over it, and waits until that is done.
    pub fn boot(&self, script: &str) -> Booted {
        let log = tempfile::NamedTempFile::new().expect("a file for the console");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        let inner = harness("machine_boot \"$@\"");
        command.arg(inner.get_program()).args(inner.get_args());
        inner.get_envs().for_each(|(name, value)| {
            command.env(name, value.unwrap_or_default());
        });
        command.arg(&self.root).arg(script).stdin(Stdio::null());
        let out = || log.reopen().expect("a second handle of the console");
        let process = command.stdout(out()).stderr(out()).spawn().expect("bash is there");
        let mut booted = Booted { process, init: 0, log };
        booted.init = wait_within(BOOT_LIMIT, "the machine's systemd", || booted.find_init());
        wait_within(BOOT_LIMIT, "the machine to have booted", || {
            let (_, state) = booted.try_run("systemctl is-system-running");
            check(["running", "degraded"].contains(&state.trim()), format!("{state}\n{}", booted.console()))
        });
        booted
    }
}

/// What lays the overlay over `$MACHINE`, with the binary under test as the agent.
pub fn install() -> String {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../os-overlay/install");
    let binary = binary().into_string().expect("a plain path");
    format!("'{}' \"$MACHINE\" --binary '{binary}' --tool '{binary}'", tree.display())
}

/// A machine that runs. It is gone when dropped.
pub struct Booted {
    process: Child,
    init: u32,
    log: tempfile::NamedTempFile,
}

impl Booted {
    /// The process that is number 1 in there, once it is systemd.
    fn find_init(&mut self) -> Result<u32, String> {
        if let Ok(Some(status)) = self.process.try_wait() {
            panic!("the machine did not start ({status}): {}", self.console());
        }
        let pid = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let child: u32 = children.split_whitespace().next().and_then(|pid| pid.parse().ok()).ok_or("no child yet")?;
        let name = std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        check(name.trim() == "systemd", &name)?;
        Ok(child)
    }

    /// Runs a script (bash) in the machine.
    pub fn try_run(&self, script: &str) -> (i32, String) {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init.to_string(), "-m", "-p", "-i", "-u", "-n", "-C", "-r", "-w", "--"]);
        output(command.args(["bash", "-euc", &format!("exec 2>&1\n{script}")]))
    }

    /// The same, and it has to succeed.
    pub fn run(&self, script: &str) -> String {
        let (code, shown) = self.try_run(script);
        assert_eq!(code, 0, "{script}\n{shown}\n{}", self.journal());
        shown
    }

    /// A unit's property.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.run(&format!("systemctl show --value -p {name} {unit}")).trim().to_owned()
    }

    /// Waits for a unit's property.
    pub fn wait_property(&self, unit: &str, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        wait_within(BOOT_LIMIT, &format!("{name} of {unit}"), || {
            let value = self.property(unit, name);
            if wanted(&value) { Ok(value) } else { Err(format!("{value:?}\n{}", self.journal())) }
        })
    }

    /// What was logged about the agent.
    pub fn journal(&self) -> String {
        self.try_run("journalctl --no-pager -o cat -n 60 -u holdfast.service -u data.mount -u mnt-data.mount").1
    }

    fn console(&self) -> String {
        std::fs::read(self.log.path()).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // Its process number 1 ends with it, and with that one everything in the namespace.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A shell with the harness's functions.
fn harness(script: &str) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/harness/machine.sh");
    let roots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-roots");
    let mut command = Command::new("bash");
    command.args(["-euc", &format!(". '{}'; {script}", folder.display()), "machine"]).env("MACHINE_ROOTS", roots);
    command
}

fn output(command: &mut Command) -> (i32, String) {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    let mut shown = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        shown.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    (output.status.code().unwrap_or(-1), shown)
}
