//! The command line: one file per verb. Verbs of the agent run it, the others ask it through `client` and print what it
//! says; what they print is made by pure functions in `render`.

mod act;
mod arguments;
#[cfg(feature = "sandbox")]
mod completions;
mod data;
mod db;
mod db_import;
#[cfg(feature = "sandbox")]
mod demo;
mod diagnose;
mod dial_stdio;
mod examples;
mod exit;
mod healthy;
mod host_config;
mod key;
mod launch;
mod lock;
mod logs;
#[cfg(feature = "sandbox")]
mod man;
mod output;
mod plan;
mod render;
mod run;
mod self_update;
#[cfg(feature = "sandbox")]
mod simulate;
mod stats;
mod status;
mod target;
mod update;
mod version;
mod volume;

use std::ffi::OsString;
use std::future::ready;
use std::pin::Pin;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use arguments::ClientArgs;

/// Keeps this device's containers at the release the cloud asks for.
#[derive(Debug, Parser)]
#[command(
    name = "holdfast",
    version,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 agent not reachable; 4 refused by an update lock."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent in the foreground, logging to stderr.
    Run(Box<run::RunArgs>),
    /// Show the whole main job on this machine with nothing set up: install, a held update, its release.
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoArgs),
    /// Play one run of the simulation, step by step.
    #[cfg(feature = "sandbox")]
    Simulate(simulate::SimulateArgs),
    /// Show what the device runs, what is being done, and what is waited for.
    Status(status::StatusArgs),
    /// Show what the machine and its services use, now and over time.
    Stats(stats::StatsArgs),
    /// Show the steps to the stored target or to that of a file; nothing is changed.
    Plan(plan::PlanArgs),
    /// Look at the cloud now.
    Update(update::UpdateArgs),
    /// The stored target.
    #[command(subcommand)]
    Target(target::TargetCommand),
    /// One service of an app.
    #[command(subcommand)]
    Service(act::ServiceCommand),
    /// All services of an app, and its volumes.
    #[command(subcommand)]
    App(act::AppCommand),
    /// Update locks.
    #[command(subcommand)]
    Lock(lock::LockCommand),
    /// Keys of the local API over TCP.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Show what services write.
    Logs(logs::LogsArgs),
    /// The device's name and proxy.
    #[command(subcommand)]
    HostConfig(host_config::HostConfigCommand),
    /// The volumes of apps: what there is, and copies of them.
    #[command(subcommand)]
    Volume(volume::VolumeCommand),
    /// The agent's own data directory.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// The database: checks, copies, what was set aside.
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Check the device, its agent, engine and network: what is wrong and what to do about it, with or without an agent.
    Diagnose(Box<diagnose::DiagnoseArgs>),
    /// Exit with 0 when the agent answers and is healthy, for container health checks.
    Healthy(healthy::HealthyArgs),
    /// Replace the agent itself, with a way back: the new version has to prove itself.
    SelfUpdate(Box<self_update::SelfUpdateArgs>),
    /// Start the version of the agent that is to run: what a service manager starts.
    Launch(launch::LaunchArgs),
    /// Carry what a command line on another machine says to the agent.
    #[command(hide = true)]
    DialStdio(dial_stdio::DialArgs),
    /// Print the agent's version.
    Version(version::VersionArgs),
    /// Print a shell's completion script.
    #[cfg(feature = "sandbox")]
    Completions(completions::CompletionsArgs),
    /// Print the manual page.
    #[cfg(feature = "sandbox")]
    Man,
}

/// Runs the command that the arguments name and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = examples::added_to(Cli::command()).try_get_matches_from(arguments);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(usage) => return exit::usage(&usage),
    };
    // It turns into another program: nothing of this one is to be under way.
    if let Command::Launch(args) = cli.command {
        return exit::code(launch::run(args));
    }
    // One thread: the agent waits, it does not compute.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return exit::code(Err(anyhow::Error::new(cause).context("the runtime could not be started"))),
    };
    let outcome = runtime.block_on(async { execute(cli.command).await });
    // What still runs aside (a look into a hung file system, for example) must not hold up the end.
    runtime.shutdown_background();
    exit::code(outcome)
}

