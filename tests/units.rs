//! The units, under a systemd of the test's own: a Debian root with the overlay, booted in namespaces of its own.
// runs: beside the others
// needs: engine

use std::time::Duration;

use crate::support::{Booted, Machine, check, machine_install, wait_for};

const AGENT: &str = "holdfast.service";

/// A partition of its own for the data that needs no disk; the rest of the mount unit stays as it is.
const DATA: &str = r#"
mkdir -p "$MACHINE/etc/systemd/system/mnt-data.mount.d"
printf '[Mount]\nWhat=tmpfs\nType=tmpfs\nOptions=mode=755\n' >"$MACHINE/etc/systemd/system/mnt-data.mount.d/test.conf"
"#;

/// A device that knows who it is and is told nothing.
const CONFIG: &str = r#"
echo '{"uuid":"0123456789abcdef0123456789abcdef","deviceType":"generic-amd64"}' >"$MACHINE/mnt/boot/config.json"
"#;

/// A watchdog that a test can wait for, and the switch that makes the loop stuck.
const SHORT_WATCHDOG: &str = r#"
mkdir -p "$MACHINE/etc/systemd/system/holdfast.service.d"
printf '[Service]\nWatchdogSec=9\nRestartSec=1\nEnvironment=HOLDFAST_TEST_STUCK_LOOP=/stuck\n' \
  >"$MACHINE/etc/systemd/system/holdfast.service.d/test.conf"
"#;

fn boot(more: &str) -> Option<Booted> {
    let machine = Machine::debian()?;
    Some(machine.boot(&format!("{}\n{DATA}\n{CONFIG}\n{more}", machine_install())))
}

fn restarts(booted: &Booted) -> u32 {
    booted.property(AGENT, "NRestarts").parse().unwrap()
}

#[test]
fn systemd_finds_nothing_wrong_and_little_exposed() {
    let Some(machine) = Machine::debian() else { return };
    let units =
        "/usr/lib/systemd/system/{holdfast.service,data.mount,mnt-data.mount,holdfast-update.service,holdfast-update.timer}";
    let shown = machine.run(&format!(
        "{} >&2; chroot \"$MACHINE\" systemd-analyze verify --man=no --recursive-errors=yes {units}",
        machine_install()
    ));
    assert_eq!(shown, format!("{}\n", shown.trim_end().lines().next().unwrap_or_default()), "verify has nothing to say");
    assert!(shown.contains("overlay, units, agent in place"), "{shown}");
    let score = machine.run(&format!(
        "{} >/dev/null; chroot \"$MACHINE\" systemd-analyze security --offline=yes --no-pager --threshold=30 {AGENT}",
        machine_install()
    ));
    let last = score.lines().rev().find(|line| line.contains("Overall exposure")).expect("a score");
    println!("{last}");
}

#[test]
fn the_agent_is_ready_with_its_data_mounted_for_everybody() {
    let Some(booted) = boot("") else { return };
    booted.wait_property(AGENT, "ActiveState", |state| state == "active");
    assert_eq!(booted.property(AGENT, "Type"), "notify");
    assert_eq!(booted.property(AGENT, "WatchdogUSec"), "3min");
    // There is no engine here: that is said, and is no reason not to be ready.
    booted.wait_property(AGENT, "StatusText", |text| text.contains("engine does not answer; containers go on"));
    assert_eq!(booted.property("data.mount", "ActiveState"), "active");
    booted.run("[ /data/database.sqlite -ef /mnt/data/resin-data/database.sqlite ]");
    assert_eq!(booted.run("stat -c '%a %U' /mnt/data/resin-data").trim(), "700 root");
    assert_eq!(
        booted.run("stat -c '%a %U %G' /run/holdfast /run/holdfast/holdfast.sock"),
        "750 root holdfast\n660 root holdfast\n"
    );
    booted.run("holdfast healthy");
    // A member of the group may ask, nobody else.
    booted.run("useradd -G holdfast technician && useradd stranger");
    booted.run("su technician -c 'holdfast status'");
    assert_eq!(booted.try_run("su stranger -c 'holdfast status'").0, 3);

    // What the hardening is to allow, and what not, in the agent's own name space.
    let pid = booted.property(AGENT, "MainPID");
    let inside = |script: &str| booted.try_run(&format!("nsenter -t {pid} -m -- bash -euc '{script}'")).0;
    assert_eq!(inside("touch /data/x /mnt/boot/x /tmp/x && rm /data/x /mnt/boot/x /tmp/x"), 0, "what it works on");
    for path in ["/usr/x", "/etc/x", "/var/x", "/x", "/sys/x"] {
        assert_ne!(inside(&format!("touch {path}")), 0, "{path} is not to be written to");
    }
    booted.run("mkdir -p /tmp/balena-supervisor/services/1/main && touch /tmp/balena-supervisor/services/1/main/updates.lock");
    assert_eq!(inside("test -e /tmp/balena-supervisor/services/1/main/updates.lock"), 0, "applications' locks are seen");
    assert_eq!(booted.run(&format!("cat /proc/{pid}/status | sed -n 's/^CapBnd:.*\\(........\\)$/\\1/p'")).trim(), "0000000b");
    assert_eq!(booted.run("systemctl --failed --no-legend").trim(), "");

    // It ends when it is told to, cleanly; and never without its data.
    booted.run("systemctl stop holdfast.service");
    assert_eq!(booted.property(AGENT, "Result"), "success");
    booted.run("systemctl start holdfast.service && systemctl stop data.mount");
    booted.wait_property(AGENT, "ActiveState", |state| state == "inactive");
    booted.run("! mountpoint -q /data && grep -q 'systemctl status data.mount' /data/README");
}

