//! Environment and labels: wanted over the image's against what is there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::container::environment::is_kept_from_creation;

type Pairs = BTreeMap<String, String>;

/// Names the variables that differ.
pub fn environment(is: &Pairs, wanted: &Pairs, image: Option<&Pairs>, fields: &mut Vec<String>) {
    let mut names = differing(is, wanted, image);
    names.retain(|name| !is_kept_from_creation(name));
    push("environment", &names, fields);
}

/// Names the labels that differ, by their names of today (protocol §18.3).
pub fn labels(is: &Pairs, wanted: &Pairs, image: Option<&Pairs>, fields: &mut Vec<String>) {
    let (is, wanted, image) = (today(is), today(wanted), image.map(today));
    push("label", &differing(&is, &wanted, image.as_deref()), fields);
}

fn push(what: &str, names: &[&str], fields: &mut Vec<String>) {
    if !names.is_empty() {
        fields.push(format!("{what} {}", names.join(", ")));
    }
}

fn differing<'a>(is: &'a Pairs, wanted: &'a Pairs, image: Option<&'a Pairs>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    let of_image = image.into_iter().flatten().filter(|(name, _)| !wanted.contains_key(*name));
    for (name, value) in wanted.iter().chain(of_image) {
        if is.get(name) != Some(value) {
            names.push(name);
        }
    }
    if let Some(image) = image {
        names.extend(is.keys().filter(|name| !wanted.contains_key(*name) && !image.contains_key(*name)).map(String::as_str));
    }
    names.sort_unstable();
    names
}

fn today(labels: &Pairs) -> Cow<'_, Pairs> {
    let mut old = labels.range("io.resin.".to_owned()..).take_while(|(name, _)| name.starts_with("io.resin."));
    if old.next().is_none() { Cow::Borrowed(labels) } else { Cow::Owned(crate::target::renamed_labels(labels.clone())) }
}
