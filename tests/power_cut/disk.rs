//! A disk that forgets: from what was done to a folder, what may be left of it after a power cut.
//!
//! Contents become durable when their file is synced, names when their folder is. What is not durable may be there, may
//! not be there, and may be there in part.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::trace::Event;

/// The smallest piece a disk writes whole.
const SECTOR: u64 = 512;

enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Length(u64),
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Node(usize),
    Folder,
}

#[derive(Default)]
struct Node {
    changes: Vec<(usize, Change)>,
    syncs: Vec<usize>,
}

/// Everything that was done to a folder.
#[derive(Default)]
pub struct Disk {
    nodes: Vec<Node>,
    /// When a name began to stand for something, or ceased to.
    names: Vec<(usize, PathBuf, Option<Target>)>,
    folder_syncs: Vec<(usize, PathBuf)>,
    /// How many operations there were.
    pub operations: usize,
    now: BTreeMap<PathBuf, Target>,
    open: BTreeMap<i64, (usize, u64)>,
}

/// What the cut left of what was not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// Everything.
    All,
    /// Nothing.
    Synced,
    /// Everything, the last write only up to some sector.
    LastTorn,
    /// Nothing but the last write.
    OnlyLast,
    /// Some writes and not others.
    Some,
}

pub const WAYS: [Left; 5] = [Left::All, Left::Synced, Left::LastTorn, Left::OnlyLast, Left::Some];

/// Files by their path, and folders.
#[derive(Debug, Hash, PartialEq, Eq)]
pub struct Files {
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    pub folders: BTreeSet<PathBuf>,
}

impl Disk {
    /// Does what was done. What was said is none of its business.
    pub fn apply(&mut self, event: &Event) {
        let number = self.operations;
        self.operations += 1;
        match event {
            Event::Open { fd, path, create, truncate } => self.opened(*fd, path, *create, *truncate),
            Event::Write { fd, at, bytes } => {
                let (node, position) = self.open.get_mut(fd).expect("a file that was opened");
                let at = at.unwrap_or(*position);
                *position = at + bytes.len() as u64;
                self.nodes[*node].changes.push((number, Change::Write { at, bytes: bytes.clone() }));
            }
            Event::Seek { fd, to } => {
                self.operations -= 1;
                if let Some((_, position)) = self.open.get_mut(fd) {
                    *position = *to;
                }
            }
            Event::SetLength { fd, length } => {
                let node = self.open[fd].0;
                self.nodes[node].changes.push((number, Change::Length(*length)));
            }
            Event::Sync { path, .. } if path.as_os_str().is_empty() || self.now.get(path) == Some(&Target::Folder) => {
                self.folder_syncs.push((number, path.clone()));
            }
            Event::Sync { fd, .. } => self.nodes[self.open[fd].0].syncs.push(number),
            Event::Rename { from, to } => {
                let target = self.now.get(from).copied();
                self.name(from, None);
                self.name(to, target);
            }
            Event::Remove { path } => self.name(path, None),
            Event::MakeFolder { path } if path.as_os_str().is_empty() => {}
            Event::MakeFolder { path } => self.name(path, Some(Target::Folder)),
            Event::Said(_) => self.operations -= 1,
        }
    }

    fn opened(&mut self, fd: i64, path: &Path, create: bool, truncate: bool) {
        let number = self.operations - 1;
        let known = self.now.get(path).copied();
        let node = match known {
            Some(Target::Node(node)) => node,
            None if create => {
                self.nodes.push(Node::default());
                self.name(path, Some(Target::Node(self.nodes.len() - 1)));
                self.nodes.len() - 1
            }
            _ => {
                self.operations -= 1;
                return;
            }
        };
        self.open.insert(fd, (node, 0));
        if truncate && known.is_some() {
            self.nodes[node].changes.push((number, Change::Length(0)));
        } else if known.is_some() {
            self.operations -= 1;
        }
    }

    fn name(&mut self, path: &Path, target: Option<Target>) {
        self.names.push((self.operations - 1, path.to_owned(), target));
        match target {
            Some(target) => self.now.insert(path.to_owned(), target),
            None => self.now.remove(path),
        };
    }

    /// What is left of the first `cut` operations: of contents, and of names (all of them, or only the durable ones).
    pub fn after(&self, cut: usize, left: Left, all_names: bool, rng: &mut Rng) -> Files {
        let mut names: BTreeMap<&Path, Target> = BTreeMap::new();
        for (number, path, target) in self.names.iter().filter(|(number, ..)| *number < cut) {
            let folder = path.parent().unwrap_or(Path::new(""));
            let durable = || self.folder_syncs.iter().any(|(sync, synced)| (*number..cut).contains(sync) && synced == folder);
            match target {
                _ if !all_names && !durable() => {}
                Some(target) => drop(names.insert(path, *target)),
                None => drop(names.remove(path.as_path())),
            }
        }
        let mut found = Files { files: BTreeMap::new(), folders: BTreeSet::new() };
        let last = self.last_write(cut);
        // A folder comes before what is in it.
        for (path, target) in names {
            let folder = path.parent().unwrap_or(Path::new(""));
            if !folder.as_os_str().is_empty() && !found.folders.contains(folder) {
                continue;
            }
            match target {
                Target::Folder => drop(found.folders.insert(path.to_owned())),
                Target::Node(node) => drop(found.files.insert(path.to_owned(), self.nodes[node].content(cut, left, last, rng))),
            }
        }
        found
    }

    /// The newest change of any content that is not durable at a cut.
    fn last_write(&self, cut: usize) -> Option<usize> {
        let of_node = |node: &Node| {
            let synced = node.syncs.iter().rfind(|sync| **sync < cut).copied();
            let last = node.changes.iter().rfind(|(number, _)| *number < cut)?.0;
            synced.is_none_or(|synced| synced < last).then_some(last)
        };
        self.nodes.iter().filter_map(of_node).max()
    }
}

impl Node {
    fn content(&self, cut: usize, left: Left, last: Option<usize>, rng: &mut Rng) -> Vec<u8> {
        let synced = self.syncs.iter().rfind(|sync| **sync < cut).copied();
        let mut content = Vec::new();
        for (number, change) in self.changes.iter().filter(|(number, _)| *number < cut) {
            let durable = synced.is_some_and(|synced| *number < synced);
            let is_last = Some(*number) == last;
            let there = match left {
                Left::All | Left::LastTorn => true,
                Left::Synced => false,
                Left::OnlyLast => is_last,
                Left::Some => rng.bool(),
            };
            if durable || there {
                change.apply(&mut content, left == Left::LastTorn && is_last, rng);
            }
        }
        content
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>, torn: bool, rng: &mut Rng) {
        match self {
            Change::Length(length) => content.resize(*length as usize, 0),
            Change::Write { at, bytes } => {
                let end = at + bytes.len() as u64;
                // From the first boundary of a sector within the write to its last.
                let sectors = at / SECTOR + 1..end.div_ceil(SECTOR);
                let stop = if !torn {
                    end
                } else if sectors.is_empty() {
                    *at
                } else {
                    rng.u64(sectors) * SECTOR
                };
                let written = (stop - at) as usize;
                let (at, stop) = (*at as usize, stop as usize);
                content.resize(content.len().max(stop), 0);
                content[at..stop].copy_from_slice(&bytes[..written]);
            }
        }
    }
}
