//! What a release's switch does under the app's locks (behaviour §3.3).

use std::sync::Arc;

use super::super::need::Need;
use super::super::start::Candidate;
use super::super::{Action, Named, Reason, handover};
use super::{Round, kills_first};
use crate::current::Container;

/// What is planned for a service under the locks.
pub enum Planned {
    /// A step.
    Do(Action, Reason),
    /// Nothing yet.
    Wait(Reason),
}

impl Planned {
    /// Whether this takes nothing away from what runs.
    pub fn adds(&self) -> bool {
        matches!(self, Planned::Do(Action::Create { .. }, _) | Planned::Wait(Reason::WaitingForDependency { .. }))
    }
}

impl<'a> Round<'a> {
    /// What needs the app's locks, each with whether it can be done now. Nothing is killed for a download that may not
    /// begin.
    pub fn switch(&self, missing: &Arc<Vec<String>>, may_download: bool) -> Vec<(&'a str, Planned, bool)> {
        let images_ready = missing.is_empty();
        let waiting = || Planned::Wait(Reason::WaitingForImages { missing: missing.clone() });
        let mut switch = Vec::new();
        for (container, why) in &self.surplus {
            let planned = Planned::Do(Action::Kill { container: Named::of(container) }, why.clone());
            let (planned, ready) = if images_ready || !container.is_up() { (planned, true) } else { (waiting(), false) };
            switch.push((container.service.as_str(), planned, ready));
        }
        for (name, candidate) in &self.candidates {
            let ready = images_ready || (kills_first(candidate) && may_download);
            let (planned, ready) = match &candidate.need {
                Need::Keep | Need::Start(..) | Need::Bury(_) => continue,
                Need::Replace(container, _) | Need::Rename(container)
                    if handover::applies(candidate, container, self.is_changing(container)) =>
                {
                    if images_ready {
                        continue;
                    } else {
                        (waiting(), false)
                    }
                }
                Need::Rename(_) | Need::Replace(..) if !ready => (waiting(), false),
                Need::Rename(container) => (self.rename(candidate, container), true),
                Need::Stop(container) => {
                    (Planned::Do(Action::Stop { container: Named::of(container) }, Reason::StoppedByTarget), true)
                }
                Need::Replace(container, why) => {
                    (Planned::Do(Action::Kill { container: Named::of(container) }, why.clone()), true)
                }
                Need::Install => self.install(candidate, images_ready, waiting),
            };
            switch.push((*name, planned, ready));
        }
        switch
    }

    fn rename(&self, candidate: &Candidate<'a>, container: &Container) -> Planned {
        let why = Reason::NewRelease { from: container.commit.clone(), to: self.release.commit.clone() };
        Planned::Do(Action::Rename { container: Named::of(container), name: candidate.wanted.name() }, why)
    }

    fn install(&self, candidate: &Candidate<'a>, images_ready: bool, waiting: impl Fn() -> Planned) -> (Planned, bool) {
        if let Some(reason) = self.beside(&candidate.service.name) {
            return (Planned::Wait(reason), false);
        }
        if !images_ready {
            return (waiting(), false);
        }
        if let Some(reason) = self.start_blocker(candidate) {
            return (Planned::Wait(reason), false);
        }
        (Planned::Do(candidate.wanted.creation(candidate.starts_at_once()), Reason::NotThereYet), true)
    }
}
