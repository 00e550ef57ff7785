//! The way to the cloud and to the registry.

use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::DATE;

use super::clock::http_date;
use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;
use crate::host::{Host, read_in};
use crate::http::{self, Limits, Options, is_loopback};

/// How long one question may take, less than a check has.
const LIMIT: Duration = Duration::from_secs(8);
const CONNECT_LIMIT: Duration = Duration::from_secs(6);
/// What an answer may hold, bytes.
const MOST_BYTES: usize = 64 * 1024;
/// A signal that is weaker loses much, percent.
const WEAK_PERCENT: u32 = 40;
const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));

const NETWORK: &str = "see the checks network and dns; a firewall has to let the device out to TCP port 443";

/// What the cloud answered to `/ping`, or why nothing came.
pub(in crate::diagnose) type CloudAnswer = Result<Answer, String>;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::diagnose) struct Answer {
    status: u16,
    text: String,
    took_ms: u128,
    /// How far its clock is ahead of ours, seconds.
    pub(super) ahead_s: Option<i64>,
}

/// Asks the cloud once for all who want to know.
pub(super) async fn answer(scene: &Scene) -> CloudAnswer {
    let endpoint = &scene.settings.cloud.api_endpoint;
    let ask = || async {
        if endpoint.is_empty() { Err("no cloud is named".to_owned()) } else { get(scene, &format!("{endpoint}/ping")).await }
    };
    scene.cloud.get_or_init(ask).await.clone()
}

async fn get(scene: &Scene, address: &str) -> Result<Answer, String> {
    let url = Url::parse(address).map_err(|error| format!("{address}: {error}"))?;
    let proxy = !url.host_str().is_some_and(is_loopback);
    let options = Options { user_agent: USER_AGENT, connect_timeout: CONNECT_LIMIT, proxy };
    let tls = http::tls(&scene.settings.host_root, scene.settings.cloud.root_ca_pem.as_deref())?;
    let client = http::client(tls, &options)?;
    let begin = Instant::now();
    let asked = async {
        let response = client.get(url).send().await.map_err(|error| http::chain(&error.without_url()))?;
        let status = response.status().as_u16();
        let date = response.headers().get(DATE).and_then(|date| http_date(date.to_str().ok()?));
        let ahead_s = date.map(|date| date.saturating_sub(scene.clock.now().machine_ms / 1000));
        let limits = Limits { size_bytes: MOST_BYTES, idle: LIMIT, total: LIMIT };
        let text = http::read_text(response, limits).await.unwrap_or_else(|error| error.to_string());
        Ok(Answer { status, text: http::shorten(&text), took_ms: begin.elapsed().as_millis(), ahead_s })
    };
    tokio::time::timeout(LIMIT, asked).await.map_err(|_| format!("no answer within {} s", LIMIT.as_secs()))?
}

/// Whether the device has an address.
pub(super) async fn addresses(scene: &Scene) -> Judgement {
    match scene.host.addresses().await.ip {
        none if none.is_empty() => Judgement::failed(
            "the device has no address on any network",
            "see the cable, the Wi-Fi name and password (system-connections on the boot partition), and the network's DHCP",
        ),
        some => Judgement::ok(format!("addresses {some}")),
    }
}

/// How strong the Wi-Fi is.
pub(super) fn wifi(scene: &Scene) -> Judgement {
    judge_wifi(&read_in(&scene.machine, "proc/net/wireless").unwrap_or_default())
}

/// `/proc/net/wireless`: two lines of headings, then the interface, its state and the quality of its link, of 70.
fn judge_wifi(text: &str) -> Judgement {
    let row = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let quality: u32 = rest.split_whitespace().nth(1)?.trim_end_matches('.').parse().ok()?;
        Some((quality.min(70) * 100 / 70, name.trim().to_owned()))
    };
    match text.lines().filter_map(row).min() {
        None => Judgement::skipped("no Wi-Fi is connected"),
        Some((percent, name)) if percent < WEAK_PERCENT => Judgement::warning(
            format!("the signal of {name} is weak ({percent} %)"),
            "move the device or the access point, or use a cable",
        ),
        Some((percent, name)) => Judgement::ok(format!("the signal of {name} is good enough ({percent} %)")),
    }
}

/// Host and port of the cloud's address.
pub(super) fn cloud_host(scene: &Scene) -> Option<(Url, String, u16)> {
    let url = Url::parse(&scene.settings.cloud.api_endpoint).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default()?;
    Some((url, host, port))
}

/// Whether names can be resolved.
pub(super) async fn dns(scene: &Scene) -> Judgement {
    let Some((_, host, port)) = cloud_host(scene) else {
        return Judgement::skipped("no cloud is named, so no name has to be resolved");
    };
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Judgement::skipped(format!("the cloud is named by its address, {host}"));
    }
    let begin = Instant::now();
    let found = tokio::time::timeout(LIMIT, tokio::net::lookup_host((host.as_str(), port))).await;
    let remedy = "see /etc/resolv.conf, that the name server answers (UDP and TCP port 53), and dnsServers in config.json";
    match found {
        Ok(Ok(found)) => {
            let count = found.count();
            Judgement::ok(format!("{host} is resolved to {count} addresses in {} ms", begin.elapsed().as_millis()))
        }
        Ok(Err(cause)) => Judgement::failed(format!("{host} cannot be resolved: {cause}"), remedy),
        Err(_) => Judgement::failed(format!("{host} was not resolved within {} s", LIMIT.as_secs()), remedy),
    }
}

