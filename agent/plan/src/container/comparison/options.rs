//! Settings: each wanted one, or the image's where nothing is said, against what is there.

use std::collections::BTreeSet;

use crate::container::{DEFAULT_SHM_SIZE_BYTES, Healthcheck, ImageConfig, Options};

/// Names the settings that differ. Processor shares in billionths are never compared (behaviour §4.1).
pub fn compare(is: &Options, wanted: &Options, image: Option<&ImageConfig>, fields: &mut Vec<String>) {
    let mut differs = |field: &str, does: bool| {
        if does {
            fields.push(field.to_owned());
        }
    };
    differs("command", !is_same_command(is, wanted, image));
    differs("entrypoint", !is_same_entrypoint(is, wanted, image));
    differs("user", !is_same_text(&is.user, &wanted.user, image.map(|image| image.user.as_str())));
    differs("working_dir", !is_same_directory(is, wanted, image));
    differs("stop_signal", !is_same_signal(is, wanted, image));
    differs("healthcheck", !is_same_check(is, wanted, image));
    differs("stop_grace_period", is.stop_grace_period_s != wanted.stop_grace_period_s);
    differs("restart", is.restart != wanted.restart);
    differs("tty", is.tty != wanted.tty);
    differs("stdin_open", is.stdin_open != wanted.stdin_open);
    differs("init", is.init.unwrap_or(false) != wanted.init.unwrap_or(false));
    // Which runtime and log driver the engine picks by itself is its own affair.
    differs("runtime", wanted.runtime.is_some() && is.runtime != wanted.runtime);
    differs("logging", !is_same_logging(is, wanted));
    rights(is, wanted, &mut differs);
    names(is, wanted, &mut differs);
    limits(is, wanted, &mut differs);
    memory(is, wanted, &mut differs);
}

fn rights(is: &Options, wanted: &Options, differs: &mut impl FnMut(&str, bool)) {
    differs("privileged", is.privileged != wanted.privileged);
    differs("read_only", is.read_only != wanted.read_only);
    differs("cap_add", !are_same_capabilities(&is.cap_add, &wanted.cap_add));
    differs("cap_drop", !are_same_capabilities(&is.cap_drop, &wanted.cap_drop));
    differs("security_opt", !security(is).eq(security(wanted)));
    differs("group_add", is.group_add != wanted.group_add);
    differs("devices", is.devices != wanted.devices);
    differs("device_cgroup_rules", is.device_cgroup_rules != wanted.device_cgroup_rules);
    differs("gpus", is.gpus != wanted.gpus);
    differs("ipc", own(&is.ipc, "shareable") != own(&wanted.ipc, "shareable"));
    differs("pid", own(&is.pid, "private") != own(&wanted.pid, "private"));
    differs("userns_mode", own(&is.userns_mode, "private") != own(&wanted.userns_mode, "private"));
    differs("cgroup_parent", is.cgroup_parent != wanted.cgroup_parent);
}

fn names(is: &Options, wanted: &Options, differs: &mut impl FnMut(&str, bool)) {
    differs("domainname", is.domainname != wanted.domainname);
    differs("dns", is.dns != wanted.dns);
    differs("dns_search", is.dns_search != wanted.dns_search);
    differs("dns_opt", is.dns_opt != wanted.dns_opt);
    differs("extra_hosts", is.extra_hosts != wanted.extra_hosts);
}

fn limits(is: &Options, wanted: &Options, differs: &mut impl FnMut(&str, bool)) {
    differs("tmpfs", is.tmpfs != wanted.tmpfs);
    differs("ulimits", is.ulimits != wanted.ulimits);
    differs("sysctls", is.sysctls != wanted.sysctls);
    differs("cpu_shares", is.cpu_shares != wanted.cpu_shares);
    differs("cpu_quota", is.cpu_quota_us != wanted.cpu_quota_us);
    differs("cpu_period", is.cpu_period_us != wanted.cpu_period_us);
    differs("cpuset", is.cpuset != wanted.cpuset);
    differs("oom_score_adj", is.oom_score_adj != wanted.oom_score_adj);
    differs("oom_kill_disable", is.oom_kill_disable != wanted.oom_kill_disable);
    differs("pids_limit", is.pids_limit.max(0) != wanted.pids_limit.max(0));
    let shm_size = |options: &Options| if options.shm_size_bytes == 0 { DEFAULT_SHM_SIZE_BYTES } else { options.shm_size_bytes };
    differs("shm_size", shm_size(is) != shm_size(wanted));
}

fn memory(is: &Options, wanted: &Options, differs: &mut impl FnMut(&str, bool)) {
    // -1 is the engine's word for "not set".
    let swappiness = |options: &Options| options.mem_swappiness.filter(|value| *value != -1);
    differs("mem_swappiness", swappiness(is) != swappiness(wanted));
    // What the engine writes when the kernel cannot limit memory at all: asking again would change nothing.
    if is.mem_limit_bytes == 0 && is.memswap_limit_bytes == -1 {
        return;
    }
    differs("mem_limit", is.mem_limit_bytes != wanted.mem_limit_bytes);
    differs("mem_reservation", is.mem_reservation_bytes != wanted.mem_reservation_bytes);
    let swap = (is.memswap_limit_bytes, wanted.memswap_limit_bytes);
    // Asked for nothing, the engine sets twice the memory; without swap accounting in the kernel it sets -1 whatever is asked.
    let is_engines_own = swap.1 == 0 && swap.0 == is.mem_limit_bytes.saturating_mul(2);
    let is_unaccounted = swap.0 == -1 && is.mem_limit_bytes > 0;
    differs("memswap_limit", swap.0 != swap.1 && !is_engines_own && !is_unaccounted);
}

