//! What can be pulled, and how what was pulled behaves when it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_plan::container::ImageConfig;
use holdfast_plan::current::Health;
use holdfast_plan::target::ImageRef;

use crate::registry::Layer;

/// How the main process of a container behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// It ends by itself so long after its start, with this exit code.
    pub exits: Option<(Duration, i64)>,
    /// Verdicts of its health check so long after its start, in order.
    pub health: Vec<(Duration, Health)>,
    /// How long it takes to end once it is told to; cut off by the container's grace period.
    pub stop_takes: Duration,
    /// Its start fails with this text.
    pub start_error: Option<String>,
}

impl Default for Program {
    /// Runs until it is told to stop, which it does at once; healthy after a second.
    fn default() -> Self {
        Program {
            exits: None,
            health: vec![(Duration::from_secs(1), Health::Healthy)],
            stop_takes: Duration::from_millis(100),
            start_error: None,
        }
    }
}

/// One image that can be pulled.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The defaults it brings along.
    pub config: ImageConfig,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Its layers; with none, a registry says that there is nothing to download.
    pub layers: Vec<Layer>,
    /// How long a pull takes.
    pub duration: Duration,
    /// A pull fails with this text, after a third of the time.
    pub failure: Option<String>,
    /// A pull without credentials fails.
    pub private: bool,
    /// How its containers behave.
    pub program: Program,
}

impl Default for Entry {
    fn default() -> Self {
        let command = vec!["/program".to_owned()];
        Entry {
            config: ImageConfig { command, ..ImageConfig::default() },
            size_bytes: 5_000_000,
            layers: Vec::new(),
            duration: Duration::from_millis(300),
            failure: None,
            private: false,
            program: Program::default(),
        }
    }
}

/// What registries have. By default every reference can be pulled in a short time.
#[derive(Clone, Debug)]
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
    by_part: Vec<(&'static str, Entry)>,
    others: Option<Entry>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Catalogue { entries: BTreeMap::new(), by_part: Vec::new(), others: Some(Entry::default()) }
    }
}

impl Catalogue {
    /// Sets what a reference gives.
    pub fn set(&mut self, image: &ImageRef, entry: Entry) {
        self.entries.insert(image.to_string(), entry);
    }

    /// Sets what every other reference gives; `None` is nothing at all.
    pub fn set_others(&mut self, entry: Option<Entry>) {
        self.others = entry;
    }

    /// Sets what every other reference gives that has this in it.
    pub fn set_by_part(&mut self, part: &'static str, entry: Entry) {
        self.by_part.push((part, entry));
    }

    /// What a reference gives.
    pub fn find(&self, image: &ImageRef) -> Option<&Entry> {
        let name = image.to_string();
        let by_part = || self.by_part.iter().find(|(part, _)| name.contains(part)).map(|(_, entry)| entry);
        self.entries.get(&name).or_else(by_part).or(self.others.as_ref())
    }
}
