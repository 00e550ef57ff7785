//! Boot configuration: what the firmware or boot loader reads before the system starts (behaviour §11).
//!
//! A back-end is a row of [`BACK_ENDS`]: which devices have it, which variables it answers to, which file it edits, and two
//! pure functions over that file's text: what it says ([`BackEnd::read`]), and the same text with some keys changed
//! ([`BackEnd::edit`]). Whatever is not changed stays byte for byte: comments, order, lines nobody understands, sections
//! for other boards.

mod back_end;
mod board;
mod config_txt;
mod extlinux;
mod extra_uenv;
mod line;
mod overlay;
mod value;
mod wanted;
mod word;

pub use back_end::{BACK_ENDS, BackEnd};
pub use board::Board;
pub use wanted::{Wanted, changes, foreign, reason_line, wanted};

use std::collections::{BTreeMap, BTreeSet};

/// What a file says, by key. Most keys have one value; those that may stand several times have all of theirs, in order.
pub type Values = BTreeMap<String, Vec<String>>;

/// Keys to set, or (`None`) to remove.
pub type Changes = BTreeMap<String, Option<Vec<String>>>;

/// Keys that the agent set, by back-end: only these does it ever remove.
pub type OwnKeys = BTreeMap<String, BTreeSet<String>>;
