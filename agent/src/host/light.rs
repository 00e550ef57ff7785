//! The light that lets somebody find the device (behaviour §17).

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::HostError;
use super::file::read_in;

/// Where the light is unless the host says otherwise.
const DEFAULT: &str = "/sys/class/leds/led0/brightness";
/// Names the file that switches it.
const VARIABLE: &str = "LED_FILE";
/// Where balenaOS names it (behaviour §16).
const SETTINGS: &str = "etc/balena-supervisor/supervisor.conf";

/// How often it goes on and off: 15 s (protocol §17.3).
const BLINKS: u32 = 30;
/// How long it stays on, and off.
const PHASE: Duration = Duration::from_millis(250);

/// The light.
#[derive(Debug)]
pub(super) struct Light {
    file: PathBuf,
    blinking: Mutex<Option<JoinHandle<()>>>,
}

impl Light {
    /// The light of the host at this root.
    pub fn of(root: &Path) -> Light {
        let named = std::env::var(VARIABLE).ok().or_else(|| from_settings(&read_in(root, SETTINGS)?));
        let file = named.filter(|file| !file.is_empty()).unwrap_or_else(|| DEFAULT.to_owned());
        Light { file: file.into(), blinking: Mutex::default() }
    }

    /// Lets it blink, from now on when it does already. A device without one does nothing.
    pub fn blink(&self) -> Result<(), HostError> {
        if !self.file.exists() {
            log::info!("this device is to blink and has no light at {}", self.file.display());
            return Ok(());
        }
        switch(&self.file, true)?;
        let file = self.file.clone();
        let task = tokio::spawn(async move {
            for blink in 0..BLINKS {
                if blink > 0 && switch(&file, true).is_err() {
                    break;
                }
                sleep(PHASE).await;
                if switch(&file, false).is_err() {
                    break;
                }
                sleep(PHASE).await;
            }
        });
        let before = self.blinking.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
        before.iter().for_each(JoinHandle::abort);
        Ok(())
    }
}

fn switch(file: &Path, on: bool) -> Result<(), HostError> {
    let failed = |error: std::io::Error| HostError::File {
        path: file.display().to_string(),
        message: format!("the light cannot be switched: {error}"),
    };
    // Never made: a name that is wrong must not become a file.
    let mut light = std::fs::OpenOptions::new().write(true).open(file).map_err(failed)?;
    std::io::Write::write_all(&mut light, if on { b"1" } else { b"0" }).map_err(failed)
}

fn from_settings(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("LED_FILE="))?;
    Some(value.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_blinks_and_ends_dark() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("brightness");
        std::fs::write(&file, "0").unwrap();
        let light = Light { file: file.clone(), blinking: Mutex::default() };
        light.blink().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "1");
        sleep(Duration::from_secs(5)).await;
        light.blink().unwrap();
        sleep(Duration::from_secs(16)).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "0");
        let none = Light { file: folder.path().join("none"), blinking: Mutex::default() };
        none.blink().unwrap();
        assert!(!none.file.exists());
    }

    #[test]
    fn the_host_says_where_it_is() {
        assert_eq!(
            from_settings("SUPERVISOR_IMAGE=x\nLED_FILE=/sys/class/leds/ACT/brightness\n").as_deref(),
            Some("/sys/class/leds/ACT/brightness")
        );
        assert_eq!(from_settings("LED_FILE=\"\"").as_deref(), Some(""));
        assert_eq!(from_settings("OTHER=1"), None);
    }
}
