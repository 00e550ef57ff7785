//! From device variables to changes of a file (behaviour §10, §11).

use std::collections::{BTreeMap, BTreeSet};

use super::{BACK_ENDS, BackEnd, Changes, Values};

/// Prefixes of device variables; the first wins, none is accepted (behaviour §10).
const PREFIXES: [&str; 3] = ["BALENA_", "RESIN_", ""];

/// Variables of settings before the system starts that no back-end here answers to.
const NOT_OBEYED: [&str; 3] = ["HOST_ODMDATA_", "HOST_CONFIGFS_", "HOST_SPLASH_"];

/// What the target asks of a back-end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Values by key.
    pub values: Values,
    /// Variables that are refused: which and why.
    pub refused: Vec<(String, String)>,
}

/// The variables that begin with this, by the rest of their name.
fn variables<'a>(config: &'a BTreeMap<String, String>, beginning: &str) -> BTreeMap<&'a str, &'a str> {
    let mut found = BTreeMap::new();
    for prefix in PREFIXES.iter().rev() {
        let rest = |name: &'a String| name.strip_prefix(prefix)?.strip_prefix(beginning);
        found.extend(config.iter().filter_map(|(name, value)| Some((rest(name)?, value.as_str()))));
    }
    found
}

/// What device variables ask of a back-end. `device_type` is for the overlay the balenaFin cannot do without.
pub fn wanted(config: &BTreeMap<String, String>, back_end: &BackEnd, current: &Values, device_type: &str) -> Wanted {
    let mut wanted = Wanted::default();
    for (key, raw) in variables(config, back_end.prefix) {
        match back_end.values(key, raw) {
            // Off is what a file without the switch says.
            Ok(values) if !back_end.is_text() && values == ["false"] && !current.contains_key(key) => {}
            Ok(values) => {
                wanted.values.insert(key.to_owned(), values);
            }
            // What is in the file already need not be refused: an earlier supervisor may have told the cloud of it.
            Err(_) if current.get(key).is_some_and(|values| values.len() == 1 && values[0] == raw.trim()) => {}
            Err(why) => wanted.refused.push((format!("{}{key}", back_end.prefix), why)),
        }
    }
    if device_type == "fincm3" && back_end.name == "config.txt" {
        const FIN: &str = "balena-fin";
        let overlays = wanted.values.get("dtoverlay").or_else(|| current.get("dtoverlay")).cloned().unwrap_or_default();
        if !overlays.iter().any(|overlay| overlay.split(',').next() == Some(FIN)) {
            wanted.values.insert("dtoverlay".into(), overlays.into_iter().chain([FIN.to_owned()]).collect());
        }
    }
    wanted
}

/// What has to change: keys that say something else, and keys the agent once set that nobody asks for any more.
pub fn changes(current: &Values, wanted: &Values, own: &BTreeSet<String>) -> Changes {
    let set = wanted.iter().filter(|(key, values)| current.get(*key) != Some(*values));
    let gone = own.iter().filter(|key| !wanted.contains_key(*key) && current.contains_key(*key));
    set.map(|(key, values)| (key.clone(), Some(values.clone()))).chain(gone.map(|key| (key.clone(), None))).collect()
}

/// Changes as one line: why the device has to start again. The same changes are the same line.
pub fn reason_line(back_end: &str, changes: &Changes) -> String {
    let one = |(key, values): (&String, &Option<Vec<String>>)| match values {
        Some(values) => format!("{key}={}", values.join(" + ")),
        None => format!("{key} removed"),
    };
    format!("{back_end}: {}", changes.iter().map(one).collect::<Vec<_>>().join("; "))
}

/// Variables for back-ends that this device does not have.
pub fn foreign<'a>(config: &BTreeMap<String, String>, present: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let has = |prefix: &str| present.clone().filter_map(BackEnd::named).any(|back_end| back_end.prefix == prefix);
    let absent = BACK_ENDS.iter().map(|back_end| back_end.prefix).filter(|prefix| !has(prefix)).chain(NOT_OBEYED);
    let absent: BTreeSet<&str> = absent.collect();
    absent.iter().flat_map(|prefix| variables(config, prefix).into_keys().map(move |key| format!("{prefix}{key}"))).collect()
}

#[cfg(test)]
mod tests;
