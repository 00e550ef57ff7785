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
    let asked = wanted.working_dir.as_deref().or(image.map(|image| image.working_dir.as_str()));
    let is = is.working_dir.as_deref().unwrap_or_default();
    asked.is_none_or(|asked| is.trim_end_matches('/') == asked.trim_end_matches('/'))
}

/// The engine stops with SIGTERM where nobody says otherwise.
fn is_same_signal(is: &Options, wanted: &Options, image: Option<&ImageConfig>) -> bool {
    fn plain(signal: Option<&str>) -> &str {
        let name = signal.filter(|name| !name.is_empty()).unwrap_or("SIGTERM");
        if name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("SIG")) { &name[3..] } else { name }
    }
    let asked = match (wanted.stop_signal.as_deref(), image) {
        (None, None) => return true,
        (None, Some(image)) => image.stop_signal.as_deref(),
        (asked, _) => asked,
    };
    plain(is.stop_signal.as_deref()).eq_ignore_ascii_case(plain(asked))
}

/// A health check with nothing in it that only means "the default".
#[derive(PartialEq)]
struct Check<'a> {
    test: &'a [String],
    /// Interval, timeout, start period, retries; zero is the default.
    numbers: [i64; 4],
}

impl<'a> Check<'a> {
    fn of(check: Option<&'a Healthcheck>) -> Check<'a> {
        let test = check.and_then(|check| check.test.as_deref()).unwrap_or_default();
        let numbers = check.map(|check| [check.interval_ns, check.timeout_ns, check.start_period_ns, check.retries]);
        Check { test, numbers: numbers.unwrap_or_default().map(Option::unwrap_or_default) }
    }

    /// What is said here, else what the other says.
    fn over(mut self, base: &Check<'a>) -> Check<'a> {
        if self.test.is_empty() {
            self.test = base.test;
        }
        for (number, base) in self.numbers.iter_mut().zip(base.numbers) {
            if *number == 0 {
                *number = base;
            }
        }
        self
    }

    /// Whether nothing is checked.
    fn is_off(&self) -> bool {
        self.test.first().is_none_or(|word| word == "NONE")
    }
}

/// The wanted parts over the image's, against what is there. "No check" has three spellings.
fn is_same_check(is: &Options, wanted: &Options, image: Option<&ImageConfig>) -> bool {
    let is = Check::of(is.healthcheck.as_ref());
    let asked = Check::of(wanted.healthcheck.as_ref());
    let wanted = match image {
        Some(image) => asked.over(&Check::of(image.healthcheck.as_ref())),
        // What is not asked for is taken to be the image's.
        None => asked.over(&is),
    };
    is == wanted || (is.is_off() && wanted.is_off())
}

fn is_same_logging(is: &Options, wanted: &Options) -> bool {
    let Some(wanted) = &wanted.logging else { return true };
    let same =
        |is: &crate::container::Logging| (wanted.driver.is_empty() || is.driver == wanted.driver) && is.options == wanted.options;
    is.logging.as_ref().is_some_and(same)
}
