//! What commands print, made by pure functions: the same answer gives the same text, 80 columns wide or as wide as a terminal.

mod devices;
mod done;
mod history;
mod locks;
mod page;
mod plan;
mod progress;
mod status;
mod table;
mod volumes;
mod words;

pub(super) use devices::{DeviceLine, devices};
pub(super) use done::done;
pub(super) use history::history;
pub(super) use locks::locks;
pub(super) use page::Paint;
pub(super) use plan::plan;
pub(super) use progress::{progress, steps};
pub(super) use status::status;
pub(super) use volumes::volumes;
pub(super) use words::{plain, size};
