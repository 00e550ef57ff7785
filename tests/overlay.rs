//! The overlay, laid into a Debian root by its script and looked at there with systemd's own tools.
// needs: engine

use crate::support::{Machine, long_run, machine_install};

const UNITS: [&str; 4] = ["holdfast.service", "data.mount", "mnt-data.mount", "holdfast-update.timer"];

/// A script over the root after the overlay was laid into it.
fn installed(machine: &Machine, script: &str) -> String {
    machine.run(&format!("{} >/dev/null\n{script}", machine_install()))
}

#[test]
fn units_are_enabled_and_stay_so_when_presets_are_applied() {
    let Some(machine) = Machine::debian() else { return };
    for unit in UNITS {
        let states = installed(
            &machine,
            &format!(
                "chroot \"$MACHINE\" systemctl --root=/ is-enabled {unit}
                 chroot \"$MACHINE\" systemctl --root=/ --quiet preset-all 2>/dev/null
                 chroot \"$MACHINE\" systemctl --root=/ is-enabled {unit}"
            ),
        );
        assert_eq!(states, "enabled\nenabled\n", "{unit}");
    }
    // Links that point nowhere would be enabled as well.
    installed(
        &machine,
        "for link in $(cd \"$MACHINE\" && find etc/systemd -lname '*holdfast*' -o -lname '*data.mount'); do test -e \"$MACHINE/$(readlink \"$MACHINE/$link\")\"; done",
    );
}

#[test]
fn systemd_tools_read_every_file_of_it() {
    let Some(machine) = Machine::debian() else { return };
    let units: Vec<String> = UNITS.iter().map(|unit| format!("/usr/lib/systemd/system/{unit}")).collect();
    let said = installed(
        &machine,
        &format!(
            "within() {{ chroot \"$MACHINE\" \"$@\"; }}
             within systemd-analyze verify --man=no --recursive-errors=yes {}
             within systemd-sysusers
             mkdir -p \"$MACHINE/mnt/data\"
             within systemd-tmpfiles --create /usr/lib/tmpfiles.d/holdfast.conf",
            units.join(" ")
        ),
    );
    // sysusers names whom it makes, and in a fresh root that is every user there is.
    let complaints: Vec<&str> = said.lines().filter(|line| !line.starts_with("Creating ")).collect();
    assert_eq!(complaints, [""; 0]);
    let made = installed(
        &machine,
        "chroot \"$MACHINE\" systemd-sysusers 2>/dev/null
         chroot \"$MACHINE\" systemd-tmpfiles --create /usr/lib/tmpfiles.d/holdfast.conf
         chroot \"$MACHINE\" stat -c '%n %a %U %G' /run/holdfast /tmp/balena-supervisor/services /mnt/data/resin-data
         chroot \"$MACHINE\" chmod 755 /mnt/data/resin-data
         chroot \"$MACHINE\" systemd-tmpfiles --create /usr/lib/tmpfiles.d/holdfast.conf
         chroot \"$MACHINE\" stat -c '%a' /mnt/data/resin-data
         chroot \"$MACHINE\" systemd-analyze cat-config systemd/journald.conf | grep -c '^SystemMaxUse=32M'",
    );
    assert_eq!(
        made,
        "/run/holdfast 750 root holdfast\n/tmp/balena-supervisor/services 755 root root\n/mnt/data/resin-data 700 root root\n755\n1\n"
    );
}

