//! What was found wrong while reading one app.

use super::Field;
use crate::target::Offence;

/// At most so many findings of one kind are kept an app: a person reads the first few, memory must not follow the rest.
const KEPT: usize = 100;

/// What a mistake in a field leads to. The rule stands in [`crate::target::compose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The app could not work as asked: it is refused.
    Refuse,
    /// The default is used and the field is named as unsupported.
    Name,
}

/// Everything found wrong in one app so far.
#[derive(Debug, Default)]
pub struct Findings {
    offences: Vec<Offence>,
    offences_left_out: usize,
    unsupported: Vec<Offence>,
    /// How many more ports may be read: ranges are written out, and a document must not grow without bound.
    pub ports_left: usize,
}

impl Findings {
    /// Nothing found yet.
    pub fn new(ports_left: usize) -> Findings {
        Findings { ports_left, ..Findings::default() }
    }

    /// Notes a mistake at a field.
    pub fn note(&mut self, weight: Weight, field: &Field<'_>, message: impl Into<String>) {
        match weight {
            Weight::Refuse => self.refuse(field, message),
            Weight::Name => self.name(field, message),
        }
    }

    /// Notes something that refuses the app.
    pub fn refuse(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.refuse_at(|| field.path(), message);
    }

    /// Notes something that refuses the app, at a place that has no field of its own.
    pub fn refuse_at(&mut self, path: impl FnOnce() -> String, message: impl Into<String>) {
        if self.offences.len() < KEPT {
            self.offences.push(Offence { path: path(), message: message.into() });
        } else {
            self.offences_left_out += 1;
        }
    }

    /// Names something that is asked for and not done.
    pub fn name(&mut self, field: &Field<'_>, message: impl Into<String>) {
        if self.unsupported.len() < KEPT {
            self.unsupported.push(Offence { path: field.path(), message: message.into() });
        }
    }

    /// What was named since the last call: the share of one service.
    pub fn take_unsupported(&mut self) -> Vec<Offence> {
        std::mem::take(&mut self.unsupported)
    }

    /// Whether the app is still acceptable.
    pub fn is_clean(&self) -> bool {
        self.offences.is_empty()
    }

    /// All offences, with a last word about those that were not kept.
    pub fn into_offences(mut self) -> Vec<Offence> {
        if let (1.., Some(last)) = (self.offences_left_out, self.offences.last()) {
            let message = format!("{} more offences after this one are not listed", self.offences_left_out);
            self.offences.push(Offence { path: last.path.clone(), message });
        }
        self.offences
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_list_of_offences_is_bounded() {
        let value = json!(1);
        let mut findings = Findings::new(0);
        for _ in 0..KEPT + 5 {
            findings.note(Weight::Refuse, &Field::root(&value), "wrong");
        }
        assert!(!findings.is_clean());
        let offences = findings.into_offences();
        assert_eq!(offences.len(), KEPT + 1);
        assert!(offences.last().unwrap().message.starts_with("5 more"));
    }
}
