//! Labels, with the names they had in balena's early days rewritten.

use std::collections::BTreeMap;

use crate::target::reading::{Section, Weight};

/// Reads labels, as an object or as a list of `key=value`.
pub fn read(section: &mut Section<'_, '_>) -> BTreeMap<String, String> {
    renamed(section.pairs("labels", Weight::Refuse))
}

/// Rewrites `io.resin.*` to `io.balena.*`, everywhere in the key (protocol §18.3). Where both are given, the new name wins.
pub fn renamed(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let old: Vec<String> = labels.keys().filter(|key| key.starts_with("io.resin.")).cloned().collect();
    for key in old {
        if let Some(value) = labels.remove(&key) {
            labels.entry(key.replace("resin", "balena")).or_insert(value);
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_are_rewritten_and_new_ones_win() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let labels = BTreeMap::from([
            pair("io.resin.features.resin-api", "1"),
            pair("io.resin.features.dbus", "0"),
            pair("io.balena.features.dbus", "1"),
            pair("com.resin.x", "1"),
        ]);
        let wanted = BTreeMap::from([
            pair("io.balena.features.balena-api", "1"),
            pair("io.balena.features.dbus", "1"),
            pair("com.resin.x", "1"),
        ]);
        assert_eq!(renamed(labels), wanted);
    }
}
