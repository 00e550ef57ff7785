//! Binds, long-form mounts and anonymous volumes, in both directions.

use std::collections::BTreeSet;

use bollard::models::{self, MountTmpfsOptions, MountType, MountVolumeOptions};
use holdfast_plan::container::Mount;

/// A long-form mount for the engine.
pub(super) fn mount_out(mount: &Mount) -> models::Mount {
    match mount {
        Mount::Volume { source, target, read_only, nocopy } => models::Mount {
            typ: Some(MountType::VOLUME),
            source: Some(source.clone()),
            target: Some(target.clone()),
            read_only: Some(*read_only),
            volume_options: nocopy.then(|| MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
            ..models::Mount::default()
        },
        Mount::Tmpfs { target, size, read_only } => models::Mount {
            typ: Some(MountType::TMPFS),
            target: Some(target.clone()),
            read_only: Some(*read_only),
            tmpfs_options: (*size != 0).then(|| MountTmpfsOptions { size_bytes: Some(*size), ..MountTmpfsOptions::default() }),
            ..models::Mount::default()
        },
    }
}

/// Long-form mounts as they were asked for; kinds this agent never makes are left out.
pub(super) fn mounts_in(mounts: Option<&Vec<models::Mount>>) -> BTreeSet<Mount> {
    mounts.into_iter().flatten().filter_map(mount_in).collect()
}

fn mount_in(mount: &models::Mount) -> Option<Mount> {
    let target = mount.target.clone()?;
    let read_only = mount.read_only.unwrap_or(false);
    match mount.typ? {
        MountType::VOLUME => Some(Mount::Volume {
            source: mount.source.clone().unwrap_or_default(),
            target,
            read_only,
            nocopy: mount.volume_options.as_ref().and_then(|options| options.no_copy).unwrap_or(false),
        }),
        MountType::TMPFS => {
            let size = mount.tmpfs_options.as_ref().and_then(|options| options.size_bytes).unwrap_or(0);
            Some(Mount::Tmpfs { target, size, read_only })
        }
        _ => None,
    }
}

/// Options that Podman writes into every bind it reads back, whether they were asked for or not.
const PODMAN_EXTRAS: [&str; 5] = ["rw", "rprivate", "rbind", "nosuid", "nodev"];

/// Bind strings as they were asked for.
pub(super) fn binds_in(binds: Option<&Vec<String>>) -> BTreeSet<String> {
    binds.into_iter().flatten().map(|bind| without_extras(bind)).collect()
}

fn without_extras(bind: &str) -> String {
    let mut parts = bind.splitn(3, ':');
    let (Some(source), Some(target), Some(options)) = (parts.next(), parts.next(), parts.next()) else {
        return bind.to_owned();
    };
    if !options.split(',').any(|word| word == "rbind" || word == "rprivate") {
        return bind.to_owned();
    }
    let asked: Vec<&str> = options.split(',').filter(|word| !PODMAN_EXTRAS.contains(word)).collect();
    if asked.is_empty() { format!("{source}:{target}") } else { format!("{source}:{target}:{}", asked.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_come_back_as_they_went() {
        let mounts = BTreeSet::from([
            Mount::Volume { source: "5_a".into(), target: "/a".into(), read_only: true, nocopy: true },
            Mount::Volume { source: "5_b".into(), target: "/b".into(), read_only: false, nocopy: false },
            Mount::Tmpfs { target: "/t".into(), size: 4096, read_only: false },
            Mount::Tmpfs { target: "/u".into(), size: 0, read_only: true },
        ]);
        assert_eq!(mounts_in(Some(&mounts.iter().map(mount_out).collect())), mounts);
        let bind = models::Mount { typ: Some(MountType::BIND), target: Some("/x".into()), ..models::Mount::default() };
        assert_eq!(mounts_in(Some(&vec![bind])), BTreeSet::new());
    }

    #[test]
    fn binds_keep_what_was_asked_for() {
        for (read, asked) in [
            ("5_a:/a", "5_a:/a"),
            ("5_a:/a:ro", "5_a:/a:ro"),
            ("5_a:/a:rw", "5_a:/a:rw"),
            ("5_a:/a:rw,rprivate,nosuid,nodev,rbind", "5_a:/a"),
            ("/x:/a:ro,rprivate,rbind", "/x:/a:ro"),
        ] {
            assert_eq!(without_extras(read), asked);
        }
    }
}
