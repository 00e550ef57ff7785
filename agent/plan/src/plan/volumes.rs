//! Volumes: made when wanted, never replaced in haste (behaviour §3.1, §5; design, "What must always hold", 4).

use std::collections::BTreeSet;

use super::draft::{Draft, World};
use super::{Action, Reason};
use crate::container::volume_name;
use crate::current::Volume;
use crate::policy::Force;
use crate::target::{App, Release, VolumeSpec};

/// The volumes of an app after this round's planning.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    /// Engine names that containers cannot use yet.
    pub not_ready: BTreeSet<String>,
    /// Engine names that are replaced on request: their users go first.
    pub changing: BTreeSet<String>,
    /// A definition changed and nobody said that the data may go: the app's switch waits.
    pub blocked: bool,
}

/// Plans the volumes of one release. A changed definition would lose data: it is done only by a request with force, never
/// because of the override variable for locks.
pub(super) fn plan_volumes(draft: &mut Draft<'_>, world: &World<'_>, app: &App, release: &Release) -> Volumes {
    let mut volumes = Volumes::default();
    let forced = matches!(draft.input.policy.force, Some(Force::Request { .. }));
    for (short, spec) in &release.volumes {
        let name = volume_name(app.id, short);
        let Some(present) = world.volumes.get(name.as_str()) else {
            let action = Action::CreateVolume { name: name.clone(), volume: spec.clone(), app_uuid: app.uuid.clone() };
            draft.step(Some(&app.name), None, action, Reason::NotThereYet);
            volumes.not_ready.insert(name);
            continue;
        };
        let fields = volume_differences(present, spec);
        if fields.is_empty() {
            continue;
        }
        if !forced {
            draft.wait(&app.name, None, Reason::VolumeWouldLoseData { name, fields });
            volumes.blocked = true;
            continue;
        }
        if !draft.input.current.engine.containers.iter().any(|container| container.mounts_volume(&name)) {
            let action = Action::RemoveVolume { name: name.clone() };
            draft.step(Some(&app.name), None, action, Reason::Changed { fields });
        }
        volumes.not_ready.insert(name.clone());
        volumes.changing.insert(name);
    }
    volumes
}

/// Names the fields in which a volume differs from the wanted one.
fn volume_differences(present: &Volume, wanted: &VolumeSpec) -> Vec<String> {
    let have = &present.spec;
    [
        ("driver", have.driver == wanted.driver),
        ("driver_opts", have.driver_opts == wanted.driver_opts),
        ("labels", have.labels == wanted.labels),
    ]
    .into_iter()
    .filter(|(_, same)| !same)
    .map(|(field, _)| field.to_owned())
    .collect()
}
