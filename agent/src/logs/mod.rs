//! What containers write, as lines of several services: what there is, and what comes.
//!
//! The engine keeps the logs; nothing is kept here. First the newest lines of every container in the order of their times,
//! then each container's own as they come. A container that is replaced or started again is followed on, from the line that
//! came last; one that is new joins. Whoever reads sets the pace: while nobody takes a line, none is asked for.

mod backlog;
mod follow;
mod line;

pub use follow::{LogWish, Subject, Subjects, gather};
pub use line::{Line, Source};
