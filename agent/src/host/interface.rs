//! Network interfaces: which of them are the device's own, and their MAC addresses (protocol §14).

use std::collections::BTreeSet;
use std::path::Path;

use super::file::first_line;

/// Where the kernel shows interfaces, below the machine's root. Each is a link to its device elsewhere in `/sys`.
const SYS_CLASS_NET: &str = "sys/class/net";

/// How many interfaces are looked at.
const MAX_INTERFACES: usize = 1024;

/// The most the cloud accepts (protocol §6.2).
const MAX_MACS_BYTES: usize = 900;

/// `ARPHRD_ETHER`, as `/sys/class/net/<name>/type` has it.
const ETHERNET: &str = "1";

/// Interfaces that lead to containers, to the VPN or nowhere. Their addresses say nothing of the device.
pub(super) fn is_internal(name: &str) -> bool {
    const NAMES: [&str; 6] = ["resin-vpn", "lo", "resin-dns", "supervisor0", "balena-redsocks", "resin-redsocks"];
    const NUMBERED: [&str; 4] = ["balena", "docker", "rce", "tun"];
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    let bridge = |rest: &str| rest.len() == 12 && rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    NAMES.contains(&name)
        || NUMBERED.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(digits))
        || name.strip_prefix("br-").is_some_and(bridge)
}

/// Whether an interface carries traffic. One without a link keeps its addresses, but nobody reaches them.
pub(super) fn is_running(machine: &Path, name: &str) -> bool {
    let state = first_line(machine, &format!("{SYS_CLASS_NET}/{name}/operstate"));
    state.is_none_or(|state| state == "up" || state == "unknown")
}

/// MAC addresses to report: of Ethernet-like interfaces that are no port of a bridge or bond; upper case, each once, by name of
/// interface, as many as the cloud accepts.
pub(super) fn mac_addresses(machine: &Path) -> String {
    let entries =
        std::fs::read_dir(machine.join(SYS_CLASS_NET)).into_iter().flatten().take(MAX_INTERFACES).filter_map(Result::ok);
    let names: BTreeSet<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let macs = names.iter().filter(|name| !is_internal(name)).filter_map(|name| mac_address(machine, name));
    joined(macs, MAX_MACS_BYTES)
}

fn mac_address(machine: &Path, name: &str) -> Option<String> {
    let field = |field: &str| first_line(machine, &format!("{SYS_CLASS_NET}/{name}/{field}"));
    let has_master = machine.join(SYS_CLASS_NET).join(name).join("master").symlink_metadata().is_ok();
    let is_ethernet = field("type").as_deref() == Some(ETHERNET);
    let mac = field("address")?.to_uppercase();
    (is_ethernet && !has_master && mac != "00:00:00:00:00:00").then_some(mac)
}

/// Words with spaces between them, each once, in order, up to a length.
pub(super) fn joined(words: impl IntoIterator<Item = String>, max_bytes: usize) -> String {
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for word in words {
        if seen.contains(&word) {
            continue;
        }
        let gap = usize::from(!text.is_empty());
        if text.len() + gap + word.len() > max_bytes {
            break;
        }
        if gap == 1 {
            text.push(' ');
        }
        text.push_str(&word);
        seen.insert(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{is_internal, is_running, joined, mac_addresses};
    use std::fs;
    use std::path::Path;

    #[test]
    fn interfaces_of_containers_and_vpn_are_internal() {
        for name in ["lo", "docker0", "balena0", "rce12", "tun0", "resin-vpn", "resin-dns", "supervisor0", "br-0123456789ab"] {
            assert!(is_internal(name), "{name}");
        }
        for name in
            ["eth0", "wlan0", "docker", "docker0a", "tunnel", "tun", "br-lan", "br-0123456789AB", "br-0123456789abc", "loop"]
        {
            assert!(!is_internal(name), "{name}");
        }
    }

    /// An interface as the kernel shows it: a link out of the folder it is listed in.
    fn interface(machine: &Path, name: &str, kind: &str, mac: &str, state: &str) -> std::path::PathBuf {
        let folder = machine.join("sys/devices/virtual/net").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(machine.join("sys/class/net")).unwrap();
        let link = Path::new("../../devices/virtual/net").join(name);
        std::os::unix::fs::symlink(link, machine.join("sys/class/net").join(name)).unwrap();
        fs::write(folder.join("type"), format!("{kind}\n")).unwrap();
        fs::write(folder.join("address"), format!("{mac}\n")).unwrap();
        fs::write(folder.join("operstate"), format!("{state}\n")).unwrap();
        folder
    }

    #[test]
    fn macs_are_filtered_upper_case_and_once() {
        let machine = tempfile::tempdir().unwrap();
        let machine = machine.path();
        assert_eq!(mac_addresses(machine), "");
        interface(machine, "wlan0", "1", "dc:a6:32:00:00:02", "down");
        interface(machine, "eth0", "1", "dc:a6:32:00:00:01", "up");
        interface(machine, "vlan1", "1", "dc:a6:32:00:00:01", "up");
        interface(machine, "lo", "772", "00:00:00:00:00:00", "unknown");
        interface(machine, "can0", "280", "00:00:00:00:00:09", "up");
        interface(machine, "docker0", "1", "02:42:00:00:00:01", "up");
        let port = interface(machine, "veth1", "1", "02:42:00:00:00:02", "up");
        std::os::unix::fs::symlink("../docker0", port.join("master")).unwrap();
        fs::write(machine.join("sys/class/net/bonding_masters"), "").unwrap();
        assert_eq!(mac_addresses(machine), "DC:A6:32:00:00:01 DC:A6:32:00:00:02");
        assert!(is_running(machine, "eth0") && is_running(machine, "lo") && is_running(machine, "unheard-of"));
        assert!(!is_running(machine, "wlan0"));
    }

    #[test]
    fn lists_end_at_a_whole_word() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(joined(words(&["aa", "bb", "aa", "cc"]), 100), "aa bb cc");
        assert_eq!(joined(words(&["aa", "bb", "cc"]), 7), "aa bb");
        assert_eq!(joined(words(&["aa", "bb", "cc"]), 8), "aa bb cc");
        assert_eq!(joined(words(&["aa"]), 1), "");
    }
}
