//! What commands print, made by pure functions: the same answer gives the same text, 80 columns wide or as wide as a terminal.

mod devices;
mod diagnose;
mod done;
mod history;
mod keys;
mod locks;
mod log_line;
mod page;
mod plan;
mod progress;
mod services;
mod stats;
mod status;
mod table;
mod volumes;
mod words;

pub(super) use devices::{DeviceLine, devices};
pub(super) use diagnose::diagnose;
pub(super) use done::done;
pub(super) use history::history;
pub(super) use keys::keys;
pub(super) use locks::locks;
pub(super) use log_line::log_line;
pub(super) use page::Paint;
pub(super) use plan::plan;
pub(super) use progress::{progress, steps};
pub(super) use services::services;
pub(super) use stats::{Signs, stats};
pub(super) use status::status;
pub(super) use volumes::volumes;
pub(super) use words::{plain, size};
