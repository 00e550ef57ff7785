//! The device's addresses, as reported (protocol §14).

use std::net::IpAddr;
use std::path::Path;

use super::interface::{is_internal, is_running, joined};
use super::netlink::{self, Address};

/// The most the cloud accepts (protocol §6.2).
const MAX_ADDRESSES_BYTES: usize = 2000;

/// The widest scope that leaves the link (`RT_SCOPE_SITE`).
const SCOPE_SITE: u8 = 200;
/// `IFA_F_DADFAILED` and `IFA_F_TENTATIVE`: not, or not yet, the device's.
const NOT_OURS: u8 = 0x08 | 0x40;

/// All addresses to report, space separated; empty when the kernel does not say.
pub(super) fn addresses(machine: &Path) -> String {
    let (found, socket) = match netlink::addresses() {
        Ok(answer) => answer,
        Err(errno) => {
            log::debug!("the kernel does not tell the device's addresses: {errno}");
            return String::new();
        }
    };
    let name_of = |index| rustix::net::netdevice::index_to_name(&socket, index).ok();
    reported(found, |index| name_of(index).is_some_and(|name| !is_internal(&name) && is_running(machine, &name)))
}

/// Addresses that reach further than the link (of IPv4 all but the machine's own), IPv4 first, by interface.
fn reported(mut found: Vec<Address>, is_external: impl Fn(u32) -> bool) -> String {
    found.retain(|found| reaches_out(found) && is_external(found.interface));
    found.sort_by_key(|found| (found.address.is_ipv6(), found.interface));
    joined(found.into_iter().map(|found| found.address.to_string()), MAX_ADDRESSES_BYTES)
}

fn reaches_out(found: &Address) -> bool {
    match found.address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_unspecified(),
        IpAddr::V6(_) => found.scope <= SCOPE_SITE && found.flags & NOT_OURS == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, addresses, reported};
    use std::path::Path;

    fn found(interface: u32, address: &str, scope: u8, flags: u8) -> Address {
        Address { interface, address: address.parse().unwrap(), scope, flags }
    }

    #[test]
    fn addresses_are_filtered_and_ordered() {
        let all = vec![
            found(3, "2001:db8::3", 0, 0x80),
            found(1, "127.0.0.1", 254, 0x80),
            found(1, "::1", 254, 0x80),
            found(3, "192.168.1.3", 0, 0x80),
            found(2, "192.168.1.2", 0, 0),
            found(2, "169.254.7.7", 253, 0x80),
            found(2, "fe80::1", 253, 0x80),
            found(2, "fd00::2", 0, 0x80),
            found(2, "2001:db8::bad", 0, 0x08),
            found(2, "2001:db8::500", 0, 0x40),
            found(9, "172.17.0.1", 0, 0x80),
            found(3, "192.168.1.3", 0, 0x80),
        ];
        assert_eq!(reported(all, |index| index != 9), "192.168.1.2 169.254.7.7 192.168.1.3 fd00::2 2001:db8::3");
    }

    #[test]
    fn this_machine_is_asked_without_trouble() {
        let text = addresses(Path::new("/"));
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let address = word.parse::<std::net::IpAddr>().unwrap();
            assert!(!address.is_loopback(), "{text}");
        }
    }
}
