//! What provisioning reads from and writes to config.json. Every write begins with a fresh look: the file may have been
//! edited since the start, and an edit of a person's is never written over.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::settings::{CloudSettings, ConfigFile, ConfigFileError, Secret};

/// config.json, and what it said of this device's identity when provisioning began.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    file: ConfigFile,
    cloud: Arc<CloudSettings>,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The file says so now, or did already.
    Yes,
    /// Somebody has changed what provisioning rests on; nothing was written.
    ChangedMeanwhile,
}

impl Ledger {
    /// `cloud` is what provisioning works with, the identity that was just made included.
    pub fn new(file: ConfigFile, cloud: Arc<CloudSettings>) -> Ledger {
        Ledger { file, cloud }
    }

    /// Makes the identity durable.
    pub async fn keep(&self) -> Result<Written, ConfigFileError> {
        let identity =
            [("uuid", self.cloud.uuid.clone().map(Value::from)), ("deviceApiKey", key_of(&self.cloud).map(Value::from))];
        let (uuid, key) = (self.cloud.uuid.clone(), self.cloud.device_api_key.clone());
        self.write(identity.into(), move |now| now.uuid == uuid && now.device_api_key == key).await
    }

    /// Notes the registration and drops the provisioning key.
    pub async fn finish(&self, device_id: u64, now_ms: i64) -> Result<Written, ConfigFileError> {
        // A clock that was never set says 1970; zero would be read as "never".
        let at = self.cloud.registered_at.unwrap_or_else(|| u64::try_from(now_ms.max(1)).unwrap_or(1));
        let changes = vec![("registered_at", Some(json!(at))), ("deviceId", Some(json!(device_id))), ("apiKey", None)];
        let done =
            move |now: &CloudSettings| now.api_key.is_none() && now.device_id == Some(device_id) && now.registered_at == Some(at);
        self.write(changes, done).await
    }

    /// Replaces the identity: the device begins anew, as one that was never registered.
    pub async fn renew(&self, uuid: String, key: String) -> Result<Written, ConfigFileError> {
        let changes =
            vec![("uuid", Some(json!(uuid))), ("deviceApiKey", Some(json!(key))), ("registered_at", None), ("deviceId", None)];
        self.write(changes, move |now| now.uuid.as_ref() == Some(&uuid)).await
    }

    async fn write(
        &self,
        changes: Vec<(&'static str, Option<Value>)>,
        done: impl Fn(&CloudSettings) -> bool + Send + 'static,
    ) -> Result<Written, ConfigFileError> {
        let ledger = self.clone();
        let blocking = tokio::task::spawn_blocking(move || ledger.write_now(&changes, done));
        blocking.await.unwrap_or_else(|error| {
            Err(ConfigFileError { path: "config.json".into(), message: format!("writing it broke off: {error}") })
        })
    }

    fn write_now(
        &self,
        changes: &[(&str, Option<Value>)],
        done: impl Fn(&CloudSettings) -> bool,
    ) -> Result<Written, ConfigFileError> {
        if !self.still_holds(&self.file.cloud()) {
            return Ok(Written::ChangedMeanwhile);
        }
        match self.file.rewrite(changes) {
            // An earlier write that reached the copy alone is completed; when all agrees this writes nothing.
            Ok(_) => self.file.settle().iter().for_each(|fault| log::warn!("{}: {}", fault.subject, fault.message)),
            // On a boot partition that cannot be written the copy on the data partition stands in for the file.
            Err(error) if done(&self.file.cloud()) => log::warn!("{error}"),
            Err(error) => return Err(error),
        }
        Ok(Written::Yes)
    }

    /// Whether the file still speaks of the device and the cloud that provisioning began with. An identity that is not in it
    /// yet is no contradiction.
    fn still_holds(&self, now: &CloudSettings) -> bool {
        let began = &*self.cloud;
        now.api_endpoint == began.api_endpoint
            && now.api_key == began.api_key
            && (now.application_id, &now.device_type) == (began.application_id, &began.device_type)
            && (now.uuid.is_none() || now.uuid == began.uuid)
            && (now.device_api_key.is_none() || now.device_api_key == began.device_api_key)
    }
}

fn key_of(cloud: &CloudSettings) -> Option<String> {
    cloud.device_api_key.as_ref().map(Secret::reveal).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ConfigFile;

    const FLASHED: &str = r#"{"apiEndpoint":"https://api.example.com","apiKey":"p","applicationId":5,"os":{"x": 1}}"#;

    fn device(text: &str) -> (tempfile::TempDir, ConfigFile, CloudSettings) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let file = ConfigFile::new(&folder.path().join("config.json"), folder.path());
        file.settle();
        let cloud = file.cloud();
        (folder, file, cloud)
    }

