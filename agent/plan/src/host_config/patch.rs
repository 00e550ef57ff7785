//! What a request asks of the host configuration. Every refusal names the field and what was expected.

use serde_json::{Map, Value};

use super::{Proxy, redsocks};

/// What a proxy may be.
const KINDS: [&str; 4] = ["socks4", "socks5", "http-connect", "http-relay"];
/// Names are looked up here when nobody says where.
const DEFAULT_DNS: &str = "8.8.8.8:53";
/// The longest name the kernel takes.
const HOSTNAME_MAX: usize = 64;

/// A change of the host configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostConfigPatch {
    /// A new name; empty asks for the default one.
    pub hostname: Option<String>,
    /// The proxy's fields that change.
    pub proxy: Option<ProxyPatch>,
}

/// A change of the proxy: what is not given stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyPatch {
    given: Proxy,
    dns_off: bool,
    any: bool,
    no_proxy: Option<Vec<String>>,
}

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyFile {
    /// It stays as it is.
    Keep,
    /// It goes.
    Remove,
    /// It gets this text.
    Write(String),
}

impl HostConfigPatch {
    /// Reads the `network` of a request.
    ///
    /// # Errors
    /// Which field is wrong and what was expected.
    pub fn read(network: Option<&Value>) -> Result<HostConfigPatch, String> {
        let network = network.and_then(Value::as_object).ok_or("network: expected an object with hostname or proxy")?;
        let hostname = match network.get("hostname") {
            None => None,
            Some(Value::String(name)) => Some(hostname(name)?),
            Some(_) => return Err("network.hostname: expected a string".into()),
        };
        let proxy = match network.get("proxy") {
            None => None,
            Some(Value::Object(fields)) => Some(ProxyPatch::read(fields)?),
            Some(_) => return Err("network.proxy: expected an object; {} removes the proxy".into()),
        };
        Ok(HostConfigPatch { hostname, proxy })
    }
}

fn hostname(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let framed = |end: char| name.starts_with(end) || name.ends_with(end);
    if name.len() > HOSTNAME_MAX || !name.chars().all(plain) || framed('-') || framed('.') || name.contains("..") {
        return Err(format!(
            "network.hostname: expected at most {HOSTNAME_MAX} letters, digits, '-', '_' and '.', not '-' or '.' at an end"
        ));
    }
    Ok(name.to_owned())
}

impl ProxyPatch {
    fn read(fields: &Map<String, Value>) -> Result<ProxyPatch, String> {
        let text = |name: &str| match fields.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("network.proxy.{name}: expected a string")),
        };
        let secret = |name: &str| match text(name)? {
            Some(text) if text.is_empty() || text.contains('"') || text.chars().any(char::is_control) => {
                Err(format!("network.proxy.{name}: expected text without quotes and line breaks"))
            }
            text => Ok(text),
        };
        let kind = text("type")?;
        if kind.as_deref().is_some_and(|kind| !KINDS.contains(&kind)) {
            return Err(format!("network.proxy.type: expected one of {}", KINDS.join(", ")));
        }
        let ip = text("ip")?;
        if ip.as_deref().is_some_and(|ip| !is_place(ip)) {
            return Err("network.proxy.ip: expected an address or a host name".into());
        }
        let port = fields.get("port").map(port).transpose()?;
        let (dns, dns_off) = dns(fields.get("dns"))?;
        let given = Proxy { kind, ip, port, login: secret("login")?, password: secret("password")?, dns, no_proxy: Vec::new() };
        let any = dns_off || given != Proxy::default();
        let no_proxy = no_proxy(fields.get("noProxy"))?;
        if !any && no_proxy.is_none() && !fields.is_empty() {
            // Taken for an empty object, a misspelt field would remove the proxy.
            return Err("network.proxy: none of its fields is known".into());
        }
        Ok(ProxyPatch { given, dns_off, any, no_proxy })
    }

    /// What becomes of `redsocks.conf` and `no_proxy`, given what they say now.
    ///
    /// # Errors
    /// When what is given and what is there do not make a proxy together.
    pub fn files(&self, current: Option<&Proxy>) -> Result<(ProxyFile, ProxyFile), String> {
        let no_proxy = match &self.no_proxy {
            None => ProxyFile::Keep,
            Some(list) if list.is_empty() => ProxyFile::Remove,
            Some(list) => ProxyFile::Write(list.join("\n")),
        };
        if !self.any {
            let conf = if self.no_proxy.is_some() { ProxyFile::Keep } else { ProxyFile::Remove };
            return Ok((conf, no_proxy));
        }
        let mut proxy = Proxy { no_proxy: Vec::new(), ..current.cloned().unwrap_or_default() };
        let given = self.given.clone();
        let (kind, ip, port) = (given.kind.or(proxy.kind), given.ip.or(proxy.ip), given.port.or(proxy.port));
        let dns = given.dns.or(proxy.dns.filter(|_| !self.dns_off));
        let (login, password) = (given.login.or(proxy.login), given.password.or(proxy.password));
        proxy = Proxy { kind, ip, port, login, password, dns, no_proxy: Vec::new() };
        let without_dns = Proxy { dns: None, ..proxy.clone() };
        if without_dns == Proxy::default() {
            // Names over a proxy that is not there: nothing to write.
            return Ok((ProxyFile::Keep, no_proxy));
        }
        let absent = [("type", proxy.kind.is_none()), ("ip", proxy.ip.is_none()), ("port", proxy.port.is_none())];
        if let Some((name, _)) = absent.iter().find(|(_, absent)| *absent) {
            return Err(format!("network.proxy.{name}: missing, and there is no proxy to take it from"));
        }
        let text = redsocks::write(&proxy).filter(|text| redsocks::read(text) == proxy);
        let text = text.ok_or("network.proxy: these values cannot be written so that they are read again")?;
        Ok((ProxyFile::Write(text), no_proxy))
    }
}

