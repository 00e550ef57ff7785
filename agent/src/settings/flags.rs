//! The flags that name settings; the command line flattens them into the verbs that need them.

/// Settings as given on the command line, unchecked. Every flag has an environment variable or a default behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Flags {
    /// config.json, taken as it is [env: HOLDFAST_CONFIG] [default: <host-root>/mnt/boot/config.json]
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Data directory [env: HOLDFAST_DATA_DIR] [default: /data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// Database [env: DATABASE_PATH] [default: <data-dir>/database.sqlite]
    #[arg(long, value_name = "FILE")]
    pub database: Option<String>,
    /// Engine, unix:///path or sim: [env: DOCKER_HOST] [default: the first usual one that answers]
    #[arg(long, value_name = "ADDRESS")]
    pub engine: Option<String>,
    /// Socket of the local API [env: HOLDFAST_SOCKET] [default: /run/holdfast/holdfast.sock]
    #[arg(long, value_name = "FILE")]
    pub socket: Option<String>,
    /// Address of the local API over TCP [env: HOLDFAST_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Root of the update locks on the host [env: HOLDFAST_LOCK_DIR] [default: /tmp/balena-supervisor/services]
    #[arg(long, value_name = "FOLDER")]
    pub lock_dir: Option<String>,
    /// How long volumes of a removed app are kept, 0 removes at once [env: HOLDFAST_VOLUME_GRACE] [default: 7d]
    #[arg(long, value_name = "DURATION")]
    pub volume_grace: Option<String>,
    /// The host's root directory [env: HOLDFAST_HOST_ROOT] [default: /]
    #[arg(long, value_name = "FOLDER")]
    pub host_root: Option<String>,
    /// Time between polls [env: HOLDFAST_POLL_INTERVAL] [default: 15m]
    #[arg(long, value_name = "DURATION")]
    pub poll_interval: Option<String>,
    /// Upper bound of the random time added to it [env: HOLDFAST_POLL_JITTER] [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub poll_jitter: Option<String>,
    /// Least time between reports [env: HOLDFAST_REPORT_INTERVAL] [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub report_interval: Option<String>,
    /// Time between backups of the database, 0 makes none on a schedule [env: HOLDFAST_BACKUP_INTERVAL] [default: 1d]
    #[arg(long, value_name = "DURATION")]
    pub backup_interval: Option<String>,
    /// How many backups are kept [env: HOLDFAST_BACKUP_KEEP] [default: 7]
    #[arg(long, value_name = "NUMBER")]
    pub backup_keep: Option<String>,
    /// How long backups are kept [env: HOLDFAST_BACKUP_AGE] [default: 30d]
    #[arg(long, value_name = "DURATION")]
    pub backup_age: Option<String>,
    /// Public key that updates of the agent are signed with [env: HOLDFAST_UPDATE_KEY] [default: /etc/holdfast/update.pub]
    #[arg(long, value_name = "FILE")]
    pub update_key: Option<String>,
    /// How long a new version of the agent has to prove itself [env: HOLDFAST_UPDATE_DEADLINE] [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub update_deadline: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn every_flag_of_the_table_is_there() {
        let names = [
            "config",
            "data-dir",
            "database",
            "engine",
            "socket",
            "listen",
            "lock-dir",
            "volume-grace",
            "host-root",
            "poll-interval",
            "poll-jitter",
            "report-interval",
            "backup-interval",
            "backup-keep",
            "backup-age",
            "update-key",
            "update-deadline",
        ];
        let line = names.iter().fold(vec!["holdfast".to_owned()], |mut line, name| {
            line.extend([format!("--{name}"), format!("<{name}>")]);
            line
        });
        let flags = Line::try_parse_from(line).map(|line| line.flags).unwrap();
        let shown = format!("{flags:?}");
        for name in names {
            assert!(shown.contains(&format!("Some(\"<{name}>\")")), "{name}: {shown}");
        }
        assert_eq!(Line::try_parse_from(["holdfast"]).map(|line| line.flags).unwrap(), Flags::default());
    }
}
