//! Requests that another site's page has a browser send.
//!
//! Where no key is asked for — on the unix socket, which people forward to a port of their laptop (`ssh -L`), and in local mode —
//! whatever page the same browser has open could have it send requests there: a browser sends them before it asks whether that
//! page may read the answer. And a site that points its own name at this address even may read it. Such requests count as
//! coming from somebody unknown. What carries a key is not concerned: no other site knows it.

use hyper::header::{HOST, HeaderMap, ORIGIN, USER_AGENT};

/// Whether a request comes from another site's page.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return true;
    }
    let host = header(HOST.as_str()).unwrap_or_default();
    // A page without an origin to name (`null`) is another's.
    if header(ORIGIN.as_str()).is_some_and(|origin| origin.split_once("://").is_none_or(|(_, site)| site != host)) {
        return true;
    }
    // Other clients call a socket by any name they like; nobody makes them send anything.
    let is_browser = header(USER_AGENT.as_str()).is_some_and(|agent| agent.starts_with("Mozilla/"));
    is_browser && !is_own_name(host)
}

/// Whether a host is named so that nobody far away can have pointed the name here: an address, a name without a domain, or one
/// of the local network's own.
fn is_own_name(host: &str) -> bool {
    if host.starts_with('[') {
        return true;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_end_matches('.');
    let (_, last) = name.rsplit_once('.').unwrap_or(("", "localhost"));
    last.bytes().all(|byte| byte.is_ascii_digit()) || ["localhost", "local"].iter().any(|own| last.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> bool {
        let mut headers = HeaderMap::new();
        for line in text.split('|').filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(hyper::header::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        is_foreign(&headers)
    }

    #[test]
    fn the_pages_own_requests_and_those_of_other_programs_are_not_foreign() {
        for own in [
            "",
            "host: anything.example.com",
            "host: localhost:8080|user-agent: Mozilla/5.0|sec-fetch-site: same-origin|origin: http://localhost:8080",
            "host: 192.168.1.7:48484|user-agent: Mozilla/5.0",
            "host: 192.168.1.7:48484|user-agent: Mozilla/5.0|origin: http://192.168.1.7:48484",
            "host: [fe80::1]:48484|user-agent: Mozilla/5.0",
            "host: pump7.local.|user-agent: Mozilla/5.0|sec-fetch-site: none",
            "host: pump7|user-agent: Mozilla/5.0",
        ] {
            assert!(!asked(own), "{own}");
        }
    }

    #[test]
    fn those_of_other_sites_are() {
        for foreign in [
            "host: localhost:8080|sec-fetch-site: cross-site",
            "host: localhost:8080|sec-fetch-site: same-site",
            "host: localhost:8080|origin: http://localhost:3000",
            "host: localhost:8080|origin: http://evil.example",
            "host: localhost:8080|origin: null",
            "origin: http://evil.example",
            "host: rebound.evil.example:8080|user-agent: Mozilla/5.0 (X11)",
            "host: 10.0.0.1.evil.example|user-agent: Mozilla/5.0",
        ] {
            assert!(asked(foreign), "{foreign}");
        }
    }
}
