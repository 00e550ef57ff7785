//! Reads what strace wrote down: what was done to the files of one folder, and what was said to others meanwhile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The system calls that are written down: everything that changes a file or a folder, makes it durable, or says
/// something to somebody. `-shm` files change through memory; SQLite makes them anew from the log.
pub const CALLS: &str = "trace=openat,open,creat,lseek,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync,\
sync_file_range,ftruncate,truncate,fallocate,copy_file_range,sendfile,rename,renameat,renameat2,link,linkat,unlink,unlinkat,\
mkdir,mkdirat,rmdir";

/// Something that happened. Paths are relative to the folder.
#[derive(Debug)]
pub enum Event {
    Open {
        fd: i64,
        path: PathBuf,
        create: bool,
        truncate: bool,
    },
    Write {
        fd: i64,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    Seek {
        fd: i64,
        to: u64,
    },
    SetLength {
        fd: i64,
        length: u64,
    },
    Sync {
        fd: i64,
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    MakeFolder {
        path: PathBuf,
    },
    /// To a socket or a pipe.
    Said(Vec<u8>),
}

/// All events of a log, in order. A call counts when it returns; what is said counts when it begins.
pub fn read(log: &str, folder: &Path) -> Vec<Event> {
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    let mut events = Vec::new();
    for line in log.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            events.extend(said(start));
            begun.insert(process, start.trim_end().to_owned());
        } else if let Some(end) = rest.strip_prefix("<... ") {
            let (start, end) = (begun.remove(process).unwrap_or_default(), end.split_once(" resumed>").unwrap_or_default().1);
            let whole = format!("{start}{end}");
            // Said already.
            events.extend(call(&whole, folder).filter(|event| !matches!(event, Event::Said(_))));
        } else {
            events.extend(call(rest, folder));
        }
    }
    events
}

fn said(text: &str) -> Option<Event> {
    let (name, arguments) = text.split_once('(')?;
    let to = of_descriptor(arguments)?.1;
    let speaks = ["write", "writev", "sendto", "sendmsg"].contains(&name);
    (speaks && (to.starts_with("socket:") || to.starts_with("pipe:") || to.starts_with("UNIX") || to.starts_with("TCP")))
        .then(|| Event::Said(texts(arguments).concat()))
}

fn call(text: &str, folder: &Path) -> Option<Event> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let result: i64 = result.split([' ', '<']).next()?.parse().ok()?;
    if result < 0 {
        return None;
    }
    let inside = |path: &[u8]| Path::new(std::str::from_utf8(path).ok()?).strip_prefix(folder).ok().map(Path::to_owned);
    let shown = |path: &Path| !path.to_string_lossy().ends_with("-shm");
    let paths = || texts(arguments).iter().map(|path| inside(path).filter(|path| shown(path))).collect::<Option<Vec<_>>>();
    let on = || {
        let (fd, path) = of_descriptor(arguments)?;
        Some((fd, inside(path.as_bytes()).filter(|path| shown(path))?))
    };
    let last = || arguments.rsplit(", ").next()?.parse::<u64>().ok();
    match name {
        "openat" => {
            let path = paths()?.pop()?;
            Some(Event::Open { fd: result, path, create: arguments.contains("O_CREAT"), truncate: arguments.contains("O_TRUNC") })
        }
        "write" | "pwrite64" if on().is_some() => {
            let (fd, at) = (on()?.0, if name == "pwrite64" { last() } else { None });
            let mut bytes = texts(arguments).concat();
            bytes.truncate(result as usize);
            Some(Event::Write { fd, at, bytes })
        }
        "lseek" => Some(Event::Seek { fd: on()?.0, to: result as u64 }),
        "ftruncate" => Some(Event::SetLength { fd: on()?.0, length: last()? }),
        "fsync" | "fdatasync" => on().map(|(fd, path)| Event::Sync { fd, path }),
        "rename" | "renameat" | "renameat2" => {
            let [from, to] = paths()?.try_into().ok()?;
            Some(Event::Rename { from, to })
        }
        "unlink" | "unlinkat" | "rmdir" => Some(Event::Remove { path: paths()?.pop()? }),
        "mkdir" | "mkdirat" => Some(Event::MakeFolder { path: paths()?.pop()? }),
        "write" | "writev" | "sendto" | "sendmsg" if on().is_none() => said(text),
        _ if on().is_some() || paths().is_some_and(|paths| !paths.is_empty()) => panic!("not reckoned with: {text:.200}"),
        _ => None,
    }
}

/// Number and name of the descriptor that stands first, as in `5<\x2f\x61>`.
fn of_descriptor(arguments: &str) -> Option<(i64, String)> {
    let (number, rest) = arguments.split_once('<')?;
    let name = rest.split_once('>')?.0;
    let name = if name.contains("\\x") { String::from_utf8(bytes(name)).ok()? } else { name.to_owned() };
    Some((number.parse().ok()?, name))
}

/// All strings among the arguments.
fn texts(arguments: &str) -> Vec<Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(bytes).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split("\\x").skip(1).map(|byte| u8::from_str_radix(&byte[..2], 16).expect("two hex digits")).collect()
}
