//! Taking secrets out of what goes into the bundle.
//!
//! | file | what |
//! |---|---|
//! | `names` | which names speak of a secret |
//! | `tree` | the first net in JSON: by names, in environments, labels and commands |
//! | `line` | the first net in lines of text |
//! | `forms` | the second net: how a known secret may look |

mod forms;
mod line;
mod names;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::store::Cell;
use forms::Forms;

/// Stands where something was.
pub(super) const REMOVED: &str = "(removed)";

/// Shorter texts are no secrets worth the name: taken out everywhere they would take half of the bundle along. The second is
/// for values whose name says nothing.
const LEAST_SECRET_BYTES: usize = 4;
const LEAST_VALUE_BYTES: usize = 6;
/// How many values are remembered whose names say nothing, how many in all, and how many places are told.
const MOST_VALUES: usize = 4000;
const MOST_SECRETS: usize = 20_000;
const MOST_PLACES: usize = 5000;
/// Lines of a secret that has several are secrets too from this length.
const LEAST_LINE_BYTES: usize = 16;

/// Words that stand everywhere, and are nobody's secret even where they are removed.
const ORDINARY: [&str; 12] =
    ["true", "false", "null", "none", "info", "debug", "error", "default", "localhost", "enabled", "disabled", REMOVED];

/// Takes secrets out and remembers what they were and where they stood.
pub(super) struct Scrubber {
    /// Whether values of the environment stay whose names say nothing of a secret.
    with_environment: bool,
    known: BTreeSet<String>,
    /// Made anew when more is known.
    forms: Option<Forms>,
    places: BTreeMap<String, usize>,
    removed: usize,
    /// Whether something was not remembered because so much is already.
    pub full: bool,
    /// Distinguishes removed values of a column that may hold each only once.
    numbered: usize,
}

impl Scrubber {
    pub fn new(with_environment: bool) -> Scrubber {
        Scrubber {
            with_environment,
            known: BTreeSet::new(),
            forms: None,
            places: BTreeMap::new(),
            removed: 0,
            full: false,
            numbered: 0,
        }
    }

    /// The first net over JSON.
    pub fn json(&mut self, member: &str, value: &mut Value) {
        tree::scrub(self, &format!("{member}#"), value, 0);
    }

    /// The first net over text; of a configuration what is removed is remembered.
    pub fn text(&mut self, member: &str, text: &str, remember: bool) -> String {
        line::scrub(self, member, text, remember)
    }

    /// The first net over a text of the database.
    pub fn cell(&mut self, cell: Cell<'_>) -> String {
        let place = format!("{}#/{}/{}", super::DATABASE, cell.table, cell.column);
        let named = cell.column == "value" && cell.name.is_some_and(names::is_secret);
        if (names::is_secret(cell.column) || named) && !cell.text.is_empty() {
            self.learn(cell.text, true);
            self.note(&place);
            self.numbered += 1;
            return format!("(removed {})", self.numbered);
        }
        let mut value = Value::String(cell.text.to_owned());
        tree::scrub(self, &place, &mut value, 0);
        match value {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// The second net: everything that is known by now.
    pub fn second_net(&mut self, member: &str, text: &str) -> String {
        match self.forms().remove(text) {
            None => text.to_owned(),
            Some((cleaned, count)) => {
                (0..count).for_each(|_| self.note(member));
                cleaned
            }
        }
    }

    fn forms(&mut self) -> &Forms {
        let known = &self.known;
        self.forms.get_or_insert_with(|| Forms::of(known))
    }

    /// Where something was removed and how often; how much in all. A place may be named like a secret, as a file with the
    /// password of a Wi-Fi is that is called as the network is.
    pub fn places(&mut self) -> (usize, Value) {
        let places = std::mem::take(&mut self.places);
        let forms = self.forms();
        let rows = places.into_iter().map(|(place, times)| {
            let place = forms.remove(&place).map_or(place, |(cleaned, _)| cleaned);
            json!({ "where": place, "times": times })
        });
        let rows = rows.collect();
        (self.removed, rows)
    }

    /// Forgets where things stood, not what they were.
    pub fn forget_places(&mut self) {
        (self.places, self.removed) = (BTreeMap::new(), 0);
    }

    fn note(&mut self, place: &str) {
        self.removed += 1;
        if let Some(times) = self.places.get_mut(place) {
            *times += 1;
        } else if self.places.len() < MOST_PLACES {
            self.places.insert(place.to_owned(), 1);
        }
    }

    /// Remembers a value; `secret` when its name says so.
    fn learn(&mut self, value: &str, secret: bool) {
        let value = value.trim();
        let least = if secret { LEAST_SECRET_BYTES } else { LEAST_VALUE_BYTES };
        let number = !secret && value.len() < 8 && value.bytes().all(|byte| byte.is_ascii_digit());
        if value.len() < least || number || ORDINARY.contains(&&*value.to_ascii_lowercase()) {
            return;
        }
        // Room is kept for those that matter most.
        if !secret && self.known.len() >= MOST_VALUES {
            self.full = true;
            return;
        }
        self.keep(value, least);
        for line in value.lines().map(str::trim).filter(|line| line.len() < value.len()) {
            self.keep(line, LEAST_LINE_BYTES);
        }
        self.learn_within(value);
    }

    /// What a value holds that is a secret by itself: the password in an address, and in base64 a user with a password or
    /// more JSON.
    fn learn_within(&mut self, value: &str) {
        for (user, password) in line::credentials(value) {
            self.keep(password, LEAST_SECRET_BYTES);
            self.keep(user, LEAST_VALUE_BYTES);
        }
        let Some(decoded) = forms::decoded(value) else { return };
        if let Ok(mut inner @ Value::Object(_)) = serde_json::from_str::<Value>(&decoded) {
            // It stands nowhere in the bundle.
            let (places, removed) = (std::mem::take(&mut self.places), self.removed);
            tree::scrub(self, "", &mut inner, 1);
            (self.places, self.removed) = (places, removed);
        } else if let Some((_, password)) = decoded.split_once(':') {
            self.keep(password, LEAST_SECRET_BYTES);
        }
    }

    fn keep(&mut self, text: &str, least: usize) {
        if text.len() < least || self.known.contains(text) {
            return;
        }
        if self.known.len() >= MOST_SECRETS {
            self.full = true;
            return;
        }
        self.known.insert(text.to_owned());
        self.forms = None;
    }
}

#[cfg(test)]
mod tests;
