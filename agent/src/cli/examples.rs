//! Examples below each command's help, in one place: the manual page prints them too, and a test runs every line through the
//! parser, so none can name what does not exist.

use clap::Command;

/// Lines of one command, each with what it is good for.
type Lines = &'static [(&'static str, &'static str)];

/// For each command without its `holdfast`; one that a build does not have is passed over.
const EXAMPLES: &[(&str, Lines)] = &[
    (
        "",
        &[
            ("holdfast status", "what runs, what is wanted, what is waited for and why"),
            ("holdfast plan", "what would be done next, to the end"),
            ("holdfast status --host ssh://root@192.168.1.7", "the same of another device"),
        ],
    ),
    ("run", &[("holdfast run", "as the unit does it"), ("RUST_LOG=debug holdfast run --engine unix:///run/docker.sock", "")]),
    ("demo", &[("holdfast demo --engine sim --exit", "on the built-in engine, then end")]),
    ("simulate", &[("holdfast simulate --seed 7", "the same number is the same run")]),
    (
        "status",
        &[
            ("holdfast status --watch", "on and on, with downloads as bars"),
            ("holdfast status --host ssh://root@till-1 --host ssh://root@till-2", "several devices in one table"),
            ("holdfast status --json | jq -r .phase.name", ""),
        ],
    ),
    (
        "stats",
        &[("holdfast stats", "the last day, all services"), ("holdfast stats main --hours 168", "one service over a week")],
    ),
    (
        "plan",
        &[
            ("holdfast plan", "to the stored target"),
            ("holdfast target show | holdfast plan -", "to the target on standard input"),
        ],
    ),
    (
        "update",
        &[
            ("holdfast update", "look at the cloud now"),
            ("holdfast update --wait", "and stay until the device has what the cloud asks for"),
            ("holdfast update --force", "and break the locks that hold it up"),
        ],
    ),
    ("target show", &[("holdfast target show > target.json", "the document alone; where it is from stands on stderr")]),
    ("target history", &[("holdfast target history", "")]),
    (
        "target set",
        &[
            ("holdfast target set target.json", "in local mode or without a cloud"),
            ("holdfast target set - --host ssh://root@till-1", "from standard input, to another device"),
        ],
    ),
    ("service list", &[("holdfast service list", "")]),
    ("service start", &[("holdfast service start main", "")]),
    ("service stop", &[("holdfast service stop main --app 5", "where the device has several apps")]),
    (
        "service restart",
        &[("holdfast service restart main", ""), ("holdfast service restart main --force", "and break its update lock")],
    ),
    ("app restart", &[("holdfast app restart", "")]),
    ("app purge", &[("holdfast app purge --app 5", "what its volumes hold is gone then")]),
    ("lock list", &[("holdfast lock list", "")]),
    ("key list", &[("holdfast key list", ""), ("holdfast key list --show", "with the keys themselves")]),
    (
        "key rotate",
        &[("holdfast key rotate --show", "a new global key, and print it"), ("holdfast key rotate main", "a service's")],
    ),
    (
        "logs",
        &[
            ("holdfast logs main --follow", "from the last 100 lines on"),
            ("holdfast logs --since 2026-01-31T12:00:00Z --lines all", "all services since then"),
            ("holdfast logs --host ssh://root@till-1", "of another device"),
        ],
    ),
    ("host-config get", &[("holdfast host-config get --json", "")]),
    (
        "host-config set",
        &[
            ("holdfast host-config set --hostname shed-7", ""),
            ("holdfast host-config set --proxy socks5://10.0.0.1:1080 --no-proxy 10.0.0.0/8", ""),
            ("holdfast host-config set --remove-proxy", ""),
        ],
    ),
    ("volume list", &[("holdfast volume list", "")]),
    (
        "volume backup",
        &[
            ("holdfast volume backup 5_data", "into a file of this folder, named after the volume and the time"),
            ("holdfast volume backup data /media/stick/data.tar.gz --live", "without stopping its services"),
            ("holdfast volume backup data --host ssh://root@till-1", "onto this machine"),
        ],
    ),
    ("volume restore", &[("holdfast volume restore 5_data 5_data-20260102T030405Z.tar.gz", "")]),
    ("data move", &[("holdfast data move /data /mnt/volume/holdfast", "while no agent runs")]),
    (
        "db check",
        &[("holdfast db check", ""), ("holdfast db check --database /mnt/sd/database.sqlite", "a file of another device")],
    ),
    ("db backup", &[("holdfast db backup", "")]),
    ("db list", &[("holdfast db list", "")]),
    ("db restore", &[("holdfast db restore database-000012-20260102T030405Z-v3.sqlite", "a name that list shows, or a path")]),
    ("db vacuum", &[("holdfast db vacuum", "")]),
    ("db checkpoint", &[("holdfast db checkpoint", "")]),
    ("db migrate", &[("holdfast db migrate", ""), ("holdfast db migrate --to 2", "back, before an older agent is put in")]),
    ("db import", &[("holdfast db import /mnt/data/resin-data/balena-supervisor/database.sqlite", "while no agent runs")]),
    (
        "diagnose",
        &[
            ("holdfast diagnose", "what is wrong and what to do about it; the worst stands last"),
            ("holdfast diagnose --bundle support.tar.gz", "one file for support, without secrets"),
            ("holdfast diagnose --fix prune-images", "a remedy, asked for by its name"),
            ("holdfast diagnose --host ssh://root@till-1", "the checks of another device"),
        ],
    ),
    ("healthy", &[("holdfast healthy || echo unwell", "")]),
    (
        "self-update",
        &[
            ("holdfast self-update ./holdfast --sha256 HEX --signature holdfast.sig", "from a file"),
            ("holdfast self-update https://example.com/holdfast --signature holdfast.sig", ""),
            ("holdfast self-update --show", "which version runs, and what became of the last attempt"),
        ],
    ),
    ("launch", &[("holdfast launch", "as the unit does it"), ("holdfast launch --data-dir /data", "with arguments of run")]),
    ("version", &[("holdfast version --json", "")]),
    ("completions", &[("holdfast completions bash > /usr/share/bash-completion/completions/holdfast", "")]),
    ("man", &[("holdfast man > /usr/share/man/man1/holdfast.1", "")]),
];

