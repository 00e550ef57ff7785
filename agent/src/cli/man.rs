//! `holdfast man`: the manual page, made from the commands themselves so that it cannot fall behind them.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Arg, Command, CommandFactory};

use super::examples;
use super::output::print;
use crate::version::AGENT_VERSION;

/// What belongs to no single command, in the manual's notation.
const REST: &str = include_str!("man.rest.roff");

pub(super) fn run() -> anyhow::Result<ExitCode> {
    let mut command = super::Cli::command();
    command.build();
    print(&page(&command))?;
    Ok(ExitCode::SUCCESS)
}

/// The whole page: every command with its arguments, then what all have in common.
fn page(command: &Command) -> String {
    let mut page = format!(".TH HOLDFAST 1 \"\" \"holdfast {AGENT_VERSION}\" \"holdfast\"\n.SH NAME\n");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "holdfast \\- {}\n.SH SYNOPSIS\n", escaped(about.trim_end_matches('.')));
    let _ = write!(page, "\\fBholdfast\\fR \\fICOMMAND\\fR [\\fIARGUMENT\\fR ...]\n.SH COMMANDS\n");
    for sub in shown(command) {
        section(&mut page, "holdfast", sub);
    }
    page.push_str(REST);
    page
}

/// One command, and those below it in its place when it is only a group.
fn section(page: &mut String, parent: &str, command: &Command) {
    let name = format!("{parent} {}", command.get_name());
    if shown(command).next().is_some() {
        return shown(command).for_each(|sub| section(page, &name, sub));
    }
    let positionals = command.get_positionals().map(|arg| match (value_name(arg), arg.is_required_set()) {
        (value, true) => format!(" \\fI{value}\\fR"),
        (value, false) => format!(" [\\fI{value}\\fR]"),
    });
    let _ = writeln!(page, ".SS \"{}{}\"", escaped(&name), positionals.collect::<String>());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(page, "{}", escaped(&about));
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_id() != "help") {
        let _ = writeln!(page, ".TP\n{}\n{}", label(arg), escaped(&arg.get_help().map(ToString::to_string).unwrap_or_default()));
    }
    for (line, what) in examples::of(name.trim_start_matches("holdfast ")) {
        // As it is typed, set apart, and followed by what it is good for.
        let _ = writeln!(page, ".PP\n.RS 4\n.nf\n{}\n.fi\n.RE", escaped(line));
        if !what.is_empty() {
            let _ = writeln!(page, ".RS 8\n{}\n.RE", escaped(what));
        }
    }
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

fn label(arg: &Arg) -> String {
    let Some(long) = arg.get_long() else { return format!("\\fI{}\\fR", value_name(arg)) };
    let value = if arg.get_action().takes_values() { format!(" \\fI{}\\fR", value_name(arg)) } else { String::new() };
    format!("\\fB{}\\fR{value}", escaped(&format!("--{long}")))
}

fn value_name(arg: &Arg) -> String {
    arg.get_value_names()
        .map_or_else(|| arg.get_id().to_string(), |names| names.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(" "))
}

/// Text that troff takes literally: no escapes, no requests at the beginning of a line, hyphens that can be copied.
fn escaped(text: &str) -> String {
    let plain = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = plain.lines().map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_every_flag_is_in_it() {
        let mut command = super::super::Cli::command();
        command.build();
        let page = page(&command);
        fn walk(command: &Command, page: &str) {
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                if let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) {
                    assert!(page.contains(&escaped(&format!("--{long}"))), "{} --{long}", command.get_name());
                }
            }
            shown(command).for_each(|sub| walk(sub, page));
        }
        walk(&command, &page);
        for name in
            ["run", "lock list", "target show", "target set", "plan", "service stop", "app purge", "key rotate", "self-update"]
        {
            assert!(page.contains(&escaped(&format!(".SS \"holdfast {name}"))[2..]), "{name}");
        }
        assert!(!page.contains("dial") && !page.contains("helper"), "what is hidden");
        assert!(page.contains(&escaped("holdfast host-config set --hostname shed-7")), "examples");
        assert!(page.contains(".SH FILES") && page.contains(".SH \"EXIT STATUS\""));
    }

    #[test]
    fn text_cannot_become_a_request() {
        assert_eq!(escaped(".so /etc/passwd\n'x \\n --all"), "\\&.so /etc/passwd\n\\&'x \\en \\-\\-all");
    }
}