    #[tokio::test]
    async fn identity_registration_and_the_end_of_the_key_are_written() {
        let (folder, file, cloud) = device(FLASHED);
        let made = CloudSettings { uuid: Some("a".repeat(32)), device_api_key: Some("k".into()), ..cloud };
        let ledger = Ledger::new(file.clone(), Arc::new(made.clone()));
        assert_eq!(ledger.keep().await, Ok(Written::Yes));
        assert_eq!(file.cloud(), made);
        assert_eq!(ledger.keep().await, Ok(Written::Yes));
        assert_eq!(ledger.finish(7, 1_800_000_000_000).await, Ok(Written::Yes));
        let expected = CloudSettings { api_key: None, device_id: Some(7), registered_at: Some(1_800_000_000_000), ..made };
        assert_eq!(file.cloud(), expected);
        for name in ["config.json", "config.json.good"] {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(!text.contains("apiKey\"") && text.contains(r#""os": {"x": 1}"#), "{name}: {text}");
        }
    }

    #[tokio::test]
    async fn a_clock_of_1970_is_not_never() {
        let (_folder, file, cloud) = device(FLASHED);
        let ledger = Ledger::new(file.clone(), Arc::new(cloud));
        assert_eq!(ledger.finish(7, 0).await, Ok(Written::Yes));
        assert_eq!(file.cloud().registered_at, Some(1));
    }

    #[tokio::test]
    async fn a_persons_edit_meanwhile_is_not_written_over() {
        let (folder, file, cloud) = device(FLASHED);
        let ledger = Ledger::new(file, Arc::new(cloud));
        for (from, to) in [("api.example", "other.example"), (r#":"p""#, r#":"q""#), (":5", ":6")] {
            let edited = FLASHED.replace(from, to);
            std::fs::write(folder.path().join("config.json"), &edited).unwrap();
            assert_eq!(ledger.finish(7, 1).await, Ok(Written::ChangedMeanwhile), "{edited}");
            assert_eq!(ledger.keep().await, Ok(Written::ChangedMeanwhile), "{edited}");
            assert_eq!(std::fs::read_to_string(folder.path().join("config.json")).unwrap(), edited);
        }
        // What provisioning does not rest on may be edited at any time, and stays.
        std::fs::write(folder.path().join("config.json"), FLASHED.replace("\"x\": 1", "\"y\": 2")).unwrap();
        assert_eq!(ledger.finish(7, 1).await, Ok(Written::Yes));
        assert!(std::fs::read_to_string(folder.path().join("config.json")).unwrap().contains(r#""os": {"y": 2}"#));
    }

    #[tokio::test]
    async fn a_boot_partition_that_cannot_be_written_does_not_keep_a_device_from_joining() {
        let (folder, file, cloud) = device(FLASHED);
        // A folder in the place of the temporary file stops the replacement for root too.
        std::fs::create_dir(folder.path().join("config.json.new")).unwrap();
        let ledger = Ledger::new(file.clone(), Arc::new(cloud));
        assert_eq!(ledger.finish(7, 5).await, Ok(Written::Yes));
        assert_eq!((file.cloud().device_id, file.cloud().api_key), (Some(7), None));
        std::fs::remove_dir(folder.path().join("config.json.new")).unwrap();
        assert_eq!(file.settle(), []);
        assert!(!std::fs::read_to_string(folder.path().join("config.json")).unwrap().contains("apiKey\""));
    }

    #[tokio::test]
    async fn a_new_identity_begins_from_nothing() {
        let (_folder, file, cloud) =
            device(r#"{"apiEndpoint":"https://a.example.com","apiKey":"p","registered_at":5,"uuid":""}"#);
        let ledger = Ledger::new(file.clone(), Arc::new(cloud));
        assert_eq!(ledger.renew("b".repeat(32), "k2".into()).await, Ok(Written::Yes));
        let now = file.cloud();
        assert_eq!((now.uuid, now.registered_at, now.device_id), (Some("b".repeat(32)), None, None));
        assert_eq!(now.api_key, Some("p".into()));
    }
}