/// An empty word means the default one.
fn own<'a>(word: &'a str, default: &'static str) -> &'a str {
    if word.is_empty() { default } else { word }
}

/// Capabilities are written in any case, with and without their prefix.
fn are_same_capabilities(is: &BTreeSet<String>, wanted: &BTreeSet<String>) -> bool {
    let plain = |names: &BTreeSet<String>| -> BTreeSet<String> {
        let upper = names.iter().map(|name| name.to_ascii_uppercase());
        upper.map(|name| name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)).collect()
    };
    is == wanted || plain(is) == plain(wanted)
}

/// The engine adds entries about labels itself, for privileged containers.
fn security(options: &Options) -> impl Iterator<Item = &String> {
    options.security_opt.iter().filter(|entry| !entry.starts_with("label=") && !entry.starts_with("label:"))
}

fn words(command: &Option<Vec<String>>) -> &[String] {
    command.as_deref().unwrap_or_default()
}

/// With an entry point of its own a container may or may not have been given the image's command: engines leave it out,
/// balena-supervisor puts it in. Either stays.
fn is_same_command(is: &Options, wanted: &Options, image: Option<&ImageConfig>) -> bool {
    let is = words(&is.command);
    match (words(&wanted.command), image) {
        ([], None) => true,
        ([], Some(image)) => is == image.command || (wanted.entrypoint.is_some() && is.is_empty()),
        (asked, _) => is == asked,
    }
}

fn is_same_entrypoint(is: &Options, wanted: &Options, image: Option<&ImageConfig>) -> bool {
    let is = words(&is.entrypoint);
    match (&wanted.entrypoint, image) {
        (Some(asked), _) => is == asked,
        (None, Some(image)) => is == image.entrypoint,
        (None, None) => true,
    }
}

fn is_same_text(is: &Option<String>, wanted: &Option<String>, image: Option<&str>) -> bool {
    match wanted.as_deref().filter(|text| !text.is_empty()).or(image) {
        Some(wanted) => is.as_deref().unwrap_or_default() == wanted,
        None => true,
    }
}

fn is_same_directory(is: &Options, wanted: &Options, image: Option<&ImageConfig>) -> bool {
    let clean = |path: &Option<String>| path.as_deref().unwrap_or_default().trim_end_matches('/').to_owned();
    match (&wanted.working_dir, image) {
        (None, None) => true,
        (None, Some(image)) => clean(&is.working_dir) == image.working_dir.trim_end_matches('/'),
        (wanted, _) => clean(&is.working_dir) == clean(wanted),
    }
}

/// The engine stops with SIGTERM where nobody says otherwise.
fn is_same_signal(is: &Options, wanted: &Options, image: Option<&ImageConfig>) -> bool {
    let plain = |signal: &Option<String>| {
        let name = signal.as_deref().unwrap_or_default().to_ascii_uppercase();
        name.strip_prefix("SIG").map(str::to_owned).unwrap_or(name)
    };
    let asked = match (&wanted.stop_signal, image) {
        (None, None) => return true,
        (None, Some(image)) => plain(&image.stop_signal),
        (wanted, _) => plain(wanted),
    };
    let or_term = |name: String| if name.is_empty() { "TERM".to_owned() } else { name };
    or_term(plain(&is.stop_signal)) == or_term(asked)
}

/// The wanted parts over the image's, against what is there. "No check" has three spellings.
fn is_same_check(is: &Options, wanted: &Options, image: Option<&ImageConfig>) -> bool {
    let nothing = Healthcheck::default();
    let is = overlaid(&nothing, is.healthcheck.as_ref().unwrap_or(&nothing));
    let asked = wanted.healthcheck.as_ref().unwrap_or(&nothing);
    // Without the image, what is not asked for is taken to be the image's.
    let base = image.map_or(Some(&is), |image| image.healthcheck.as_ref());
    let wanted = overlaid(base.unwrap_or(&nothing), asked);
    is == wanted || (is_off(&is) && is_off(&wanted))
}

/// Whether this says that nothing is checked.
fn is_off(check: &Healthcheck) -> bool {
    check.test.as_ref().is_none_or(|test| test.is_empty() || test[0] == "NONE")
}

/// `over` where it says something, else `base`. Zero means "the default" to the engine, which is to say nothing.
fn overlaid(base: &Healthcheck, over: &Healthcheck) -> Healthcheck {
    let number = |over: Option<i64>, base: Option<i64>| over.filter(|n| *n != 0).or(base.filter(|n| *n != 0));
    let test = over.test.as_ref().filter(|test| !test.is_empty()).or(base.test.as_ref());
    Healthcheck {
        test: test.cloned(),
        interval_ns: number(over.interval_ns, base.interval_ns),
        timeout_ns: number(over.timeout_ns, base.timeout_ns),
        start_period_ns: number(over.start_period_ns, base.start_period_ns),
        retries: number(over.retries, base.retries),
    }
}

fn is_same_logging(is: &Options, wanted: &Options) -> bool {
    let Some(wanted) = &wanted.logging else { return true };
    let same =
        |is: &crate::container::Logging| (wanted.driver.is_empty() || is.driver == wanted.driver) && is.options == wanted.options;
    is.logging.as_ref().is_some_and(same)
}
