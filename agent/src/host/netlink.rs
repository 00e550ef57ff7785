//! Asks the kernel for the addresses of all interfaces (rtnetlink, `RTM_GETADDR`). Every field of its answer is checked: a
//! message that does not fit is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Index of its interface.
    pub(super) interface: u32,
    /// The address.
    pub(super) address: IpAddr,
    /// How far it reaches: 0 everywhere, 200 within the site, 253 on the link, 254 within the machine.
    pub(super) scope: u8,
    /// `IFA_F_*`.
    pub(super) flags: u8,
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

const HEADER_BYTES: usize = 16;
const IFADDRMSG_BYTES: usize = 8;

/// The kernel answers at once; this is for the day it does not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The kernel fills at most this much at a time.
const BUFFER_BYTES: usize = 32 * 1024;
/// How many answers and addresses are read.
const MAX_ANSWERS: usize = 64;
const MAX_ADDRESSES: usize = 1024;

/// The addresses of all interfaces, and the socket they were asked through (it also answers for interfaces' names).
pub(super) fn addresses() -> Result<(Vec<Address>, OwnedFd), Errno> {
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT))?;
    rustix::net::send(&socket, &request(), SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    for _ in 0..MAX_ANSWERS {
        let (read, _) = rustix::io::retry_on_intr(|| rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::empty()))?;
        if read == 0 || !take_in(&buffer[..read], &mut found)? || found.len() >= MAX_ADDRESSES {
            break;
        }
    }
    Ok((found, socket))
}

/// "All addresses, of every family."
fn request() -> Vec<u8> {
    let length = HEADER_BYTES + IFADDRMSG_BYTES;
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).unwrap_or_default().to_ne_bytes());
    message.extend(RTM_GETADDR.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message.resize(length, 0);
    message
}

/// Takes the addresses out of one answer. Says whether more answers follow.
fn take_in(mut answer: &[u8], found: &mut Vec<Address>) -> Result<bool, Errno> {
    while let (Some(length), Some(kind)) = (u32_at(answer, 0), u16_at(answer, 4)) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = answer.get(HEADER_BYTES..length) else { return Ok(false) };
        match kind {
            NLMSG_DONE => return Ok(false),
            NLMSG_ERROR => return Err(Errno::IO),
            RTM_NEWADDR if found.len() < MAX_ADDRESSES => found.extend(address(body)),
            _ => {}
        }
        answer = answer.get(aligned(length)..).unwrap_or_default();
    }
    Ok(true)
}

/// `struct ifaddrmsg` and its attributes.
fn address(body: &[u8]) -> Option<Address> {
    let (flags, scope) = (*body.get(2)?, *body.get(3)?);
    let interface = u32_at(body, 4)?;
    let mut attributes = body.get(IFADDRMSG_BYTES..)?;
    let (mut local, mut address) = (None, None);
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        let Some(value) = attributes.get(4..length) else { break };
        match kind {
            IFA_LOCAL => local = ip(value),
            IFA_ADDRESS => address = ip(value),
            _ => {}
        }
        attributes = attributes.get(aligned(length)..).unwrap_or_default();
    }
    // On a link between two points `IFA_ADDRESS` is the other end's.
    Some(Address { interface, address: local.or(address)?, scope, flags })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))).ok()
}

/// Messages and attributes begin at multiples of four.
fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Address, NLMSG_DONE, NLMSG_ERROR, RTM_NEWADDR, addresses, take_in};
    use std::net::IpAddr;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.resize(16, 0);
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn body(index: u32, scope: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0, 0, 0x80, scope];
        body.extend(index.to_ne_bytes());
        for (kind, value) in attributes {
            body.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body
    }

    fn parsed(answer: &[u8]) -> (Vec<Address>, bool) {
        let mut found = Vec::new();
        let more = take_in(answer, &mut found).unwrap();
        (found, more)
    }

    fn found(interface: u32, address: &str, scope: u8) -> Address {
        Address { interface, address: address.parse::<IpAddr>().unwrap(), scope, flags: 0x80 }
    }

    #[test]
    fn addresses_are_taken_from_an_answer() {
        let six = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let mut answer = message(RTM_NEWADDR, &body(2, 0, &[(1, &[192, 0, 2, 2]), (2, &[192, 0, 2, 2]), (3, b"eth0\0")]));
        answer.extend(message(RTM_NEWADDR, &body(3, 0, &[(1, &[10, 0, 0, 9]), (2, &[10, 0, 0, 1])])));
        answer.extend(message(77, &[1, 2, 3]));
        answer.extend(message(RTM_NEWADDR, &body(2, 253, &[(1, &six)])));
        let expected = vec![found(2, "192.0.2.2", 0), found(3, "10.0.0.1", 0), found(2, "2001:db8::7", 253)];
        assert_eq!(parsed(&answer), (expected.clone(), true));
        answer.extend(message(NLMSG_DONE, &[0; 4]));
        assert_eq!(parsed(&answer), (expected, false));
    }

    #[test]
    fn an_error_is_an_error_and_rubbish_is_skipped() {
        assert!(take_in(&message(NLMSG_ERROR, &[0; 4]), &mut Vec::new()).is_err());
        let whole = message(RTM_NEWADDR, &body(2, 0, &[(1, &[192, 0, 2, 2])]));
        for end in 0..whole.len() {
            assert_eq!(parsed(&whole[..end]).0, vec![], "cut at {end}");
        }
        for length in [0_u32, 1, 15, 17, 20, u32::MAX] {
            let mut odd = whole.clone();
            odd[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(parsed(&odd).0, vec![], "length {length}");
        }
        let mut odd = whole;
        odd[24] = 200;
        assert_eq!(parsed(&odd).0, vec![], "an attribute longer than the message");
        assert_eq!(parsed(&message(RTM_NEWADDR, &body(2, 0, &[(1, &[1, 2, 3])]))).0, vec![], "half an address");
    }

    #[test]
    fn the_kernel_answers() {
        let (found, _) = addresses().unwrap();
        let shown = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default().lines().count();
        assert_eq!(found.iter().filter(|found| found.address.is_ipv6()).count(), shown);
    }
}
