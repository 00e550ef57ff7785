//! The table of settings: defaults, precedence, and what a bad value does.

use std::collections::BTreeMap;
use std::fs;

use super::*;

fn load(flags: &Flags, env: &[(&str, &str)]) -> Result<(Settings, Vec<SettingFault>), SettingsError> {
    let env: BTreeMap<String, String> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::load(flags, |name| env.get(name).cloned())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// An empty host root with its own data directory, so that nothing of this machine is read.
fn device(config: Option<&str>) -> (tempfile::TempDir, Flags) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap().to_owned();
    if let Some(text) = config {
        fs::create_dir_all(folder.path().join("mnt/boot")).unwrap();
        fs::write(folder.path().join("mnt/boot/config.json"), text).unwrap();
    }
    let flags = Flags { data_dir: Some(format!("{root}/data")), host_root: Some(root), ..Flags::default() };
    (folder, flags)
}

#[test]
fn defaults() {
    let (folder, flags) = device(None);
    let (settings, faults) = load(&flags, &[]).unwrap();
    assert_eq!(faults, []);
    let expected = Settings {
        config: folder.path().join("mnt/boot/config.json"),
        data_dir: folder.path().join("data"),
        database: folder.path().join("data/database.sqlite"),
        host_root: folder.path().to_owned(),
        system_bus: format!("unix:path={}/run/dbus/system_bus_socket", folder.path().display()),
        ..Settings::default()
    };
    assert_eq!(settings, expected);
    let (settings, _) = load(&Flags { host_root: None, ..flags }, &[]).unwrap();
    assert_eq!(settings.system_bus, Settings::default().system_bus);
    assert_eq!(settings.config, Settings::default().config);
}

