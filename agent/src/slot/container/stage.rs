//! What a helper does next. Pure: everything is derived from the two containers as they are.

/// How often the engine may start a new agent before it has failed.
pub(super) const MOST_RESTARTS: u64 = 3;

/// What an agent's container is called, which says how far things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// As the agent's container is.
    Agent,
    /// `…-old-agent`: the new one is kept.
    Old,
    /// `…-new-agent`: not judged yet.
    New,
    /// `…-failed-agent`.
    Failed,
}

impl Called {
    /// The name.
    pub fn name(self, agent: &str) -> String {
        match self {
            Called::Agent => agent.to_owned(),
            Called::Old => format!("{agent}-old-agent"),
            Called::New => format!("{agent}-new-agent"),
            Called::Failed => format!("{agent}-failed-agent"),
        }
    }
}

/// An agent's container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub called: Called,
    pub running: bool,
    /// Whether it ever was.
    pub started: bool,
    /// How often the engine started it again.
    pub restarts: u64,
}

/// What is done next; each leads on when it is done, and may be done twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make the new agent's container.
    Create,
    /// Stop the old agent, and have the engine not start it by itself.
    StopOld,
    /// Start the new agent.
    StartNew,
    /// See how the new agent does.
    Judge,
    /// It failed: it gets another name.
    Fail,
    /// The new one gets the agent's name.
    NameNew,
    /// The old agent is not needed any more.
    RemoveOld,
    /// Stop the failed agent, and have the engine not start it by itself.
    StopNew,
    /// Put the database back where its schema moved, note what happened, start the old agent.
    GoBack,
    /// Nothing is left to be done.
    Done,
}

/// Decides by the containers of the old and the new agent.
pub(super) fn next(old: Option<Peer>, new: Option<Peer>) -> Step {
    match (old, new) {
        (None, None) => Step::Done,
        (Some(_), None) => Step::Create,
        (Some(old), Some(Peer { called: Called::Failed, running, .. })) => match (running, old.running) {
            (true, _) => Step::StopNew,
            (false, false) => Step::GoBack,
            (false, true) => Step::Done,
        },
        (None, Some(Peer { called: Called::Failed, .. })) => Step::Done,
        (Some(_), Some(Peer { called: Called::Agent, .. })) => Step::RemoveOld,
        (None, Some(Peer { called: Called::Agent, .. })) => Step::Done,
        (Some(Peer { called: Called::Old, .. }) | None, Some(_)) => Step::NameNew,
        (Some(Peer { running: true, .. }), Some(_)) => Step::StopOld,
        (Some(_), Some(Peer { started: false, .. })) => Step::StartNew,
        (Some(_), Some(new)) if new.restarts >= MOST_RESTARTS => Step::Fail,
        (Some(_), Some(_)) => Step::Judge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(called: Called) -> Peer {
        Peer { called, running: true, started: true, restarts: 0 }
    }

    /// Two containers, and what the steps do to them.
    struct World {
        old: Option<Peer>,
        new: Option<Peer>,
        good: bool,
    }

    impl World {
        fn carry_out(&mut self, step: Step) {
            let (old, new) = (&mut self.old, &mut self.new);
            match step {
                Step::Create => *new = Some(Peer { called: Called::New, running: false, started: false, restarts: 0 }),
                Step::StopOld => old.as_mut().unwrap().running = false,
                Step::StartNew => *new = new.map(|new| Peer { running: true, started: true, ..new }),
                Step::Judge if self.good && new.is_some_and(|new| new.running) => old.as_mut().unwrap().called = Called::Old,
                Step::Judge | Step::Fail => new.as_mut().unwrap().called = Called::Failed,
                Step::NameNew => new.as_mut().unwrap().called = Called::Agent,
                Step::RemoveOld => *old = None,
                Step::StopNew => new.as_mut().unwrap().running = false,
                Step::GoBack => old.as_mut().unwrap().running = true,
                Step::Done => {}
            }
        }

        fn steps(mut self) -> (Vec<Step>, World) {
            let mut steps = Vec::new();
            loop {
                let step = next(self.old, self.new);
                steps.push(step);
                assert!(steps.len() < 20, "{steps:?}");
                if step == Step::Done {
                    return (steps, self);
                }
                self.carry_out(step);
            }
        }
    }

    #[test]
    fn a_good_agent_takes_the_old_ones_place() {
        let (steps, end) = World { old: Some(peer(Called::Agent)), new: None, good: true }.steps();
        use Step::{Create, Done, Judge, NameNew, RemoveOld, StartNew, StopOld};
        assert_eq!(steps, [Create, StopOld, StartNew, Judge, NameNew, RemoveOld, Done]);
        assert!(end.old.is_none() && end.new.unwrap().running && end.new.unwrap().called == Called::Agent);
    }

    #[test]
    fn a_bad_one_is_stopped_before_the_old_one_runs_again() {
        let (steps, end) = World { old: Some(peer(Called::Agent)), new: None, good: false }.steps();
        use Step::{Create, Done, GoBack, Judge, StartNew, StopNew, StopOld};
        assert_eq!(steps, [Create, StopOld, StartNew, Judge, StopNew, GoBack, Done]);
        assert!(end.old.unwrap().running && !end.new.unwrap().running);
    }

    /// Whatever the engine starts by itself in between: in the end one agent runs, and never both at a step that opens the
    /// database.
    #[test]
    fn from_every_state_it_ends_with_one_agent_that_runs() {
        let mut count = 0;
        for good in [true, false] {
            for old_called in [Called::Agent, Called::Old] {
                for new_called in [Called::New, Called::Failed, Called::Agent] {
                    for bits in 0..16_u8 {
                        let old = Peer { running: bits & 1 > 0, ..peer(old_called) };
                        let new = Peer {
                            called: new_called,
                            running: bits & 2 > 0,
                            started: bits & 4 > 0,
                            restarts: u64::from(bits & 8),
                        };
                        let possible =
                            (new.started || !new.running) && !(old_called == Called::Old && new_called == Called::Failed);
                        if !possible || (new_called != Called::Failed && old_called == Called::Old && !new.running) {
                            continue;
                        }
                        if new_called == Called::Agent && (old_called == Called::Agent || !new.running) {
                            continue;
                        }
                        let (_, end) = World { old: Some(old), new: Some(new), good }.steps();
                        let runs = |peer: Option<Peer>| peer.is_some_and(|peer| peer.running);
                        assert!(runs(end.old) != runs(end.new), "{old:?} {new:?}");
                        count += 1;
                    }
                }
            }
        }
        assert!(count > 30, "{count}");
    }
}
