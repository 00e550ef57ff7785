//! Statistics of the machine and its containers, kept on the device.
//!
//! ```text
//! /proc, control groups ─▶ host ─▶ meter ─▶ book ─▶ api, command line
//!   (else the engine)                        │ ▲
//!                             once an hour,  ▼ │ at start
//!                             at the end   telemetry.sqlite
//! ```
//!
//! | file | what |
//! |---|---|
//! | `sampler` | the loop: when to look, when to write |
//! | `meter` | from counters to what happened since the last look |
//! | `column`, `packed`, `ring`, `series` | rows of figures in little memory: a day by the minute, a week, a month |
//! | `book`, `statistics` | the series of all services, and where they stand in time |
//! | `file` | what is kept over a restart |
//!
//! It may all be lost without harm to anything else.

mod book;
mod column;
mod file;
mod meter;
mod packed;
mod ring;
mod sampler;
mod series;
mod statistics;

pub use book::{Book, Keeping, Latest, MachineLatest, Service};
pub use column::{BLOCK, CPU, Column, Columns, HEALTH, LOOKS, MEMORY, NETWORK, Row, Unit};
#[cfg(test)]
pub(crate) use column::{CONTAINER, MACHINE};
pub use sampler::{Sampler, Surroundings};
pub use series::{MOST_POINTS, Series};
pub use statistics::Statistics;
