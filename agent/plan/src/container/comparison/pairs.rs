//! Environment and labels: wanted over the image's against what is there.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::container::MADE_FROM_LABEL;
use crate::container::environment::is_kept_from_creation;
use crate::target::renamed_labels;

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
    let mut names = differing(&is, &wanted, image.as_deref());
    names.retain(|name| *name != MADE_FROM_LABEL);
    push("label", &names, fields);
}

fn push(what: &str, names: &[&str], fields: &mut Vec<String>) {
    if !names.is_empty() {
        fields.push(format!("{what} {}", names.join(", ")));
    }
}

/// The names under which something else stands than wanted, or than the image's where nothing is wanted. Both maps are
/// sorted and mostly equal, so they are walked side by side.
fn differing<'a>(is: &'a Pairs, wanted: &'a Pairs, image: Option<&'a Pairs>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    let (mut present, mut asked) = (is.iter().peekable(), wanted.iter().peekable());
    loop {
        let order = match (present.peek(), asked.peek()) {
            (None, None) => break,
            (Some((is, _)), Some((wanted, _))) => is.cmp(wanted),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        let found = if order.is_le() { present.next() } else { None };
        let wanted = if order.is_ge() { asked.next() } else { None };
        match (found, wanted) {
            (Some((name, found)), Some((_, wanted))) if found != wanted => names.push(name),
            // Without the image, what nobody asked for is taken to be the image's.
            (Some((name, found)), None) if image.is_some_and(|image| image.get(name) != Some(found)) => names.push(name),
            (None, Some((name, _))) => names.push(name),
            _ => {}
        }
    }
    let of_image = image.into_iter().flat_map(Pairs::keys);
    let missing = of_image.filter(|name| !is.contains_key(*name) && !wanted.contains_key(*name));
    names.extend(missing.map(String::as_str));
    names.sort_unstable();
    names
}

fn today(labels: &Pairs) -> Cow<'_, Pairs> {
    let mut from_early = labels.range::<str, _>((Bound::Included("io.resin."), Bound::Unbounded));
    match from_early.next() {
        Some((name, _)) if name.starts_with("io.resin.") => Cow::Owned(renamed_labels(labels.clone())),
        _ => Cow::Borrowed(labels),
    }
}
