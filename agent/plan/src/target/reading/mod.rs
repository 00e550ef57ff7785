//! Reading JSON from outside: where a value stands, what was wrong with it, and the members of an object by name.

mod field;
mod findings;
mod scalar;
mod section;

pub(super) use field::Field;
pub(super) use findings::{Findings, Weight};
pub(super) use scalar::{boolean, integer, kind, string, text, unsigned};
pub(super) use section::{Section, expected, pairs, texts};
