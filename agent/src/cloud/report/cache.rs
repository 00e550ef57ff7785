//! The last accepted report on a memory file system, so that a restarted agent does not say everything again
//! (protocol §6.5). Losing it costs one report.

use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cloud::Report;

/// More than this is not read back, bytes.
const LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// What the file holds: a report, and to whom it was made.
#[derive(Serialize, Deserialize)]
struct Content<'a> {
    endpoint: std::borrow::Cow<'a, str>,
    uuid: std::borrow::Cow<'a, str>,
    report: std::borrow::Cow<'a, Report>,
}

/// The file, for one device at one cloud.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    /// Where it is; `None` keeps nothing.
    pub path: Option<PathBuf>,
    /// The cloud.
    pub endpoint: String,
    /// The device.
    pub uuid: String,
}

impl Cache {
    /// The last accepted report; empty when there is none that was made to this cloud as this device.
    pub fn load(&self) -> Report {
        let Some(path) = &self.path else { return Report::new() };
        match read(path) {
            Ok(text) => match serde_json::from_str::<Content<'_>>(&text) {
                Ok(content) if content.endpoint == self.endpoint && content.uuid == self.uuid => content.report.into_owned(),
                Ok(_) => Report::new(),
                Err(error) => {
                    log::warn!("{}: is not a report ({error}); everything is reported again", path.display());
                    Report::new()
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Report::new(),
            Err(error) => {
                log::warn!("{}: cannot be read ({error}); everything is reported again", path.display());
                Report::new()
            }
        }
    }

    /// Keeps a report. A failure is only logged.
    pub fn save(&self, report: &Report) {
        let Some(path) = &self.path else { return };
        if let Err(error) = self.write(path, report) {
            log::warn!("{}: cannot be written ({error}); after a restart everything is reported again", path.display());
        }
    }

    fn write(&self, path: &Path, report: &Report) -> std::io::Result<()> {
        let content = Content {
            endpoint: self.endpoint.as_str().into(),
            uuid: self.uuid.as_str().into(),
            report: std::borrow::Cow::Borrowed(report),
        };
        let text = serde_json::to_vec(&content)?;
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        }
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        // A left-over is removed and not written through: the folder above may be everybody's.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // It holds the key of the local API.
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?.write_all(&text)?;
        std::fs::rename(&new, path)
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LIMIT_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    #[test]
    fn comes_back_for_the_same_device_and_cloud_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/report");
        let cache = Cache { path: Some(path.clone()), endpoint: "e".into(), uuid: "u".into() };
        assert!(cache.load().is_empty());
        let report = json!({ "api_secret": "k", "apps": { "a": {} } }).as_object().unwrap().clone();
        cache.save(&report);
        cache.save(&report);
        assert_eq!(cache.load(), report);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Cache { uuid: "v".into(), ..cache.clone() }.load().is_empty());
        assert!(Cache { endpoint: "f".into(), ..cache.clone() }.load().is_empty());
        for rubbish in ["", "{", "[]", "{\"endpoint\":\"e\",\"uuid\":\"u\",\"report\":3}"] {
            std::fs::write(&path, rubbish).unwrap();
            assert!(cache.load().is_empty(), "{rubbish}");
        }
    }
}