/// Hangs every command's examples below its help.
pub(super) fn added_to(command: Command) -> Command {
    hang(command, "")
}

fn hang(mut command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let below = format!("{path} {name}");
        command = command.mut_subcommand(name, |sub| hang(sub, below.trim_start()));
    }
    let lines = of(path);
    if lines.is_empty() {
        return command;
    }
    let mut text = String::from("Examples:");
    for (line, what) in lines {
        text.push_str("\n  ");
        text.push_str(line);
        if !what.is_empty() {
            text.push_str("\n      ");
            text.push_str(what);
        }
    }
    // What stands there already speaks of all commands and comes last.
    if let Some(last) = command.get_after_help() {
        text.push_str(&format!("\n\n{last}"));
    }
    command.after_help(text)
}

/// The examples of one command.
pub(super) fn of(path: &str) -> Lines {
    EXAMPLES.iter().find(|(command, _)| *command == path).map_or(&[], |(_, lines)| lines)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    #[cfg(feature = "sandbox")]
    #[test]
    fn every_command_has_examples_and_every_example_a_command() {
        fn walk(command: &Command, path: &str, found: &mut Vec<String>) {
            let shown = || command.get_subcommands().filter(|sub| !sub.is_hide_set());
            if shown().next().is_none() {
                assert!(!of(path).is_empty(), "{path} has no example");
            }
            found.push(path.to_owned());
            shown().for_each(|sub| walk(sub, format!("{path} {}", sub.get_name()).trim_start(), found));
        }
        let mut found = Vec::new();
        walk(&Cli::command(), "", &mut found);
        for (path, _) in EXAMPLES {
            assert!(found.iter().any(|known| known == path), "there is no command {path:?}");
        }
    }

    #[cfg(feature = "sandbox")]
    #[test]
    fn every_example_parses() {
        for (path, line) in EXAMPLES.iter().flat_map(|(path, lines)| lines.iter().map(move |(line, _)| (path, line))) {
            // Each holdfast of the line, up to where the shell takes over.
            let words: Vec<&str> = line.split(' ').collect();
            let starts = words.iter().enumerate().filter(|(_, word)| **word == "holdfast").map(|(at, _)| at);
            for start in starts {
                let arguments = words[start..].iter().take_while(|word| !["|", "||", ">"].contains(word));
                let parsed = Cli::command().try_get_matches_from(arguments);
                assert!(parsed.is_ok(), "{path}: {line}: {}", parsed.unwrap_err());
            }
            assert!(line.contains(&format!("holdfast {path}")) || path.is_empty(), "{path}: {line}");
        }
    }

    #[test]
    fn they_stand_below_the_help() {
        let mut command = added_to(Cli::command());
        let whole = command.render_help().to_string();
        assert!(whole.contains("Examples:\n  holdfast status\n") && whole.contains("Exit codes: 0 done"), "{whole}");
        let lock = command.find_subcommand_mut("lock").unwrap().find_subcommand_mut("list").unwrap().render_help().to_string();
        assert!(lock.ends_with("Examples:\n  holdfast lock list\n"), "{lock}");
    }
}
