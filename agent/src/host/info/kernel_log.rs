//! The kernel's log, record by record.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::super::file::open_in;

/// The kernel hands its log out record by record, none longer than this, bytes.
const RECORD_BYTES: usize = 8 * 1024;

/// How many records are read at one look; what is left waits for the next.
const MAX_RECORDS: usize = 16 * 1024;

/// Opens the kernel's log, and nothing else that may lie in its place inside a container.
pub(crate) fn open(machine: &Path) -> Option<OwnedFd> {
    const KERNEL_LOG: (u32, u32) = (1, 11);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let log = open_in(machine, Path::new("dev/kmsg"), flags).ok()?;
    let stat = rustix::fs::fstat(&log).ok()?;
    let is_log = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == KERNEL_LOG,
        kind => kind == FileType::RegularFile,
    };
    is_log.then_some(log)
}

/// Hands every record that was not read yet to `visit`, until that says `false`.
pub(crate) fn each(log: &OwnedFd, mut visit: impl FnMut(&[u8]) -> bool) {
    let mut record = vec![0; RECORD_BYTES];
    for _ in 0..MAX_RECORDS {
        match rustix::io::read(log, &mut record) {
            Ok(0) => return,
            Ok(length) if !visit(&record[..length]) => return,
            // Records were overwritten before they were read.
            Ok(_) | Err(Errno::PIPE | Errno::INTR) => {}
            // There is no more, or the log may not be read.
            Err(_) => return,
        }
    }
}
