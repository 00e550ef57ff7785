//! The table of back-ends.

use super::board::{self, Board};
use super::{Changes, Values, config_txt, extlinux, extra_uenv, overlay, value};

/// Which keys may be changed.
enum Keys {
    /// Any but these: they decide whether the device boots at all, or are somebody else's.
    Except(&'static [&'static str]),
    /// These.
    Only(&'static [&'static str]),
}

/// Reads and edits a file's text.
struct Text {
    read: fn(&[u8]) -> Result<Values, String>,
    edit: fn(&[u8], &Changes) -> Result<Vec<u8>, String>,
}

/// One kind of boot configuration.
pub struct BackEnd {
    /// What people call it.
    pub name: &'static str,
    /// Its file, below the boot partition.
    pub file: &'static str,
    /// How the variables for it begin, without `BALENA_` or `RESIN_`.
    pub prefix: &'static str,
    keys: Keys,
    fits: fn(&Board<'_>) -> bool,
    values: fn(&str, &str) -> Result<Vec<String>, String>,
    text: Option<Text>,
}

impl std::fmt::Debug for BackEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const CONFIG_TXT_REFUSED: [&str; 13] = [
    "disable_commandline_tags",
    "cmdline",
    "kernel",
    "kernel_address",
    "kernel_old",
    "ramfsfile",
    "ramfsaddr",
    "initramfs",
    "device_tree_address",
    "init_emmc_clock",
    "avoid_safe_mode",
    "power_mode",
    "fan_profile",
];

/// Every back-end there is (behaviour §11).
pub static BACK_ENDS: [BackEnd; 4] = [
    BackEnd {
        name: "config.txt",
        file: "config.txt",
        prefix: "HOST_CONFIG_",
        keys: Keys::Except(&CONFIG_TXT_REFUSED),
        fits: board::has_config_txt,
        values: config_txt_values,
        text: Some(Text { read: config_txt::read, edit: config_txt::edit }),
    },
    BackEnd {
        name: "extlinux",
        file: "extlinux/extlinux.conf",
        prefix: "HOST_EXTLINUX_",
        keys: Keys::Only(&["isolcpus", "fdt"]),
        fits: board::has_extlinux,
        values: word_values,
        text: Some(Text { read: extlinux::read, edit: extlinux::edit }),
    },
    BackEnd {
        name: "extra_uEnv",
        file: "extra_uEnv.txt",
        prefix: "HOST_EXTLINUX_",
        keys: Keys::Only(&["isolcpus", "fdt"]),
        fits: board::has_extra_uenv,
        values: word_values,
        text: Some(Text { read: extra_uenv::read, edit: extra_uenv::edit }),
    },
    // Read by the system at its start like the others, but the agent's own file with a journal of its own.
    BackEnd {
        name: "config.json",
        file: "config.json",
        prefix: "SUPERVISOR_PERSISTENT_",
        keys: Keys::Only(&["LOGGING"]),
        fits: board::any,
        values: switch_values,
        text: None,
    },
];

impl BackEnd {
    /// The back-end of a name.
    pub fn named(name: &str) -> Option<&'static BackEnd> {
        BACK_ENDS.iter().find(|back_end| back_end.name == name)
    }

    /// The back-ends of a device.
    pub fn of(board: &Board<'_>) -> impl Iterator<Item = &'static BackEnd> {
        BACK_ENDS.iter().filter(|back_end| (back_end.fits)(board))
    }

    /// Whether its file is a text that [`BackEnd::read`] and [`BackEnd::edit`] know.
    pub fn is_text(&self) -> bool {
        self.text.is_some()
    }

    /// What a file says.
    ///
    /// # Errors
    /// When the text is none of this kind, with what is missing in it.
    pub fn read(&self, text: &[u8]) -> Result<Values, String> {
        self.text.as_ref().map_or_else(|| Err("it has no text of its own".to_owned()), |kind| (kind.read)(text))
    }

    /// The text with some keys changed and everything else as it was.
    ///
    /// # Errors
    /// When the text has no place for them, or would not say afterwards what is asked for: then nothing may be written.
    pub fn edit(&self, text: &[u8], changes: &Changes) -> Result<Vec<u8>, String> {
        let kind = self.text.as_ref().ok_or("it has no text of its own")?;
        let edited = (kind.edit)(text, changes)?;
        let said = (kind.read)(&edited)?;
        for (key, values) in changes {
            if said.get(key) != values.as_ref().filter(|values| !values.is_empty()) {
                return Err(format!("{key} cannot be given this value in it"));
            }
        }
        Ok(edited)
    }

    /// The values a variable asks for.
    ///
    /// # Errors
    /// Why this key or value is refused.
    pub fn values(&self, key: &str, raw: &str) -> Result<Vec<String>, String> {
        value::key(key)?;
        let allowed = match self.keys {
            Keys::Except(keys) => !keys.contains(&key),
            Keys::Only(keys) => keys.contains(&key),
        };
        if !allowed {
            return Err(format!("Attempt to change blacklisted config value: {} does not take it from a variable", self.name));
        }
        (self.values)(key, raw)
    }
}

fn config_txt_values(key: &str, raw: &str) -> Result<Vec<String>, String> {
    let values = if config_txt::LISTS.contains(&key) { value::list(raw)? } else { vec![raw.trim().to_owned()] };
    values.iter().try_for_each(|value| value::one_line(value))?;
    if key != "dtoverlay" {
        return Ok(values);
    }
    let overlays: Vec<String> = values.iter().map(|value| overlay::normal(value)).collect();
    if overlays.iter().any(|overlay| overlay.is_empty() || overlay.starts_with(',')) {
        return Err("an overlay has no name".to_owned());
    }
    Ok(overlays)
}

fn word_values(_: &str, raw: &str) -> Result<Vec<String>, String> {
    let value = raw.trim();
    value::one_word(value)?;
    Ok(vec![value.to_owned()])
}

fn switch_values(_: &str, raw: &str) -> Result<Vec<String>, String> {
    let on = ["1", "true", "on"].iter().any(|word| raw.trim().eq_ignore_ascii_case(word));
    Ok(vec![on.to_string()])
}
