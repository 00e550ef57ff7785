//! Each name server that the device knows, asked by itself: one of several that is dead makes names slow, not impossible.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::network::cloud_host;
use super::some;
use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;
use crate::host::read_in;

/// Where hosts keep the servers behind the one that stands in resolv.conf (dnsmasq, NetworkManager, systemd-resolved).
const LISTS: [&str; 5] = [
    "run/dnsmasq.servers",
    "run/NetworkManager/resolv.conf",
    "run/resolvconf/interface/NetworkManager",
    "run/systemd/resolve/resolv.conf",
    "etc/resolv.conf",
];
/// So many are asked, each for so long: less than a check has.
const MOST_SERVERS: usize = 4;
const LIMIT: Duration = Duration::from_secs(2);

const REMEDY: &str =
    "take it out of dnsServers in config.json or out of what the network's DHCP gives, or let the device reach it (UDP port 53)";

/// Whether every name server resolves the cloud's name (behaviour §18, `upstream_dns`).
pub(super) fn name_servers(scene: &Scene) -> Judgement {
    let Some((_, host, _)) = cloud_host(scene).filter(|(_, host, _)| host.parse::<IpAddr>().is_err()) else {
        return Judgement::skipped("no cloud is named by a name");
    };
    let texts = LISTS.iter().filter_map(|list| read_in(&scene.settings.host_root, list));
    let servers = servers_in(texts);
    let asked = servers.iter().map(|server| (*server, ask(SocketAddr::new(*server, 53), &host))).collect::<Vec<_>>();
    judge(&host, &asked)
}

/// The servers of several lists. What stands for others on this machine counts only when nothing else is known.
fn servers_in(texts: impl Iterator<Item = String>) -> Vec<IpAddr> {
    let mut found = BTreeSet::new();
    for text in texts {
        let words =
            text.lines().filter_map(|line| line.trim().strip_prefix("nameserver ").or(line.trim().strip_prefix("server=")));
        found.extend(words.filter_map(|word| word.trim().parse::<IpAddr>().ok()));
    }
    let others: Vec<IpAddr> = found.iter().copied().filter(|server| !server.is_loopback()).collect();
    let servers = if others.is_empty() { found.into_iter().collect() } else { others };
    servers.into_iter().take(MOST_SERVERS).collect()
}

fn judge(host: &str, asked: &[(IpAddr, Result<Duration, String>)]) -> Judgement {
    let bad: Vec<String> =
        asked.iter().filter_map(|(server, answer)| Some(format!("{server}: {}", answer.as_ref().err()?))).collect();
    let slowest = asked.iter().filter_map(|(_, answer)| answer.as_ref().ok()).max();
    match (bad.len(), slowest) {
        (0, None) => Judgement::skipped("no name server is known"),
        (0, Some(slowest)) => {
            let count = asked.len();
            Judgement::ok(format!("each of {count} name servers resolves {host}, within {} ms", slowest.as_millis()))
        }
        (_, None) => Judgement::failed(format!("no name server resolves {host}: {}", some(&bad)), REMEDY),
        (_, Some(_)) => Judgement::warning(format!("a name server does not resolve {host}: {}", some(&bad)), REMEDY),
    }
}

/// Asks a server for a name's address (RFC 1035 §4.1); how long it took.
fn ask(server: SocketAddr, host: &str) -> Result<Duration, String> {
    let begin = Instant::now();
    let id = fastrand::u16(..).to_be_bytes();
    let query = query(id, host).ok_or("it is no name that can be asked for")?;
    let answer = exchange(server, &query).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("no answer within {} s", LIMIT.as_secs()),
        _ => error.to_string(),
    })?;
    read(&answer, id).map(|()| begin.elapsed())
}

fn exchange(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let own: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.send(query)?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}

/// One question: A records of the internet, with recursion.
fn query(id: [u8; 2], host: &str) -> Option<Vec<u8>> {
    let mut query = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in host.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        query.push(length);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    Some(query)
}

/// Whether it is an answer to that question, and one that knows the name.
fn read(answer: &[u8], id: [u8; 2]) -> Result<(), String> {
    let [a, b, flags, codes, ..] = answer else { return Err("its answer is too short".into()) };
    if [*a, *b] != id || flags & 0x80 == 0 {
        return Err("its answer is to something else".into());
    }
    match codes & 0x0f {
        0 => Ok(()),
        2 => Err("it could not find out (SERVFAIL)".into()),
        3 => Err("it knows no such name (NXDOMAIN)".into()),
        5 => Err("it refuses to answer".into()),
        code => Err(format!("it answers with error {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;

    #[test]
    fn servers_behind_the_local_one_are_found() {
        let lists =
            ["server=8.8.8.8\nserver=/x/1.1.1.1\n", "# nameserver 9.9.9.9\nnameserver 127.0.0.2\nnameserver fe80::1%eth0\n"];
        assert_eq!(servers_in(lists.map(String::from).into_iter()), ["8.8.8.8".parse::<IpAddr>().unwrap()]);
        assert_eq!(servers_in(["nameserver 127.0.0.53\n".to_owned()].into_iter()), ["127.0.0.53".parse::<IpAddr>().unwrap()]);
        assert_eq!(servers_in(std::iter::once((1..9).map(|n| format!("nameserver 10.0.0.{n}\n")).collect())).len(), MOST_SERVERS);
    }

    #[test]
    fn one_of_several_is_a_warning_and_all_are_a_failure() {
        let (good, bad) =
            (("10.0.0.1".parse().unwrap(), Ok(Duration::ZERO)), ("10.0.0.2".parse().unwrap(), Err("dead".to_owned())));
        assert_eq!(judge("c", std::slice::from_ref(&good)).verdict, Verdict::Ok);
        let mixed = judge("c", &[good, bad.clone()]);
        assert_eq!(
            (mixed.verdict, mixed.sentence.as_str()),
            (Verdict::Warning, "a name server does not resolve c: 10.0.0.2: dead")
        );
        assert_eq!(judge("c", &[bad]).verdict, Verdict::Failed);
        assert_eq!(judge("c", &[]).verdict, Verdict::Skipped);
    }

    #[test]
    fn questions_and_answers() {
        assert_eq!(query([7, 9], "a.bc").unwrap(), *b"\x07\x09\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01");
        assert_eq!((query([0, 0], "a..b"), query([0, 0], &"x".repeat(64))), (None, None));
        assert_eq!(read(&[7, 9, 0x81, 0x80, 0], [7, 9]), Ok(()));
        assert!(read(&[7, 9, 0x81, 0x83], [7, 9]).unwrap_err().contains("NXDOMAIN"));
        assert!(
            read(&[7, 9, 0x01, 0x80], [7, 9]).is_err()
                && read(&[8, 9, 0x81, 0x80], [7, 9]).is_err()
                && read(&[7], [7, 9]).is_err()
        );
    }

    #[test]
    fn a_server_is_asked_over_the_network() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            buffer[2] |= 0x80;
            server.send_to(&buffer[..length], from).unwrap();
            buffer[3] |= 3;
            let (_, from) = server.recv_from(&mut [0; 512]).unwrap();
            server.send_to(&buffer[..length], from).unwrap();
        });
        assert!(ask(address, "api.example.com").is_ok());
        assert!(ask(address, "api.example.com").is_err());
        answering.join().unwrap();
        assert!(ask(address, "api.example.com").is_err(), "nobody is there any more");
    }
}
