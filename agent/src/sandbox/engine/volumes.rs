//! Volumes.

use std::collections::BTreeSet;

use holdfast_plan::container::{ContainerSpec, Mount};
use holdfast_plan::current::Volume;
use holdfast_plan::target::VolumeSpec;

use super::observer::Mutation;
use super::world::World;
use crate::engine::{EngineError, Result};
use crate::sandbox::registry::{File, pack};

/// Named volumes a container mounts, by their names in the engine.
pub(super) fn volumes_of(spec: &ContainerSpec) -> BTreeSet<&str> {
    let binds = spec.binds.iter().filter_map(|bind| bind.split(':').next()).filter(|source| !source.starts_with('/'));
    let mounts = spec.mounts.iter().filter_map(|mount| match mount {
        Mount::Volume { source, .. } => Some(source.as_str()),
        Mount::Tmpfs { .. } => None,
    });
    binds.chain(mounts).filter(|source| !source.is_empty()).collect()
}

fn conflict(name: &str, message: String) -> EngineError {
    EngineError::Conflict { object: format!("volume {name}"), message }
}

impl World {
    /// Makes a volume with the agent's labels; an identical one is fine.
    pub fn create_volume(&mut self, name: &str, spec: &VolumeSpec, app: &str) -> Result<()> {
        if let Some(present) = self.volumes.get(name) {
            if present.spec == *spec {
                return Ok(());
            }
            return Err(conflict(name, "a volume of this name with another definition is there already".into()));
        }
        let mut labels = spec.labels.clone();
        labels.insert("io.balena.supervised".into(), "true".into());
        labels.insert("io.balena.app-uuid".into(), app.into());
        self.add_volume(Volume { name: name.into(), spec: spec.clone(), labels, created_ms: Some(self.wall_ms()) });
        Ok(())
    }

    /// Puts a volume there.
    pub fn add_volume(&mut self, volume: Volume) {
        let name = volume.name.clone();
        self.volumes.insert(name.clone(), volume);
        self.note(Mutation::VolumeCreated { name });
    }

    /// A container that names a volume which is not there gets a plain one without labels.
    pub fn create_missing_volumes(&mut self, spec: &ContainerSpec) {
        for name in volumes_of(spec) {
            if !self.volumes.contains_key(name) {
                let created_ms = Some(self.wall_ms());
                self.add_volume(Volume {
                    name: name.into(),
                    spec: VolumeSpec::default(),
                    labels: Default::default(),
                    created_ms,
                });
            }
        }
    }

    /// Removes a volume that no container uses, running or not.
    pub fn remove_volume(&mut self, name: &str) -> Result<()> {
        if !self.volumes.contains_key(name) {
            return Ok(());
        }
        if let Some(user) = self.containers.values().find(|held| volumes_of(&held.spec).contains(name)) {
            return Err(conflict(name, format!("remove {name}: volume is in use - [{}]", user.id)));
        }
        self.volumes.remove(name);
        self.contents.remove(name);
        self.note(Mutation::VolumeRemoved { name: name.into() });
        Ok(())
    }

    /// Makes a volume anew with the same settings and labels.
    pub fn empty_volume(&mut self, volume: &Volume) -> Result<()> {
        self.remove_volume(&volume.name)?;
        self.contents.insert(volume.name.clone(), pack(&[]));
        self.add_volume(Volume { created_ms: Some(self.wall_ms()), ..volume.clone() });
        Ok(())
    }

    /// A volume's content as a tar stream: what was written there, or else one file that tells volumes apart.
    pub fn content(&mut self, name: &str) -> Result<Vec<u8>> {
        let missing = || EngineError::NotFound { object: format!("volume {name}"), message: "no such volume".into() };
        let volume = self.volumes.get(name).ok_or_else(missing)?;
        Ok(self.contents.get(name).cloned().unwrap_or_else(|| {
            let text = format!("volume {name} made at {} ms\n", volume.created_ms.unwrap_or_default());
            pack(&[File { path: "./made".into(), mode: 0o644, content: text.into_bytes() }])
        }))
    }

    /// Adds content, which comes whole.
    pub fn write_content(&mut self, name: &str, content: Vec<u8>) -> Result<()> {
        self.content(name)?;
        self.contents.insert(name.into(), content);
        Ok(())
    }
}
