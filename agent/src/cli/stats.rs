//! `holdfast stats`.

use std::process::ExitCode;

use super::ClientArgs;
use super::output::{paint, print, print_answer};
use super::render::{self, Signs};
use crate::client;

/// Marks of a chart.
const MARKS: u64 = 48;
/// Variables that name the character set, the strongest first.
const LOCALE: [&str; 3] = ["LC_ALL", "LC_CTYPE", "LANG"];

/// Arguments of `stats`.
#[derive(Debug, clap::Args)]
pub(super) struct StatsArgs {
    /// Only this service
    service: Option<String>,
    /// Only this app, by its number
    #[arg(long, value_name = "ID")]
    app: Option<u64>,
    /// How far to look back
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=87_600))]
    hours: u64,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: StatsArgs) -> anyhow::Result<ExitCode> {
    let step_s = args.hours * 3600 / MARKS;
    let mut path = format!("/v3/stats?what=latest,average,top,range&hours={}&step={step_s}", args.hours);
    if let Some(service) = &args.service {
        path.push_str(&format!("&service={}", client::escaped(service)));
    }
    if let Some(app) = args.app {
        path.push_str(&format!("&app={app}"));
    }
    let reply = client::get(args.client.device(), &path).await?;
    if args.client.json {
        print_answer(&reply)?;
    } else {
        let signs = if is_utf8(|name| std::env::var(name).ok()) { Signs::Blocks } else { Signs::Ascii };
        print(&render::stats(&reply.json()?, args.service.is_some(), signs, paint()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the terminal shows more than ASCII, as far as the environment tells.
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = LOCALE.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_variable_decides() {
        let locale = |pairs: &'static [(&str, &str)]| {
            is_utf8(|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(locale(&[("LANG", "en_GB.UTF-8")]) && locale(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(!locale(&[]) && !locale(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]));
    }
}
