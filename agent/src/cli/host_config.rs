//! `holdfast host-config`.

use std::process::ExitCode;

use holdfast_plan::host_config::HostConfig;
use serde_json::{Map, Value, json};

use super::ClientArgs;
use super::exit::Usage;
use super::output::{print, print_answer, print_json};
use super::render;
use crate::client;

const PATH: &str = "/v1/device/host-config";

/// What can be done with the host's configuration.
#[derive(Debug, clap::Subcommand)]
pub(super) enum HostConfigCommand {
    /// Show the device's name and proxy.
    Get(ClientArgs),
    /// Change the device's name or proxy; what is not given stays.
    Set(Box<SetArgs>),
}

/// Arguments of `host-config set`.
#[derive(Debug, clap::Args)]
pub(super) struct SetArgs {
    /// The device's name; empty asks for the default one
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// The proxy: TYPE://[LOGIN:PASSWORD@]ADDRESS:PORT, TYPE being socks4, socks5, http-connect or http-relay
    #[arg(long, value_name = "PROXY", conflicts_with = "no_proxy_at_all")]
    proxy: Option<String>,
    /// Look names up through the proxy: ADDRESS:PORT, on or off
    #[arg(long, value_name = "DNS", conflicts_with = "no_proxy_at_all")]
    dns: Option<String>,
    /// Addresses that are reached without the proxy, with commas; empty for none
    #[arg(long, value_name = "LIST")]
    no_proxy: Option<String>,
    /// Remove the proxy
    #[arg(long = "remove-proxy")]
    no_proxy_at_all: bool,
    /// Break the update locks that applications hold
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(command: HostConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        HostConfigCommand::Get(args) => {
            let reply = client::get(&args.device(), PATH).await?;
            if args.json { print_answer(&reply)? } else { print(&text(&serde_json::from_value(reply.json()?)?))? }
        }
        HostConfigCommand::Set(args) => {
            let network = network(&args)?;
            if network.is_empty() {
                return Err(Usage("nothing to set: give --hostname, --proxy, --dns, --no-proxy or --remove-proxy".into()).into());
            }
            let request = json!({ "network": network, "force": args.force });
            client::patch(&args.client.device(), PATH, request.to_string()).await?;
            if args.client.json { print_json(&json!({ "status": "done" }))? } else { print("Done.\n")? }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn network(args: &SetArgs) -> anyhow::Result<Map<String, Value>> {
    let mut network = Map::new();
    if let Some(name) = &args.hostname {
        network.insert("hostname".into(), json!(name));
    }
    let mut proxy = args.proxy.as_deref().map(proxy_fields).transpose()?.unwrap_or_default();
    if let Some(dns) = &args.dns {
        proxy.insert(
            "dns".into(),
            match dns.as_str() {
                "on" => json!(true),
                "off" => json!(false),
                place => json!(place),
            },
        );
    }
    if let Some(list) = &args.no_proxy {
        let list: Vec<&str> = list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
        proxy.insert("noProxy".into(), json!(list));
    }
    if !proxy.is_empty() || args.no_proxy_at_all {
        network.insert("proxy".into(), Value::Object(proxy));
    }
    Ok(network)
}

/// The fields of `TYPE://[LOGIN:PASSWORD@]ADDRESS:PORT`.
fn proxy_fields(text: &str) -> anyhow::Result<Map<String, Value>> {
    let expected = || Usage("--proxy: expected TYPE://[LOGIN:PASSWORD@]ADDRESS:PORT".into());
    let (kind, rest) = text.split_once("://").ok_or_else(expected)?;
    let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
    let (ip, port) = place.rsplit_once(':').ok_or_else(expected)?;
    let mut fields = Map::from_iter([("type".into(), json!(kind)), ("ip".into(), json!(ip)), ("port".into(), json!(port))]);
    if let Some((login, password)) = user.map(|user| user.split_once(':').ok_or_else(expected)).transpose()? {
        fields.insert("login".into(), json!(login));
        fields.insert("password".into(), json!(password));
    }
    Ok(fields)
}

fn text(config: &HostConfig) -> String {
    let network = &config.network;
    let mut rows = vec![("Name", network.hostname.clone().unwrap_or_else(|| "not known".into()))];
    match &network.proxy {
        None => rows.push(("Proxy", "none".into())),
        Some(proxy) => {
            let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".into());
            let port = proxy.port.map_or_else(|| "?".into(), |port| port.to_string());
            let login = proxy.login.as_ref().map(|login| format!("{login}@")).unwrap_or_default();
            rows.push(("Proxy", format!("{}://{login}{}:{port}", shown(&proxy.kind), shown(&proxy.ip))));
            rows.extend(proxy.dns.clone().map(|dns| ("Names through", dns)));
            rows.extend((!proxy.no_proxy.is_empty()).then(|| ("Without proxy", proxy.no_proxy.join(", "))));
        }
    }
    rows.iter().map(|(name, value)| format!("{name:<14} {}\n", render::plain(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_taken_apart() {
        let fields = proxy_fields("socks5://me:a:b@c@10.0.0.1:1080").unwrap();
        let expected = json!({ "type": "socks5", "ip": "10.0.0.1", "port": "1080", "login": "me", "password": "a:b@c" });
        assert_eq!(Value::Object(fields), expected);
        for wrong in ["socks5", "socks5://", "socks5://a", "socks5://me@a:1"] {
            assert!(proxy_fields(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let proxy = json!({ "type": "socks5", "ip": "p", "port": 1, "login": "me", "password": "hunter2" });
        let config = serde_json::from_value(json!({ "network": { "hostname": "h", "proxy": proxy } })).unwrap();
        let shown = text(&config);
        assert!(shown.contains("socks5://me@p:1") && !shown.contains("hunter2"), "{shown}");
    }
}
