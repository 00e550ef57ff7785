//! `holdfast key`.

use std::process::ExitCode;

use serde_json::json;

use super::ClientArgs;
use super::output::{paint, print, print_answer, print_json};
use super::render;
use crate::api::KeyList;
use crate::client;

/// What can be done with the keys of the local API.
#[derive(Debug, clap::Subcommand)]
pub(super) enum KeyCommand {
    /// Show whose keys there are, what they reach and since when; not the keys themselves.
    List(ListArgs),
    /// Make a new key in the place of one that is there; the old one is invalid at once.
    Rotate(RotateArgs),
}

/// Arguments of `key list`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Show the keys themselves
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Arguments of `key rotate`.
#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// The service whose key it is; without it, the global key
    service: Option<String>,
    /// The number of the service's app, where several apps have such a service
    #[arg(long, value_name = "ID", requires = "service")]
    app: Option<u64>,
    /// Show the new key
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(command: KeyCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeyCommand::List(args) => {
            let path = if args.show { "/v3/keys?show=1" } else { "/v3/keys" };
            let reply = client::get(args.client.device(), path).await?;
            if args.client.json {
                print_answer(&reply)?;
            } else {
                print(&render::keys(&reply.read::<KeyList>()?, paint()))?;
            }
        }
        KeyCommand::Rotate(args) => rotate(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn rotate(args: RotateArgs) -> anyhow::Result<()> {
    let request = json!({ "service": args.service, "app": args.app });
    let reply = client::post(args.client.device(), "/v3/keys/rotate", request.to_string()).await?;
    let mut answer = reply.json()?;
    if !args.show
        && let Some(fields) = answer.as_object_mut()
    {
        fields.remove("key");
    }
    if args.client.json {
        return print_json(&answer);
    }
    let key = answer["key"].as_str().map(|key| format!("{}\n", render::plain(key))).unwrap_or_default();
    let what = match &args.service {
        Some(service) => format!("Service {service} has a new key. Its container is made anew with it, under its update lock."),
        None => "The global key is a new one; the cloud is told.".to_owned(),
    };
    print(&format!("{}\n{key}", render::plain(&what)))
}