#[test]
fn without_the_data_partition_nothing_starts() {
    let Some(booted) =
        boot("printf '[Mount]\\nType=ext4\\nWhat=/dev/null\\n' >\"$MACHINE/etc/systemd/system/mnt-data.mount.d/test.conf\"")
    else {
        return;
    };
    booted.wait_property("mnt-data.mount", "ActiveState", |state| state != "activating");
    assert_eq!(booted.property(AGENT, "ActiveState"), "inactive");
    booted.run("! mountpoint -q /data && ! test -e /data/database.sqlite");
}

#[test]
fn a_killed_agent_comes_back() {
    let Some(booted) = boot(SHORT_WATCHDOG) else { return };
    booted.wait_property(AGENT, "ActiveState", |state| state == "active");
    let first = booted.property(AGENT, "MainPID");
    booted.run("systemctl kill -s KILL holdfast.service");
    booted.wait_property(AGENT, "NRestarts", |count| count == "1");
    booted.wait_property(AGENT, "ActiveState", |state| state == "active");
    assert_ne!(booted.property(AGENT, "MainPID"), first);
}

#[test]
fn a_stuck_loop_is_noticed_and_an_absent_engine_is_not_mistaken_for_one() {
    let Some(booted) = boot(SHORT_WATCHDOG) else { return };
    booted.wait_property(AGENT, "StatusText", |text| text.contains("engine does not answer"));
    let fed = booted.property(AGENT, "WatchdogTimestampMonotonic");
    // Several limits long the engine is away, and the loop goes on.
    std::thread::sleep(Duration::from_secs(30));
    assert_eq!(restarts(&booted), 0, "{}", booted.journal());
    assert_ne!(booted.property(AGENT, "WatchdogTimestampMonotonic"), fed, "it was fed all the while");

    booted.run("touch /stuck");
    booted.wait_property(AGENT, "NRestarts", |count| count != "0");
    let journal = booted.journal();
    assert!(journal.contains("the loop is stuck on purpose") && journal.contains("Watchdog timeout"), "{journal}");
    booted.run("rm /stuck");
    wait_for("a restarted loop that goes on", || {
        let before = restarts(&booted);
        std::thread::sleep(Duration::from_secs(20));
        check(before == restarts(&booted) && booted.property(AGENT, "ActiveState") == "active", booted.journal())
    });
}

#[test]
fn a_version_from_a_home_that_ends_like_a_wrong_setting_is_gone_back_from() {
    let Some(booted) = boot(SHORT_WATCHDOG) else { return };
    booted.wait_property(AGENT, "ActiveState", |state| state == "active");
    booted.run(r#"printf '#!/bin/sh\ncase $1 in version) echo holdfast 9.9.9 ;; *) exit 2 ;; esac\n' >/root/given"#);
    let (code, said) = booted.try_run(&format!("holdfast self-update /root/given --sha256 {}", "0".repeat(64)));
    assert!(code == 1 && said.contains("its SHA-256 is"), "the agent has read it: {said}");
    // There is no engine here, so it begins while no agent runs.
    booted.run("systemctl stop holdfast.service && holdfast self-update /root/given --offline");
    booted.run("systemctl start --no-block holdfast.service");
    wait_for("the version before it", || {
        let shown = booted.try_run("holdfast self-update --show").1;
        check(shown.contains("it was started 3 times"), format!("{shown}\n{}", booted.journal()))
    });
    assert!(booted.journal().contains("status=2/INVALIDARGUMENT"), "{}", booted.journal());
}