#[test]
fn flag_before_environment_before_config_json_before_default() {
    let (_folder, flags) = device(Some(r#"{"appUpdatePollInterval": 120000}"#));
    let env = [("HOLDFAST_POLL_INTERVAL", "3m"), ("HOLDFAST_POLL_JITTER", ""), ("HOLDFAST_VOLUME_GRACE", "0")];
    let flagged = Flags { poll_interval: some("4m"), ..flags.clone() };
    for (flags, env, minutes, origin) in [
        (&flagged, &env[..], 4, Origin::Flag("--poll-interval")),
        (&flags, &env[..], 3, Origin::Environment("HOLDFAST_POLL_INTERVAL")),
        (&flags, &[], 2, Origin::ConfigJson("appUpdatePollInterval")),
    ] {
        let (settings, faults) = load(flags, env).unwrap();
        assert_eq!((settings.poll_interval, settings.poll_interval_origin), (Duration::from_secs(minutes * 60), origin));
        assert_eq!(faults, []);
        assert_eq!(settings.poll_jitter, Duration::from_secs(60));
        assert_eq!(settings.volume_grace.is_zero(), !env.is_empty());
        // The cloud's device variable stands between the environment and config.json.
        let (interval, fault) = settings.poll_interval_under(Some("300000"));
        assert_eq!((interval.as_secs(), fault), (if minutes > 2 { minutes * 60 } else { 300 }, None));
    }
}

#[test]
fn a_bad_device_variable_is_ignored_and_said() {
    let settings = Settings::default();
    assert_eq!(settings.poll_interval_under(None), (settings.poll_interval, None));
    let (interval, fault) = settings.poll_interval_under(Some("soon"));
    assert_eq!(interval, settings.poll_interval);
    let text = fault.unwrap().to_string();
    assert!(text.starts_with("device variable SUPERVISOR_POLL_INTERVAL: \"soon\" is not valid"), "{text}");
}

#[test]
fn paths_that_are_given_are_taken_as_they_are() {
    let (_folder, flags) = device(None);
    let flags = Flags { config: some("/etc/holdfast/config.json"), lock_dir: some("/run/locks"), ..flags };
    let env = [("HOLDFAST_CONFIG", "/else"), ("DATABASE_PATH", "/srv/db.sqlite"), ("DOCKER_HOST", "unix:///run/e.sock")];
    let more = [("LOG_RETENTION_DAYS", "30"), ("STATS_RETENTION_DAYS", "7"), ("HOLDFAST_STATS_INTERVAL", "0")];
    let env: Vec<_> = env.into_iter().chain(more).collect();
    let (settings, _) = load(&flags, &env).unwrap();
    assert_eq!(settings.event_retention, 30 * DAY);
    assert_eq!((settings.stats_retention, settings.stats_interval), (7 * DAY, Duration::ZERO));
    assert_eq!(settings.config, Path::new("/etc/holdfast/config.json"));
    assert_eq!(settings.lock_dir, Path::new("/run/locks"));
    assert_eq!(settings.database, Path::new("/srv/db.sqlite"));
    assert_eq!(settings.engine.as_deref(), Some("unix:///run/e.sock"));
}

#[test]
fn bad_flags_and_variables_end_the_start_with_their_name() {
    let flags = |change: fn(&mut Flags)| {
        let mut flags = device(None).1;
        change(&mut flags);
        flags
    };
    for (flags, env, begin) in [
        (flags(|f| f.data_dir = some("data")), None, "flag --data-dir: \"data\" is not valid: expected an absolute path"),
        (flags(|f| f.poll_interval = some("0")), None, "flag --poll-interval: \"0\" is not valid: expected a duration"),
        (flags(|f| f.poll_interval = some("8d")), None, "flag --poll-interval: \"8d\" is not valid"),
        (flags(|f| f.listen = some("48484")), None, "flag --listen: \"48484\" is not valid: expected an IP address"),
        (flags(|_| ()), Some(("DOCKER_HOST", "tcp://h:1")), "environment variable DOCKER_HOST: \"tcp://h:1\" is not valid"),
        (flags(|_| ()), Some(("LOG_RETENTION_DAYS", "0")), "environment variable LOG_RETENTION_DAYS: \"0\" is not valid"),
        (flags(|_| ()), Some(("STATS_RETENTION_DAYS", "4000")), "environment variable STATS_RETENTION_DAYS: \"4000\""),
        (flags(|_| ()), Some(("HOLDFAST_STATS_INTERVAL", "1h")), "environment variable HOLDFAST_STATS_INTERVAL: \"1h\""),
        (flags(|_| ()), Some(("HOLDFAST_REPORT_INTERVAL", "1ms")), "environment variable HOLDFAST_REPORT_INTERVAL"),
    ] {
        let error = load(&flags, env.as_slice()).unwrap_err().to_string();
        assert!(error.starts_with(begin), "{error}");
    }
}

#[test]
fn a_bad_value_in_config_json_is_reported_and_the_last_good_one_used() {
    let good = r#"{"apiEndpoint": "https://api.example.com", "appUpdatePollInterval": "60000"}"#;
    let (folder, flags) = device(Some(good));
    let (settings, _) = load(&flags, &[]).unwrap();
    fs::create_dir(&settings.data_dir).unwrap();
    assert_eq!(settings.config_file().settle(), []);
    let path = folder.path().join("mnt/boot/config.json");
    fs::write(&path, r#"{"apiEndpoint": 7, "appUpdatePollInterval": 5, "deviceId": 3}"#).unwrap();
    let (settings, faults) = load(&flags, &[]).unwrap();
    assert_eq!(settings.cloud.api_endpoint, "https://api.example.com");
    assert_eq!((settings.poll_interval.as_secs(), settings.cloud.device_id), (60, Some(3)));
    assert_eq!(faults.len(), 2);

    fs::write(&path, "nonsense").unwrap();
    let (settings, faults) = load(&flags, &[]).unwrap();
    assert_eq!(settings.cloud.api_endpoint, "https://api.example.com");
    assert_eq!(faults.len(), 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense", "loading writes nothing");
}