#[test]
fn the_data_partition_gets_its_name_from_either_label() {
    let Some(machine) = Machine::debian() else { return };
    for (label, named) in [("resin-data", true), ("balena-data", true), ("something", false)] {
        let said = installed(
            &machine,
            &format!(
                "mount -t tmpfs tmpfs \"$MACHINE/mnt\"
                 truncate -s 8M \"$MACHINE/mnt/disk\" && mkfs.ext4 -q -L {label} \"$MACHINE/mnt/disk\"
                 loop=$(losetup --find --show \"$MACHINE/mnt/disk\")
                 trap 'losetup -d \"$loop\"' EXIT
                 mknod \"$MACHINE$loop\" b $(stat -c '0x%t 0x%T' \"$loop\")
                 chroot \"$MACHINE\" udevadm test --action=add \"/sys/block/${{loop##*/}}\""
            ),
        );
        assert!(said.contains(&format!("ID_FS_LABEL={label}")), "{said}");
        assert_eq!(said.contains("disk/by-holdfast/data"), named, "{label}: {said}");
        assert_eq!(said.contains("SYSTEMD_WANTS=mnt-data.mount data.mount holdfast.service"), named, "{label}: {said}");
    }
}

#[test]
fn words_are_there_for_shells_and_readers() {
    let Some(machine) = Machine::debian() else { return };
    let page = installed(
        &machine,
        "bash -n \"$MACHINE/usr/share/bash-completion/completions/holdfast\"
         grep -q '^#compdef holdfast' \"$MACHINE/usr/share/zsh/vendor-completions/_holdfast\"
         grep -q 'complete -c holdfast' \"$MACHINE/usr/share/fish/vendor_completions.d/holdfast.fish\"
         # What a person gets offered after `holdfast lock `.
         bash -c '. \"$1\"; COMP_WORDS=(holdfast lock \"\"); COMP_CWORD=2; _holdfast holdfast \"\" lock; echo \"${COMPREPLY[*]}\"' \
           bash \"$MACHINE/usr/share/bash-completion/completions/holdfast\"
         cat \"$MACHINE/usr/share/man/man1/holdfast.1\"",
    );
    assert!(page.lines().next().unwrap().contains("list"), "{page}");
    assert!(page.contains(".SH NAME\nholdfast \\- ") && page.contains(".SS \"holdfast run\""), "{page}");
}

#[test]
fn it_can_be_repeated_and_leaves_what_is_the_makers() {
    let Some(machine) = Machine::debian() else { return };
    let install = machine_install();
    let shown = machine.run(&format!(
        "list() {{ cd \"$MACHINE\" && find etc usr data mnt -newer /tmp/.holdfast-mark ! -type d | sort; cd - >/dev/null; }}
         umask 077
         {install} >/dev/null
         stat -c '%a' \"$MACHINE/usr/bin/holdfast\" \"$MACHINE/usr/lib/systemd/system/holdfast.service\" \"$MACHINE/etc/holdfast\"
         echo RUST_LOG=debug >\"$MACHINE/etc/holdfast/agent.env\"
         mkdir -p \"$MACHINE/etc/systemd/system/holdfast.service.d\"
         printf '[Service]\\nRestartSec=3\\n' >\"$MACHINE/etc/systemd/system/holdfast.service.d/own.conf\"
         {install} >/dev/null
         cat \"$MACHINE/etc/holdfast/agent.env\" \"$MACHINE/etc/systemd/system/holdfast.service.d/own.conf\""
    ));
    assert_eq!(shown, "755\n644\n755\nRUST_LOG=debug\n[Service]\nRestartSec=3\n");
    let (code, said) = machine.try_run(&install.replace("\"$MACHINE\"", "/proc"));
    assert!(code == 1 && said.contains("/proc is no root folder"), "{code} {said}");
    assert_eq!(machine.try_run(&install.replace("\"$MACHINE\"", "")).0, 2);
}

#[test]
fn keys_that_only_a_newer_systemd_knows_go_only_there() {
    let Some(machine) = Machine::debian() else { return };
    let backoff = "/usr/lib/systemd/system/holdfast.service.d/backoff.conf";
    installed(&machine, &format!("test ! -e \"$MACHINE{backoff}\""));
    let newer = format!(
        "rm \"$MACHINE\"/usr/lib/*/systemd/libsystemd-shared-*.so; touch \"$MACHINE/usr/lib/systemd/libsystemd-shared-257.so\"
         {}; test -e \"$MACHINE{backoff}\"",
        machine_install()
    );
    machine.run(&newer);
    if long_run() {
        let Some(machine) = Machine::of("trixie") else { return };
        let said = machine.run(&format!(
            "{} >/dev/null; test -e \"$MACHINE{backoff}\"
             chroot \"$MACHINE\" systemd-analyze verify --man=no --recursive-errors=yes /usr/lib/systemd/system/holdfast.service
             chroot \"$MACHINE\" udevadm verify /usr/lib/udev/rules.d/60-holdfast.rules",
            machine_install()
        ));
        assert!(!said.contains("Unknown") && !said.contains("holdfast.rules:"), "{said}");
    }
}
