//! The text of `redsocks.conf`.

use super::Proxy;

const BASE: &str =
    "base {\n\tlog_debug = off;\n\tlog_info = on;\n\tlog = stderr;\n\tdaemon = off;\n\tredirector = iptables;\n}\n";

/// The text for a proxy that has a type, an address and a port; `None` for another.
pub(super) fn write(proxy: &Proxy) -> Option<String> {
    let (kind, ip, port) = (proxy.kind.as_ref()?, proxy.ip.as_ref()?, proxy.port?);
    let mut text = format!("{BASE}\nredsocks {{\n\ttype = {kind};\n\tip = {ip};\n\tport = {port};\n");
    for (key, value) in [("login", &proxy.login), ("password", &proxy.password)] {
        if let Some(value) = value {
            text.push_str(&format!("\t{key} = \"{value}\";\n"));
        }
    }
    text.push_str("\tlocal_ip = 127.0.0.1;\n\tlocal_port = 12345;\n}\n");
    if let Some((ip, port)) = proxy.dns.as_ref().and_then(|dns| dns.rsplit_once(':')) {
        text.push_str(&format!(
            "\ndnsu2t {{\n\tremote_ip = {ip};\n\tremote_port = {port};\n\tlocal_ip = 127.0.0.1;\n\tlocal_port = 53;\n}}\n"
        ));
    }
    Some(text)
}

/// What a text says, as far as it can be understood.
pub(super) fn read(text: &str) -> Proxy {
    let mut proxy = Proxy::default();
    for (key, value) in block(text, "redsocks") {
        let unquoted = || Some(value.replace('"', ""));
        match key {
            "type" => proxy.kind = Some(value.to_owned()),
            "ip" => proxy.ip = Some(value.to_owned()),
            "port" => proxy.port = value.parse().ok(),
            "login" => proxy.login = unquoted(),
            "password" => proxy.password = unquoted(),
            _ => {}
        }
    }
    let dns = block(text, "dnsu2t");
    let of = |name: &str| dns.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    if let (Some(ip), Some(port)) = (of("remote_ip"), of("remote_port")) {
        proxy.dns = Some(format!("{ip}:{port}"));
    }
    proxy
}

/// Keys and values of a block. It ends at the first `}` before a blank or the end: a password may hold others.
fn block<'a>(text: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let begin = text.match_indices(name).find_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let rest = text[at + name.len()..].trim_start().strip_prefix('{')?;
        before.is_none_or(char::is_whitespace).then_some(rest)
    });
    let Some(rest) = begin else { return Vec::new() };
    let ends = |at: &usize| rest[at + 1..].chars().next().is_none_or(char::is_whitespace);
    let end = rest.match_indices('}').map(|(at, _)| at).find(ends);
    let lines = end.map_or("", |end| &rest[..end]).lines();
    let pair = |line: &'a str| {
        let (key, value) = line.trim().trim_end_matches(';').split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        (!key.is_empty() && !value.is_empty()).then_some((key, value))
    };
    lines.filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_as_the_system_knows_it() {
        let proxy = Proxy {
            kind: Some("socks5".into()),
            ip: Some("10.0.0.1".into()),
            port: Some(1080),
            login: Some("me".into()),
            password: Some("a=b;}c".into()),
            dns: Some("8.8.8.8:53".into()),
            no_proxy: Vec::new(),
        };
        let text = write(&proxy).unwrap();
        let expected = "base {\n\tlog_debug = off;\n\tlog_info = on;\n\tlog = stderr;\n\tdaemon = off;\n\tredirector = iptables;\n}\n\n\
            redsocks {\n\ttype = socks5;\n\tip = 10.0.0.1;\n\tport = 1080;\n\tlogin = \"me\";\n\tpassword = \"a=b;}c\";\n\t\
            local_ip = 127.0.0.1;\n\tlocal_port = 12345;\n}\n\n\
            dnsu2t {\n\tremote_ip = 8.8.8.8;\n\tremote_port = 53;\n\tlocal_ip = 127.0.0.1;\n\tlocal_port = 53;\n}\n";
        assert_eq!(text, expected);
        assert_eq!(read(&text), proxy);
        assert!(!format!("{proxy:?}").contains("a=b"));
    }

    #[test]
    fn texts_of_others_are_read_as_far_as_they_go() {
        assert_eq!(read(""), Proxy::default());
        assert_eq!(read("redsocks { type = socks5"), Proxy::default());
        let partial = read("redsocks{\n type=http-connect ;\n port = many;\n nonsense\n}");
        assert_eq!((partial.kind.as_deref(), partial.port), (Some("http-connect"), None));
        assert_eq!(write(&partial), None);
    }
}
