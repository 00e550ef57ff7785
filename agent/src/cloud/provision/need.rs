//! Whether there is something to provision.

use crate::settings::CloudSettings;

/// What a device with a provisioning key has to do (protocol §9, the table).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It was never registered, or its registration was never noted.
    Register,
    /// It was registered, but what the cloud calls it is not known.
    FindId,
    /// It was registered and is known; only the provisioning key is still there.
    DropKey,
    /// It has joined, under this id; only its preload's wish to be pinned is still there.
    Pin(u64),
}

impl Need {
    /// From what config.json says. Without an address or a provisioning key there is nothing to be done: such a device lives
    /// with the key it has.
    pub fn of(cloud: &CloudSettings) -> Option<Need> {
        if cloud.api_endpoint.is_empty() || cloud.api_key.is_none() {
            return None;
        }
        Some(match (cloud.registered_at, cloud.device_id) {
            (None, _) => Need::Register,
            (Some(_), None) => Need::FindId,
            (Some(_), Some(_)) => Need::DropKey,
        })
    }

    /// Whether a new identity is made when the cloud has no use for the present one. Not for a device that is known there:
    /// its history would be lost.
    pub(super) fn renews(self) -> bool {
        matches!(self, Need::Register | Need::FindId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_protocol() {
        let cloud = |registered_at, device_id, key: Option<&str>| CloudSettings {
            api_endpoint: "https://api.example.com".into(),
            api_key: key.map(Into::into),
            registered_at,
            device_id,
            ..CloudSettings::default()
        };
        for (cloud, need) in [
            (cloud(None, None, Some("p")), Some(Need::Register)),
            (cloud(None, Some(7), Some("p")), Some(Need::Register)),
            (cloud(Some(1), None, Some("p")), Some(Need::FindId)),
            (cloud(Some(1), Some(7), Some("p")), Some(Need::DropKey)),
            (cloud(Some(1), Some(7), None), None),
            (cloud(None, None, None), None),
            (CloudSettings { api_endpoint: String::new(), ..cloud(None, None, Some("p")) }, None),
        ] {
            assert_eq!(Need::of(&cloud), need, "{cloud:?}");
        }
    }
}
