//! What is mounted where.

use std::collections::{BTreeMap, BTreeSet};

use crate::container::{ContainerSpec, ImageConfig, Mount};

/// What is mounted at one path. A named volume is the same in the short and in the long form.
#[derive(Debug, PartialEq)]
enum Mounted<'a> {
    Source { source: &'a str, mode: Vec<&'a str> },
    Memory { size: i64, read_only: bool },
}

/// Names the paths at which something else is mounted.
pub fn compare(is: &ContainerSpec, wanted: &ContainerSpec, image: Option<&ImageConfig>, fields: &mut Vec<String>) {
    let is_as_wanted = is.binds == wanted.binds && is.mounts == wanted.mounts;
    if is_as_wanted && is.anonymous_volumes.is_empty() && wanted.anonymous_volumes.is_empty() {
        return;
    }
    let (is_mounted, wanted_mounted) = (mounted(is), mounted(wanted));
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    paths.extend(wanted_mounted.iter().filter(|(path, what)| is_mounted.get(*path) != Some(what)).map(|(path, _)| *path));
    paths.extend(is_mounted.keys().filter(|path| !wanted_mounted.contains_key(*path)));
    let covered = |path: &str| wanted_mounted.contains_key(clean(path)) || wanted.options.tmpfs.contains_key(path);
    let missing = wanted.anonymous_volumes.iter().filter(|path| !is.anonymous_volumes.contains(*path) && !covered(path));
    paths.extend(missing.map(|path| clean(path)));
    if let Some(image) = image {
        let known = |path: &String| wanted.anonymous_volumes.contains(path) || image.volumes.contains(path);
        let beyond = is.anonymous_volumes.iter().filter(|path| !known(path) && !covered(path));
        paths.extend(beyond.map(|path| clean(path)));
    }
    fields.extend(paths.into_iter().map(|path| format!("volume {path}")));
}

fn mounted(spec: &ContainerSpec) -> BTreeMap<&str, Mounted<'_>> {
    let binds = spec.binds.iter().filter_map(|bind| {
        let (source, rest) = bind.split_once(':')?;
        let (path, mode) = rest.split_once(':').unwrap_or((rest, ""));
        // `rw` is what is meant when nothing is said.
        let mut mode: Vec<&str> = mode.split(',').filter(|mode| !matches!(*mode, "" | "rw")).collect();
        mode.sort_unstable();
        Some((clean(path), Mounted::Source { source, mode }))
    });
    let mounts = spec.mounts.iter().map(|mount| match mount {
        Mount::Volume { source, target, read_only, nocopy } => {
            let modes = [("nocopy", *nocopy), ("ro", *read_only)];
            let mode = modes.into_iter().filter(|(_, is_set)| *is_set).map(|(mode, _)| mode).collect();
            (clean(target), Mounted::Source { source, mode })
        }
        Mount::Tmpfs { target, size, read_only } => (clean(target), Mounted::Memory { size: *size, read_only: *read_only }),
    });
    binds.chain(mounts).collect()
}

fn clean(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => path,
        trimmed => trimmed,
    }
}
