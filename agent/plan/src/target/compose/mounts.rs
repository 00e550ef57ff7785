//! `volumes` and `tmpfs` of a service (behaviour §4.2).

use std::collections::{BTreeMap, BTreeSet};

use crate::target::reading::{Field, Findings, Section, Weight, expected, string, texts};
use crate::target::{MountSource, ServiceMount};

const NO_BINDS: &str = "paths of the host are not mounted into applications; use a named volume or a feature label";

/// Volumes and long-form mounts. `known` says which volumes the release has. Wrong ones refuse the app: it would not
/// find its data.
pub fn read(section: &mut Section<'_, '_>, known: impl Fn(&str) -> bool) -> BTreeSet<ServiceMount> {
    let mut mounts = BTreeSet::new();
    let mut places = BTreeMap::new();
    let Some(field) = section.take("volumes") else { return mounts };
    if !field.value.is_array() {
        section.expected(Weight::Refuse, &field, "a list of volumes");
    }
    for item in field.items() {
        let mount = if item.value.is_object() { long(&item, section.findings) } else { short(&item, section.findings) };
        let mount = mount.and_then(|mount| mount.map(|mount| checked(mount, &known, &mut places)).transpose());
        match mount {
            Ok(mount) => mounts.extend(mount),
            Err(message) => section.findings.refuse(&item, message),
        }
    }
    mounts
}

/// `tmpfs`: one path or several, each with or without options behind a colon.
pub fn tmpfs(section: &mut Section<'_, '_>) -> BTreeMap<String, String> {
    let mut mounts = BTreeMap::new();
    let Some(field) = section.take("tmpfs") else { return mounts };
    for entry in texts(&field, Weight::Refuse, section.findings) {
        let (path, options) = entry.split_once(':').unwrap_or((&entry, ""));
        if path.starts_with('/') {
            mounts.insert(path.to_owned(), options.to_owned());
        } else {
            section.findings.refuse(&field, "a path in it is not absolute");
        }
    }
    mounts
}

fn checked(
    mount: ServiceMount,
    known: &impl Fn(&str) -> bool,
    places: &mut BTreeMap<String, String>,
) -> Result<ServiceMount, String> {
    let volume = match &mount.source {
        MountSource::Short { volume, .. } | MountSource::Volume { volume, .. } => Some(volume.as_str()),
        MountSource::Anonymous | MountSource::Tmpfs { .. } => None,
    };
    if let Some(volume) = volume.filter(|volume| !known(volume)) {
        return Err(format!("the release has no volume {volume}"));
    }
    if !mount.target.starts_with('/') || mount.target.contains(':') {
        return Err("its path in the container is not absolute".into());
    }
    if mount.source != MountSource::Anonymous {
        let what = volume.unwrap_or("tmpfs").to_owned();
        if let Some(other) = places.insert(mount.target.trim_end_matches('/').to_owned(), what) {
            return Err(format!("{other} is already mounted at {}", mount.target));
        }
    }
    Ok(mount)
}

/// `name:/path[:mode]` or `/path`. `None`: left out and named.
fn short(item: &Field<'_>, findings: &mut Findings) -> Result<Option<ServiceMount>, String> {
    let text = string(item.value).ok_or_else(|| expected("a volume such as data:/data", item.value))?;
    let mut parts = text.split(':').map(str::trim);
    let (first, target, mode) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if parts.next().is_some() {
        return Err("it has more parts than name:/path:mode".into());
    }
    let Some(target) = target else {
        return Ok(Some(ServiceMount { target: first.to_owned(), source: MountSource::Anonymous }));
    };
    if first.starts_with(['/', '.', '~']) {
        findings.name(item, NO_BINDS);
        return Ok(None);
    }
    if first.is_empty() {
        return Err("it has no volume name".into());
    }
    let mode = mode.filter(|mode| !mode.is_empty()).map(str::to_owned);
    let source = MountSource::Short { volume: first.to_owned(), mode };
    Ok(Some(ServiceMount { target: target.to_owned(), source }))
}

fn long(item: &Field<'_>, findings: &mut Findings) -> Result<Option<ServiceMount>, String> {
    let mut section = Section::of(item, findings);
    let kind = section.text("type", Weight::Refuse).unwrap_or_default();
    if !matches!(kind.as_str(), "volume" | "tmpfs") {
        return left_out(&kind, section, item);
    }
    let target = section.text("target", Weight::Refuse).ok_or("it has no target")?;
    let read_only = section.flag("read_only", Weight::Refuse).unwrap_or(false);
    let source = if kind == "tmpfs" { tmpfs_source(&mut section, read_only) } else { volume_source(&mut section, read_only) };
    section.finish(|key| (key == "consistency").then_some(""));
    Ok(Some(ServiceMount { target, source }))
}

fn left_out(kind: &str, section: Section<'_, '_>, item: &Field<'_>) -> Result<Option<ServiceMount>, String> {
    match kind {
        "bind" => section.findings.name(item, NO_BINDS),
        "npipe" | "cluster" | "image" => section.findings.name(item, format!("mounts of type {kind} are not supported")),
        _ => return Err("its type is not volume, tmpfs or bind".into()),
    }
    Ok(None)
}

