//! `extra_hosts`: lines for the container's hosts file.

use std::collections::BTreeSet;

use crate::target::reading::{Section, Weight, expected, texts};

/// Reads `host:address` pairs: as a list with `:` or `=` between, or as an object.
pub fn read(section: &mut Section<'_, '_>) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    let Some(field) = section.take("extra_hosts") else { return hosts };
    if field.value.is_object() {
        for (name, member) in field.members().filter(|(_, member)| !member.value.is_null()) {
            let addresses = texts(&member, Weight::Name, section.findings);
            hosts.extend(addresses.into_iter().map(|address| format!("{name}:{address}")));
        }
        return hosts;
    }
    for entry in texts(&field, Weight::Name, section.findings) {
        let entry = entry.replacen('=', ":", 1);
        if entry.split_once(':').is_some_and(|(name, address)| !name.is_empty() && !address.is_empty()) {
            hosts.insert(entry);
        } else {
            section.findings.name(&field, expected("host:address in each of its entries", field.value));
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::target::reading::{Field, Findings};

    #[test]
    fn hosts() {
        for (value, wanted, named) in [
            (json!(["a:1.1.1.1", "b=::1"]), vec!["a:1.1.1.1", "b:::1"], 0),
            (json!({"a": "1.1.1.1", "b": ["1.1.1.2", "1.1.1.3"], "c": null}), vec!["a:1.1.1.1", "b:1.1.1.2", "b:1.1.1.3"], 0),
            (json!(["a"]), vec![], 1),
            (json!(true), vec![], 1),
        ] {
            let service = json!({ "extra_hosts": value });
            let (root, mut findings) = (Field::root(&service), Findings::new(0));
            let read = read(&mut Section::of(&root, &mut findings));
            assert_eq!(read.iter().map(String::as_str).collect::<Vec<_>>(), wanted, "{service}");
            assert_eq!(findings.take_unsupported().len(), named, "{service}");
        }
    }
}