/// What a command does. Boxed one by one: in one future for all, the code of every command would lie around that of the agent.
fn execute(command: Command) -> Pin<Box<dyn Future<Output = anyhow::Result<ExitCode>>>> {
    match command {
        Command::Run(args) => Box::pin(run::run(*args)),
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => Box::pin(demo::run(args)),
        #[cfg(feature = "sandbox")]
        Command::Simulate(args) => Box::pin(simulate::run(args)),
        Command::Status(args) => Box::pin(status::run(args)),
        Command::Stats(args) => Box::pin(stats::run(args)),
        Command::Plan(args) => Box::pin(plan::run(args)),
        Command::Update(args) => Box::pin(update::run(args)),
        Command::Target(command) => Box::pin(target::run(command)),
        Command::Service(command) => Box::pin(act::service(command)),
        Command::App(command) => Box::pin(act::app(command)),
        Command::Lock(command) => Box::pin(lock::run(command)),
        Command::Key(command) => Box::pin(key::run(command)),
        Command::Logs(args) => Box::pin(logs::run(args)),
        Command::HostConfig(command) => Box::pin(host_config::run(command)),
        Command::Volume(command) => Box::pin(volume::run(command)),
        Command::Data(command) => Box::pin(ready(data::run(command))),
        Command::Db(command) => Box::pin(db::run(command)),
        Command::Diagnose(args) => Box::pin(diagnose::run(*args)),
        Command::Healthy(args) => Box::pin(healthy::run(args)),
        Command::SelfUpdate(args) => Box::pin(self_update::run(*args)),
        Command::Launch(args) => Box::pin(ready(launch::run(args))),
        Command::DialStdio(args) => Box::pin(ready(dial_stdio::run(args))),
        Command::Version(args) => Box::pin(ready(version::run(args))),
        #[cfg(feature = "sandbox")]
        Command::Completions(args) => Box::pin(ready(completions::run(args))),
        #[cfg(feature = "sandbox")]
        Command::Man => Box::pin(ready(man::run())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_interface_parses() {
        for line in [
            "run",
            "run --socket /tmp/s --poll-interval 1m --engine sim:",
            #[cfg(feature = "sandbox")]
            "demo --engine sim --exit --json",
            #[cfg(feature = "sandbox")]
            "simulate --seed 7",
            "status",
            "status --watch --json --socket /tmp/s",
            "stats",
            "stats main --hours 48 --app 5 --json",
            "status --host ssh://root@a --host ssh://b:2222",
            "update --host ssh://root@[::1]:22 --socket /tmp/s",
            "dial-stdio --socket /tmp/s",
            "plan",
            "plan target.json --json",
            "plan -",
            "update --force --cancel",
            "target show",
            "target history",
            "target history --database /data/database.sqlite --json",
            "target set target.json --json",
            "service list --app 5 --json",
            "service start main",
            "service stop main --app 5 --force",
            "service restart main --json",
            "app restart --force",
            "app purge --app 5 --force --json",
            "lock list --json",
            "key list --show --json",
            "key rotate",
            "key rotate main --app 5 --show",
            "logs",
            "logs main --follow --lines 50 --json",
            "logs main -f -n all --app shop --since 2026-01-31T12:00:00Z",
            "host-config get --json",
            "host-config set --hostname shed-7 --proxy socks5://10.0.0.1:1080 --no-proxy 10.0.0.0/8",
            "host-config set --remove-proxy --force",
            "db import /mnt/data/resin-data/balena-supervisor/database.sqlite --replace --json",
            "db check --data-dir /d --database /d/x.sqlite --json",
            "db backup",
            "db list",
            "db restore database-000001-20260102T030405Z-v1.sqlite",
            "db vacuum",
            "db checkpoint",
            "db migrate",
            "db migrate --to 1",
            "healthy",
            "diagnose",
            "diagnose --json --bundle support.tar.gz --with-environment --host-root /mnt/root",
            "diagnose --host ssh://a --socket /tmp/s --json",
            "diagnose --fix restore-database --fix prune-images --fix stale-locks",
            "volume list --json",
            "volume backup data",
            "volume backup 5_data data.tar.gz --live",
            "volume backup 5_data --force",
            "volume restore 5_data data.tar.gz --force",
            "data move /data /mnt/volume",
            "self-update /tmp/holdfast --sha256 00 --signature /tmp/sig --offline",
            "self-update https://example.com/holdfast --json",
            "self-update --image registry.example.com/holdfast:2",
            "self-update --check",
            "self-update --show",
            "self-update --helper",
            "launch",
            "launch --data-dir /d --unknown",
            "version --json",
            #[cfg(feature = "sandbox")]
            "completions bash",
            #[cfg(feature = "sandbox")]
            "man",
        ] {
            let arguments = std::iter::once("holdfast").chain(line.split(' '));
            assert!(Cli::try_parse_from(arguments).is_ok(), "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_exit_code_2() {
        for line in [
            vec!["holdfast"],
            vec!["holdfast", "fly"],
            vec!["holdfast", "status", "--sockets"],
            vec!["holdfast", "diagnose", "--host", "ssh://a", "--bundle", "x"],
            vec!["holdfast", "diagnose", "--host", "ssh://a", "--fix", "stale-locks"],
            vec!["holdfast", "diagnose", "--host", "ssh://a", "--data-dir", "/d"],
            vec!["holdfast", "self-update", "file", "--host", "ssh://a"],
            vec!["holdfast", "self-update", "http://a/b", "--host", "ssh://a", "--data-dir", "/d"],
            vec!["holdfast", "update", "--host", "ssh://-oProxyCommand=x"],
        ] {
            let arguments = line.into_iter().map(OsString::from);
            assert_eq!(format!("{:?}", main(arguments)), format!("{:?}", ExitCode::from(2)));
        }
    }
}
