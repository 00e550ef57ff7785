//! `holdfast completions`: for the machine that puts an image together; a device gets the files.

use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::output::print;
use crate::version::AGENT_VERSION;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

pub(super) fn run(args: CompletionsArgs) -> anyhow::Result<ExitCode> {
    print(&script(args.shell))?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(&super::Cli::command()).version(AGENT_VERSION), "holdfast", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The command without what its help hides: a script offers all there is.
fn shown(command: &Command) -> Command {
    // A name has to last; the program ends soon.
    let name: &'static str = command.get_name().to_owned().leak();
    let copy = Command::new(name)
        .disable_help_subcommand(true)
        .args(command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(shown));
    match command.get_about() {
        Some(about) => copy.about(about.clone()),
        None => copy,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn scripts_offer_what_the_help_shows() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for word in ["self-update", "diagnose", "launch", "purge", "rotate", "with-environment"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
            for word in ["dial-stdio", "helper"] {
                assert!(!script.contains(word), "{shell}: {word}");
            }
        }
    }
}
