//! Who the device is: a uuid and a key of its own.

use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};

use super::Need;
use super::ledger::Ledger;
use crate::settings::{CloudSettings, ConfigFile, Origin, Secret, SettingFault};

/// Makes what is missing of the identity of a device that has to be provisioned, and writes it to config.json. When that
/// fails the device goes on with what it made; the provisioner tries again before it tells anybody.
pub async fn establish(cloud: &mut CloudSettings, file: ConfigFile, faults: &[SettingFault]) {
    if complete(cloud, faults)
        && let Err(error) = Ledger::new(file, Arc::new(cloud.clone())).keep().await
    {
        log::warn!("this device's new identity is not durable yet: {error}");
    }
}

/// Makes what is missing, in memory. What is there but not valid is a person's mistake and is not replaced: the device may
/// be registered under what was meant.
///
/// Says whether something was made.
fn complete(cloud: &mut CloudSettings, faults: &[SettingFault]) -> bool {
    let spoilt = |key| faults.iter().any(|fault| fault.subject == Origin::ConfigJson(key).to_string());
    if Need::of(cloud).is_none() {
        return false;
    }
    let (without_uuid, without_key) = (cloud.uuid.is_none(), cloud.device_api_key.is_none());
    if without_uuid && !spoilt("uuid") {
        cloud.uuid = random_uuid();
    }
    if without_key && !spoilt("deviceApiKey") {
        cloud.device_api_key = random_uuid().map(Secret::from);
    }
    (without_uuid && cloud.uuid.is_some()) || (without_key && cloud.device_api_key.is_some())
}

/// A random uuid (version 4) as 32 hex digits; `None` when the machine gives no randomness.
pub(super) fn random_uuid() -> Option<String> {
    let mut bytes = [0u8; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Some(crate::settings::hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flashed() -> CloudSettings {
        let api_endpoint = "https://api.example.com".to_owned();
        CloudSettings { api_endpoint, api_key: Some("p".into()), ..CloudSettings::default() }
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_there_stays() {
        let mut cloud = flashed();
        assert!(complete(&mut cloud, &[]));
        let (uuid, key) = (cloud.uuid.clone().unwrap(), cloud.device_api_key.clone().unwrap());
        for text in [uuid.as_str(), key.reveal()] {
            assert!(text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{text}");
            assert_eq!(&text[12..13], "4");
        }
        assert_ne!(uuid, key.reveal());
        assert!(!complete(&mut cloud, &[]));
        assert_eq!((cloud.uuid, cloud.device_api_key), (Some(uuid), Some(key)));
    }

    #[test]
    fn an_unmanaged_or_joined_device_stays_as_it_is() {
        for mut cloud in [
            CloudSettings::default(),
            CloudSettings { api_key: None, ..flashed() },
            CloudSettings { api_endpoint: String::new(), ..flashed() },
        ] {
            let before = cloud.clone();
            assert!(!complete(&mut cloud, &[]));
            assert_eq!(cloud, before);
        }
    }

    #[test]
    fn a_mistyped_uuid_is_left_to_its_author() {
        let mut cloud = flashed();
        let fault = SettingFault { subject: "config.json, key uuid".into(), message: "not valid".into() };
        complete(&mut cloud, &[fault]);
        assert_eq!(cloud.uuid, None);
        assert!(cloud.device_api_key.is_some());
    }
}
