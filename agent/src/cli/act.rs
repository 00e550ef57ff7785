//! `holdfast service` and `holdfast app`: what can be done to one app while somebody waits for it.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use serde_json::{Value, json};

use super::ClientArgs;
use super::output::{paint, print, print_json};
use super::render;
use crate::client::{self, ClientError};

/// What can be done with services.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ServiceCommand {
    /// Show every service with its state.
    List(ListArgs),
    /// Start a service; no update lock is asked.
    Start(ServiceArgs),
    /// Stop a service and keep it stopped until it is started or its release changes.
    Stop(ServiceArgs),
    /// Make a service's container anew.
    Restart(ServiceArgs),
}

/// What can be done with apps.
#[derive(Debug, clap::Subcommand)]
pub(super) enum AppCommand {
    /// Make the containers of all services anew; volumes and images stay.
    Restart(AppArgs),
    /// Delete the content of the app's volumes for good and make its containers anew.
    Purge(AppArgs),
}

/// Arguments of `service list`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only this app
    #[arg(long, value_name = "ID")]
    app: Option<u64>,
    #[command(flatten)]
    client: ClientArgs,
}

/// Arguments of what is done with a service.
#[derive(Debug, clap::Args)]
pub(super) struct ServiceArgs {
    /// The service
    name: String,
    #[command(flatten)]
    app: AppArgs,
}

/// Arguments of what is done with an app.
#[derive(Debug, clap::Args)]
pub(super) struct AppArgs {
    /// The app's id, where the device has several
    #[arg(long, value_name = "ID")]
    app: Option<u64>,
    /// Break the update locks that applications hold
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn service(command: ServiceCommand) -> anyhow::Result<ExitCode> {
    let (word, args) = match command {
        ServiceCommand::List(args) => return list(args).await,
        ServiceCommand::Start(args) => ("start", args),
        ServiceCommand::Stop(args) => ("stop", args),
        ServiceCommand::Restart(args) => ("restart", args),
    };
    act(word, Some(args.name), args.app).await
}

pub(super) async fn app(command: AppCommand) -> anyhow::Result<ExitCode> {
    match command {
        AppCommand::Restart(args) => act("restart", None, args).await,
        AppCommand::Purge(args) => act("purge", None, args).await,
    }
}

async fn act(word: &str, service: Option<String>, args: AppArgs) -> anyhow::Result<ExitCode> {
    let device = args.client.device();
    let status = client::get(&device, "/v3/status").await?.json()?;
    let (id, name) = chosen(&status, args.app, service.as_deref())?;
    let path = match service {
        Some(_) => format!("/v2/applications/{id}/{word}-service"),
        None => format!("/v2/applications/{id}/{word}"),
    };
    let request = json!({ "serviceName": service, "force": args.force, "operator": true });
    client::post_patiently(&device, &path, request.to_string()).await.map_err(with_advice)?;
    if args.client.json {
        print_json(&json!({ "status": "done", "app": id, "service": service }))?;
    } else {
        let what = service.map_or_else(|| name.clone(), |service| format!("{name}/{service}"));
        print(&format!("{}: {word} done.\n", render::plain(&what)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a person can do about a lock.
fn with_advice(error: ClientError) -> ClientError {
    match error {
        ClientError::Refused { status: 423, message } => {
            let advice = "the application asks not to be interrupted. Wait until it lets go \
                          (holdfast lock list shows who holds what), or break the lock with --force";
            ClientError::Refused { status: 423, message: format!("{message}: {advice}") }
        }
        other => other,
    }
}

fn apps(status: &Value) -> &[Value] {
    status["apps"].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

fn services(app: &Value) -> &[Value] {
    app["services"].as_array().map_or(&[], Vec::as_slice)
}

/// The app that is meant: by its id, the only one, or the only one with such a service.
fn chosen(status: &Value, id: Option<u64>, service: Option<&str>) -> anyhow::Result<(u64, String)> {
    let has = |app: &&Value| service.is_none_or(|name| services(app).iter().any(|row| text(row, "name") == name));
    let is_it = |app: &&Value| id.is_none_or(|id| app["id"].as_u64() == Some(id));
    let of_id: Vec<&Value> = apps(status).iter().filter(is_it).collect();
    ensure!(!of_id.is_empty(), "there is no such app on this device{}", listed(apps(status).iter()));
    let meant: Vec<&Value> = of_id.iter().copied().filter(has).collect();
    match meant.as_slice() {
        [one] => Ok((one["id"].as_u64().unwrap_or_default(), text(one, "name").to_owned())),
        [] => {
            let names = of_id.iter().flat_map(|app| services(app)).map(|row| text(row, "name"));
            let names: Vec<&str> = names.collect();
            bail!("there is no service {}; there is: {}", service.unwrap_or_default(), names.join(", "))
        }
        several => bail!("say with --app which app is meant{}", listed(several.iter().copied())),
    }
}

fn listed<'a>(apps: impl Iterator<Item = &'a Value>) -> String {
    let names: Vec<String> = apps.map(|app| format!("{} ({})", app["id"], text(app, "name"))).collect();
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let status = client::get(args.client.device(), "/v3/status").await?.json()?;
    let wanted = |app: &&Value| args.app.is_none_or(|id| app["id"].as_u64() == Some(id));
    let apps: Vec<&Value> = apps(&status).iter().filter(wanted).collect();
    if args.client.json {
        print_json(&json!({ "apps": apps }))?;
    } else {
        print(&render::services(&apps, paint()))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_is_told_by_what_is_said() {
        let app = |id: u64, names: &[&str]| {
            let rows: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            json!({ "id": id, "name": format!("app{id}"), "services": rows })
        };
        let status = json!({ "apps": [app(1, &["main", "db"]), app(2, &["main"])] });
        assert_eq!(chosen(&status, None, Some("db")).unwrap(), (1, "app1".into()));
        assert_eq!(chosen(&status, Some(2), Some("main")).unwrap().0, 2);
        for (id, service, words) in [
            (None, Some("main"), "--app"),
            (None, None, "1 (app1), 2 (app2)"),
            (Some(2), Some("db"), "there is: main"),
            (Some(7), None, "no such app"),
        ] {
            let error = chosen(&status, id, service).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_lock_comes_with_advice() {
        let refused = |status| with_advice(ClientError::Refused { status, message: "m".into() }).to_string();
        assert!(refused(423).contains("--force") && refused(423).starts_with("m: "));
        assert_eq!(refused(503), "m");
    }
}