fn tmpfs_source(section: &mut Section<'_, '_>, read_only: bool) -> MountSource {
    let mut size = None;
    if let Some(field) = section.take("tmpfs") {
        let mut options = Section::of(&field, section.findings);
        size = super::sizes::read(&mut options, "size");
        options.finish(|_| None);
    }
    MountSource::Tmpfs { size: size.unwrap_or(0), read_only }
}

fn volume_source(section: &mut Section<'_, '_>, read_only: bool) -> MountSource {
    let mut nocopy = false;
    if let Some(field) = section.take("volume") {
        let mut options = Section::of(&field, section.findings);
        nocopy = options.flag("nocopy", Weight::Name).unwrap_or(false);
        options.finish(|key| (key == "subpath").then_some("the engine's API 1.41 mounts whole volumes only"));
    }
    match section.text("source", Weight::Refuse) {
        Some(volume) => MountSource::Volume { volume, read_only, nocopy },
        None => MountSource::Anonymous,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mounts(volumes: Value) -> (Vec<ServiceMount>, Vec<String>, Vec<String>) {
        let value = json!({ "volumes": volumes });
        let (root, mut findings) = (Field::root(&value), Findings::new(0));
        let read = read(&mut Section::of(&root, &mut findings), |name| matches!(name, "data" | "more"));
        let named = findings.take_unsupported().iter().map(|offence| offence.path.clone()).collect();
        (read.into_iter().collect(), findings.into_offences().iter().map(ToString::to_string).collect(), named)
    }

    fn short_of(mode: Option<&str>) -> MountSource {
        MountSource::Short { volume: "data".into(), mode: mode.map(str::to_owned) }
    }

    fn volume(read_only: bool, nocopy: bool) -> MountSource {
        MountSource::Volume { volume: "data".into(), read_only, nocopy }
    }

    #[test]
    fn accepted_forms() {
        for (item, source) in [
            (json!("data:/x"), short_of(None)),
            (json!(" data : /x : ro "), short_of(Some("ro"))),
            (json!("/x"), MountSource::Anonymous),
            (json!({"type": "volume", "source": "data", "target": "/x"}), volume(false, false)),
            (json!({"type": "volume", "source": "data", "target": "/x", "read_only": true}), volume(true, false)),
            (json!({"type": "volume", "source": "data", "target": "/x", "readOnly": true}), volume(true, false)),
            (json!({"type": "volume", "source": "data", "target": "/x", "volume": {"nocopy": true}}), volume(false, true)),
            (json!({"type": "volume", "target": "/x"}), MountSource::Anonymous),
            (
                json!({"type": "tmpfs", "target": "/x", "tmpfs": {"size": "1m"}}),
                MountSource::Tmpfs { size: 1 << 20, read_only: false },
            ),
            (
                json!({"type": "tmpfs", "target": "/x", "tmpfs": {"size": 4096}}),
                MountSource::Tmpfs { size: 4096, read_only: false },
            ),
        ] {
            let (read, refused, named) = mounts(json!([item]));
            assert_eq!(read, [ServiceMount { target: "/x".into(), source }], "{item}");
            assert_eq!((refused.len(), named.len()), (0, 0), "{item}");
        }
    }

    #[test]
    fn binds_are_named() {
        for item in
            [json!("/etc:/etc"), json!("./a:/b"), json!("~/a:/b:ro"), json!({"type": "bind", "source": "/a", "target": "/b"})]
        {
            assert_eq!(mounts(json!([item])), (vec![], vec![], vec!["volumes[0]".to_owned()]), "{item}");
        }
    }

    #[test]
    fn refused_forms() {
        for (item, why) in [
            (json!("gone:/x"), "has no volume gone"),
            (json!("data:x"), "not absolute"),
            (json!("x"), "not absolute"),
            (json!(":/x"), "no volume name"),
            (json!("data:/x:ro:more"), "more parts"),
            (json!(5), "expected a volume"),
            (json!({"source": "data", "target": "/x"}), "its type"),
            (json!({"type": "volume", "source": "data"}), "no target"),
            (json!({"type": "volume", "source": "gone", "target": "/x"}), "has no volume gone"),
            (json!("more:/y/"), "data is already mounted"),
        ] {
            let (_, refused, _) = mounts(json!(["data:/y", item]));
            assert!(
                refused.len() == 1 && refused[0].starts_with("volumes[1]: ") && refused[0].contains(why),
                "{item}: {refused:?}"
            );
        }
    }

    #[test]
    fn tmpfs_takes_options() {
        let value = json!({"tmpfs": ["/run", "/tmp:size=64m,mode=1777"]});
        let (root, mut findings) = (Field::root(&value), Findings::new(0));
        let read = tmpfs(&mut Section::of(&root, &mut findings));
        assert_eq!(read, BTreeMap::from([("/run".into(), "".into()), ("/tmp".into(), "size=64m,mode=1777".into())]));
    }
}