/// Whether the cloud's API answers.
pub(super) async fn cloud(scene: &Scene) -> Judgement {
    let endpoint = &scene.settings.cloud.api_endpoint;
    if endpoint.is_empty() {
        return Judgement::skipped("this device is unmanaged: config.json names no apiEndpoint");
    }
    judge_cloud(endpoint, answer(scene).await.as_ref())
}

fn judge_cloud(endpoint: &str, answer: Result<&Answer, &String>) -> Judgement {
    match answer {
        Err(cause) => Judgement::failed(format!("{endpoint} cannot be reached: {cause}"), NETWORK),
        Ok(answer) if answer.status == 200 && answer.text == "OK" => {
            Judgement::ok(format!("{endpoint} answers in {} ms", answer.took_ms))
        }
        Ok(Answer { status, text, .. }) => {
            let sentence = format!("{endpoint} answers {status} and not OK: {text}");
            let remedy = "somebody else answers in its place (a captive portal, a proxy), or apiEndpoint is wrong, or the cloud has trouble";
            if matches!(status, 200 | 300..=399 | 500..) {
                Judgement::failed(sentence, remedy)
            } else {
                Judgement::warning(sentence, remedy)
            }
        }
    }
}

/// Whether the registry answers.
pub(super) async fn registry(scene: &Scene) -> Judgement {
    let cloud = &scene.settings.cloud;
    let (host, guessed) = match (&cloud.registry_endpoint, cloud_host(scene)) {
        (Some(host), _) => (host.trim_start_matches("https://").trim_end_matches('/').to_owned(), false),
        (None, Some((_, host, _))) if host.starts_with("api.") => (host.replacen("api.", "registry2.", 1), true),
        _ => return Judgement::skipped("config.json names no registryEndpoint"),
    };
    let scheme = if is_loopback(host.split(':').next().unwrap_or_default()) { "http" } else { "https" };
    judge_registry(&host, guessed, get(scene, &format!("{scheme}://{host}/v2/")).await.as_ref())
}

fn judge_registry(host: &str, guessed: bool, answer: Result<&Answer, &String>) -> Judgement {
    let sentence = match answer {
        // It wants credentials, and is there.
        Ok(Answer { status: 200 | 401, took_ms, .. }) => return Judgement::ok(format!("{host} answers in {took_ms} ms")),
        Ok(Answer { status, text, .. }) => format!("{host} answers {status}, as no registry does: {text}"),
        Err(cause) => format!("{host} cannot be reached: {cause}"),
    };
    match guessed {
        true => Judgement::warning(
            format!("{sentence} (its name was guessed from apiEndpoint)"),
            "name the registry in config.json (registryEndpoint)",
        ),
        false => Judgement::failed(sentence, NETWORK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;

    fn said(status: u16, text: &str) -> Answer {
        Answer { status, text: text.into(), took_ms: 5, ahead_s: None }
    }

    #[test]
    fn answers_of_the_cloud() {
        let verdict = |answer: &Answer| judge_cloud("https://c", Ok(answer)).verdict;
        assert_eq!(verdict(&said(200, "OK")), Verdict::Ok);
        assert_eq!(verdict(&said(200, "Sign in to the hotel")), Verdict::Failed);
        assert_eq!(verdict(&said(302, "")), Verdict::Failed);
        assert_eq!(verdict(&said(404, "")), Verdict::Warning);
        assert_eq!(verdict(&said(503, "")), Verdict::Failed);
        assert_eq!(judge_cloud("https://c", Err(&"refused".into())).verdict, Verdict::Failed);
    }

    #[test]
    fn answers_of_registries() {
        let verdict = |answer: Result<&Answer, &String>, guessed| judge_registry("r", guessed, answer).verdict;
        assert_eq!(verdict(Ok(&said(401, "")), false), Verdict::Ok);
        assert_eq!(verdict(Ok(&said(200, "{}")), false), Verdict::Ok);
        assert_eq!(verdict(Ok(&said(404, "")), false), Verdict::Failed);
        assert_eq!(verdict(Err(&"x".to_owned()), false), Verdict::Failed);
        assert_eq!(verdict(Err(&"x".to_owned()), true), Verdict::Warning);
    }

    #[test]
    fn signals_at_their_edges() {
        let line = |quality: u32| {
            format!(
                "Inter-| sta-|   Quality\n face | tus | link level noise\n wlan0: 0000   {quality}.  -70.  -256  0 0 0 0 0 0\n"
            )
        };
        assert_eq!(judge_wifi(&line(28)).verdict, Verdict::Ok);
        assert_eq!(judge_wifi(&line(27)).verdict, Verdict::Warning);
        assert_eq!(judge_wifi("Inter-| sta-|\n face | tus |\n").verdict, Verdict::Skipped);
    }
}
