//! All that means the same in a composition and in the engine, put together from its subjects.

use std::collections::BTreeSet;

use super::{commands, devices, durations, healthcheck, hosts, logging, mounts, resources, restart, ulimits};
use crate::container::{DEFAULT_STOP_GRACE_PERIOD_S, Options};
use crate::target::reading::{Section, Weight, texts};

/// Reads the options of a service.
pub fn read(section: &mut Section<'_, '_>) -> Options {
    let mut options = Options {
        command: commands::read(section, "command"),
        entrypoint: commands::read(section, "entrypoint"),
        stop_signal: section.text("stop_signal", Weight::Name),
        stop_grace_period_s: stop_grace_period(section),
        healthcheck: healthcheck::read(section),
        restart: restart::read(section),
        tty: section.flag("tty", Weight::Name).unwrap_or(true),
        stdin_open: section.flag("stdin_open", Weight::Name).unwrap_or(false),
        init: section.flag("init", Weight::Name),
        devices: devices::read(section),
        tmpfs: mounts::tmpfs(section),
        ulimits: ulimits::read(section),
        sysctls: section.pairs("sysctls", Weight::Name),
        runtime: section.text("runtime", Weight::Name),
        logging: logging::read(section),
        cgroup_parent: section.text("cgroup_parent", Weight::Name).unwrap_or_default(),
        ..Options::default()
    };
    confinement(section, &mut options);
    names(section, &mut options);
    resources::memory(section, &mut options);
    resources::cpu(section, &mut options);
    options
}

/// What a service may do. A mistake refuses the app: it must not run with more rights than it was meant to have.
fn confinement(section: &mut Section<'_, '_>, options: &mut Options) {
    options.privileged = section.flag("privileged", Weight::Refuse).unwrap_or(false);
    options.read_only = section.flag("read_only", Weight::Refuse).unwrap_or(false);
    options.user = section.text("user", Weight::Refuse);
    options.cap_add = set(section, "cap_add", Weight::Refuse);
    options.cap_drop = set(section, "cap_drop", Weight::Refuse);
    options.security_opt = security_opt(section);
    options.group_add = set(section, "group_add", Weight::Refuse);
    options.device_cgroup_rules = set(section, "device_cgroup_rules", Weight::Refuse);
    options.userns_mode = section.text("userns_mode", Weight::Refuse).unwrap_or_default();
    if let Some(ipc) = section.text("ipc", Weight::Refuse) {
        options.ipc = ipc;
    }
    options.pid = section.text("pid", Weight::Refuse).unwrap_or_default();
}

/// Names the service is known by and finds others by, and where it works.
fn names(section: &mut Section<'_, '_>, options: &mut Options) {
    options.domainname = section.text("domainname", Weight::Name).unwrap_or_default();
    options.dns = section.list("dns", Weight::Name);
    options.dns_search = section.list("dns_search", Weight::Name);
    options.dns_opt = set(section, "dns_opt", Weight::Name);
    options.extra_hosts = hosts::read(section);
    options.working_dir = section.text("working_dir", Weight::Refuse).map(without_trailing_slash);
}

fn set(section: &mut Section<'_, '_>, name: &str, weight: Weight) -> BTreeSet<String> {
    section.list(name, weight).into_iter().collect()
}

/// Entries about labels are left out (behaviour §4.1): the engine sets them itself for privileged containers, and reads
/// both back alike.
fn security_opt(section: &mut Section<'_, '_>) -> BTreeSet<String> {
    let Some(field) = section.take("security_opt") else { return BTreeSet::new() };
    let mut entries = texts(&field, Weight::Refuse, section.findings);
    let all = entries.len();
    entries.retain(|entry| !entry.starts_with("label="));
    if entries.len() < all {
        section.findings.name(&field, "entries about labels (label=…) are left out");
    }
    entries.into_iter().collect()
}

fn stop_grace_period(section: &mut Section<'_, '_>) -> i64 {
    let Some(field) = section.take("stop_grace_period") else { return DEFAULT_STOP_GRACE_PERIOD_S };
    durations::seconds(field.value).unwrap_or_else(|| {
        section.expected(Weight::Name, &field, durations::FORM);
        DEFAULT_STOP_GRACE_PERIOD_S
    })
}

fn without_trailing_slash(mut path: String) -> String {
    while path.len() > 1 && path.ends_with('/') {
        path.pop();
    }
    path
}