fn is_place(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '[' | ']'))
}

fn port(value: &Value) -> Result<u16, String> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let port = number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| "network.proxy.port: expected a number from 1 to 65535".to_owned())
}

/// Where names are looked up, and whether that is taken back.
fn dns(value: Option<&Value>) -> Result<(Option<String>, bool), String> {
    match value {
        None => Ok((None, false)),
        Some(Value::Bool(true)) => Ok((Some(DEFAULT_DNS.into()), false)),
        Some(Value::Bool(false)) => Ok((None, true)),
        Some(Value::String(text)) => match text.rsplit_once(':') {
            Some((place, port)) if is_place(place) && port.parse::<u16>().is_ok() => Ok((Some(text.clone()), false)),
            _ => Err("network.proxy.dns: expected true, false or ADDR:PORT".into()),
        },
        Some(_) => Err("network.proxy.dns: expected true, false or ADDR:PORT".into()),
    }
}

fn no_proxy(value: Option<&Value>) -> Result<Option<Vec<String>>, String> {
    let wrong = || "network.proxy.noProxy: expected a list of addresses".to_owned();
    let Some(value) = value else { return Ok(None) };
    let list = value.as_array().ok_or_else(wrong)?.iter().map(|entry| {
        let text = entry.as_str().map(str::trim).filter(|text| !text.is_empty());
        text.filter(|text| !text.contains(|c: char| c.is_control() || c.is_whitespace())).map(str::to_owned).ok_or_else(wrong)
    });
    Ok(Some(list.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patch(proxy: &Value) -> Result<ProxyPatch, String> {
        HostConfigPatch::read(Some(&json!({ "proxy": proxy }))).map(|patch| patch.proxy.unwrap())
    }

    fn files(proxy: &Value, current: Option<&Proxy>) -> (ProxyFile, ProxyFile) {
        patch(proxy).unwrap().files(current).unwrap()
    }

    #[test]
    fn what_is_given_is_laid_over_what_is_there() {
        let full = json!({ "type": "http-connect", "ip": "p.example.com", "port": "8080", "login": "a", "password": "b" });
        let (ProxyFile::Write(text), ProxyFile::Keep) = files(&full, None) else { panic!() };
        let current = Proxy::read(Some(&text), Some("10.0.0.0/8\n")).unwrap();
        assert_eq!(current.no_proxy, ["10.0.0.0/8"]);
        let (ProxyFile::Write(text), ProxyFile::Write(list)) =
            files(&json!({ "port": 9, "dns": true, "noProxy": ["1.1.1.1", "x.local"] }), Some(&current))
        else {
            panic!()
        };
        assert!(text.contains("port = 9;") && text.contains("ip = p.example.com;") && text.contains("remote_ip = 8.8.8.8;"));
        assert_eq!(list, "1.1.1.1\nx.local");
        let (ProxyFile::Write(text), _) = files(&json!({ "dns": false }), Some(&redsocks::read(&text))) else { panic!() };
        assert!(!text.contains("dnsu2t") && text.contains("login = \"a\""));
    }

    #[test]
    fn removing_and_keeping() {
        use ProxyFile::{Keep, Remove, Write};
        assert_eq!(files(&json!({}), None), (Remove, Keep));
        assert_eq!(files(&json!({ "noProxy": [] }), None), (Keep, Remove));
        assert_eq!(files(&json!({ "noProxy": ["a"] }), None), (Keep, Write("a".into())));
        assert_eq!(files(&json!({ "dns": true }), None), (Keep, Keep));
    }

    #[test]
    fn refusals_name_the_field() {
        for (proxy, field) in [
            (json!({ "prot": 1 }), "proxy"),
            (json!({ "type": "ftp" }), "type"),
            (json!({ "ip": "a; b" }), "ip"),
            (json!({ "port": 0 }), "port"),
            (json!({ "port": "x" }), "port"),
            (json!({ "login": "a\"b" }), "login"),
            (json!({ "password": "a\nb" }), "password"),
            (json!({ "dns": "8.8.8.8" }), "dns"),
            (json!({ "noProxy": "a" }), "noProxy"),
            (json!({ "noProxy": ["a b"] }), "noProxy"),
        ] {
            assert!(patch(&proxy).unwrap_err().contains(field), "{proxy}");
        }
        assert!(patch(&json!({ "ip": "1.1.1.1" })).unwrap().files(None).unwrap_err().contains("type"));
        for name in ["-a", "a b", "a.", "a..b", &"x".repeat(65), "ä"] {
            assert!(HostConfigPatch::read(Some(&json!({ "hostname": name }))).is_err(), "{name}");
        }
        assert!(HostConfigPatch::read(None).unwrap_err().contains("network"));
        assert_eq!(HostConfigPatch::read(Some(&json!({ "hostname": "" }))).unwrap().hostname.as_deref(), Some(""));
    }
}
