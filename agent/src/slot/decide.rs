//! Which binary is started next. Pure: no clock, no file.

use super::launch::Launched;
use super::record::{Binary, Failed, Slot, Slots, Starts, Trial};

/// So many starts a version on trial has, between two starts of the machine.
const TRIAL_STARTS: u32 = 3;
/// And so many in all: one that brings the machine down each time must end as well.
const TRIAL_TOTAL: u32 = 10;
/// So many starts that come to nothing the kept version has before the one before it is started, and that one before the
/// image's own is; until the machine starts anew.
const KEPT_STARTS: u32 = 5;

/// What the launcher does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The trial is over: the database is put right, and what [`Slots::rolled_back`] says is stored.
    RollBack {
        /// Why.
        why: String,
    },
    /// This binary is started. One on trial only after its start was counted, durably.
    Start(Binary),
    /// The image's own is started.
    Factory {
        /// Why, where a slot would have been there.
        why: Option<String>,
    },
}

/// What the launcher knows beside the record.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Which start of the machine this is.
    pub boot: String,
    /// Slots whose file cannot be started, and why.
    pub broken: Vec<(Slot, String)>,
    /// Whether starts cannot be counted, because nothing can be written.
    pub uncountable: bool,
}

impl Facts {
    fn broken(&self, slot: Slot) -> Option<&String> {
        self.broken.iter().find(|(broken, _)| *broken == slot).map(|(_, why)| why)
    }
}

/// Decides. A trial that is over is rolled back before anything is started; a start of a version on trial that could not be
/// counted is none.
pub(super) fn next(slots: &Slots, facts: &Facts) -> Next {
    if let Some(trial) = &slots.trial {
        if let Some(why) = over(trial, facts) {
            return Next::RollBack { why };
        }
        if !facts.uncountable {
            return Next::Start(trial.binary.clone());
        }
    }
    let failed = slots.starts.within(&facts.boot);
    let rungs = [(&slots.kept, KEPT_STARTS), (&slots.previous, 2 * KEPT_STARTS)];
    let mut why = None;
    for (binary, limit) in rungs.into_iter().filter_map(|(binary, limit)| Some((binary.as_ref()?, limit))) {
        match facts.broken(binary.slot) {
            Some(broken) => why = Some(broken.clone()),
            None if failed >= limit => {
                why = Some(format!("{} in slot {} was started {failed} times in vain", binary.version, binary.slot.name()));
            }
            None => return Next::Start(binary.clone()),
        }
    }
    Next::Factory { why }
}

/// Why a trial is over, if it is.
fn over(trial: &Trial, facts: &Facts) -> Option<String> {
    let times = trial.starts.within(&facts.boot);
    if let Some(verdict) = &trial.verdict {
        Some(verdict.clone())
    } else if let Some(why) = facts.broken(trial.binary.slot) {
        Some(format!("it cannot be started: {why}"))
    } else if times >= TRIAL_STARTS || trial.total >= TRIAL_TOTAL {
        Some(format!("it was started {} times and ended or was killed each time before it had proved itself", trial.total))
    } else {
        None
    }
}

impl Slots {
    /// With one more start of a binary.
    pub(super) fn counted(mut self, binary: &Binary, boot: &str) -> Slots {
        match &mut self.trial {
            Some(trial) if trial.binary == *binary => {
                trial.starts = trial.starts.counted(boot);
                trial.total = trial.total.saturating_add(1);
            }
            _ => self.starts = self.starts.counted(boot),
        }
        self
    }

    /// The trial failed.
    pub(super) fn rolled_back(mut self, why: &str, database: &str) -> Slots {
        let Some(Trial { binary: Binary { sha256, version, .. }, wish, .. }) = self.trial.take() else { return self };
        let back = self.kept.as_ref().map_or_else(|| "the one of the image".to_owned(), |kept| kept.version.clone());
        self.news = Some(format!("agent {version} was not kept: {why}. {back} runs again{database}"));
        self.failed = Some(Failed { sha256, version, why: why.to_owned(), wish });
        self.starts = Starts::default();
        self
    }

    /// The version on trial proved itself.
    pub fn trial_kept(mut self) -> Slots {
        let Some(trial) = self.trial.take() else { return self };
        self.previous = self.kept.take();
        self.kept = Some(trial.binary);
        self.failed = None;
        self.starts = Starts::default();
        self
    }

    /// The same after a version that was started so has done its work: its starts were not in vain; `None` when that changes
    /// nothing. What has been given up for it stays given up.
    pub fn works(&self, launched: Launched) -> Option<Slots> {
        let is = |binary: &Option<Binary>| binary.as_ref().is_some_and(|binary| launched == Launched::Slot(binary.slot));
        let most = if is(&self.kept) { 0 } else { KEPT_STARTS };
        let counts = (is(&self.kept) || is(&self.previous)) && self.starts.count > most;
        counts.then(|| Slots { starts: Starts { count: most, ..self.starts.clone() }, ..self.clone() })
    }

    /// The same when the version before runs because the kept one gave way: what the next one is gone back to is what works.
    pub fn as_run(self, launched: Launched) -> Slots {
        let runs = self.previous.as_ref().is_some_and(|previous| launched == Launched::Slot(previous.slot));
        if !runs || self.trial.is_some() {
            return self;
        }
        Slots { kept: self.previous, previous: None, starts: Starts::default(), ..self }
    }

    /// A version is to prove itself.
    pub(super) fn on_trial(mut self, trial: Trial) -> Slots {
        self.previous = self.previous.take().filter(|previous| previous.slot != trial.binary.slot);
        self.trial = Some(trial);
        self.news = None;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(slot: Slot) -> Binary {
        Binary { slot, sha256: slot.name().repeat(64), version: format!("1.0-{}", slot.name()) }
    }

    fn trial(slot: Slot) -> Trial {
        let (binary, starts) = (binary(slot), Starts::default());
        Trial { binary, starts, total: 0, schema: 2, cloud: true, wish: Some("w".into()), verdict: None }
    }

    fn facts(boot: &str) -> Facts {
        Facts { boot: boot.into(), ..Facts::default() }
    }

    /// Starts what is to be started until something else is, and says how often.
    fn started(mut slots: Slots, facts: &Facts) -> (Slots, u32, Next) {
        let (mut count, first) = (0, next(&slots, facts));
        loop {
            let decided = next(&slots, facts);
            match (&decided, &first) {
                (Next::Start(binary), Next::Start(at_first)) if binary == at_first => {
                    slots = slots.counted(binary, &facts.boot);
                    count += 1;
                }
                _ => return (slots, count, decided),
            }
        }
    }

    #[test]
    fn with_nothing_in_the_slots_the_images_own_runs() {
        assert_eq!(next(&Slots::default(), &facts("b")), Next::Factory { why: None });
    }

    #[test]
    fn a_trial_has_three_starts_and_a_power_cut_is_none() {
        let slots = Slots { kept: Some(binary(Slot::A)), ..Slots::default() }.on_trial(trial(Slot::B));
        let (over, count, decided) = started(slots.clone(), &facts("b1"));
        assert_eq!(count, TRIAL_STARTS);
        assert!(matches!(&decided, Next::RollBack { why } if why.contains("started 3 times")), "{decided:?}");
        // After each power cut it has its starts again, but not for ever.
        let (mut slots, mut total) = (slots, 0);
        for boot in 0..20 {
            let before = slots.trial.as_ref().unwrap().total;
            (slots, ..) = started(slots, &facts(&format!("b{boot}")));
            total += slots.trial.as_ref().unwrap().total - before;
        }
        assert_eq!(total, TRIAL_TOTAL);
        let back = over.rolled_back("why", "");
        assert_eq!(next(&back, &facts("b1")), Next::Start(binary(Slot::A)));
        assert_eq!(back.failed.unwrap().sha256, "b".repeat(64));
    }

    #[test]
    fn a_verdict_or_a_file_that_cannot_be_started_ends_a_trial_at_once() {
        let mut judged = trial(Slot::A);
        judged.verdict = Some("no cloud".into());
        let slots = Slots::default().on_trial(judged);
        assert_eq!(next(&slots, &facts("b")), Next::RollBack { why: "no cloud".into() });
        let back = slots.rolled_back("no cloud", "; d");
        assert_eq!(back.news.as_deref(), Some("agent 1.0-a was not kept: no cloud. the one of the image runs again; d"));
        assert_eq!(next(&back, &facts("b")), Next::Factory { why: None });

        let slots = Slots::default().on_trial(trial(Slot::A));
        let broken = Facts { broken: vec![(Slot::A, "torn".into())], ..facts("b") };
        assert!(matches!(next(&slots, &broken), Next::RollBack { why } if why.contains("torn")));
    }

    #[test]
    fn what_cannot_be_counted_is_not_tried() {
        let slots = Slots { kept: Some(binary(Slot::A)), ..Slots::default() }.on_trial(trial(Slot::B));
        let full = Facts { uncountable: true, ..facts("b") };
        assert_eq!(next(&slots, &full), Next::Start(binary(Slot::A)));
        assert_eq!(next(&Slots::default().on_trial(trial(Slot::A)), &full), Next::Factory { why: None });
    }

    #[test]
    fn a_kept_version_that_fails_gives_way_rung_by_rung_until_the_machine_starts_anew() {
        let slots = Slots { kept: Some(binary(Slot::B)), previous: Some(binary(Slot::A)), ..Slots::default() };
        let (slots, count, decided) = started(slots, &facts("b1"));
        assert_eq!((count, &decided), (KEPT_STARTS, &Next::Start(binary(Slot::A))));
        let (slots, count, decided) = started(slots, &facts("b1"));
        assert_eq!(count, KEPT_STARTS);
        assert!(matches!(&decided, Next::Factory { why: Some(why) } if why.contains("in vain")), "{decided:?}");
        assert_eq!(next(&slots, &facts("b2")), Next::Start(binary(Slot::B)));
    }

    #[test]
    fn a_version_that_works_is_not_counted_down() {
        let both = Slots { kept: Some(binary(Slot::B)), previous: Some(binary(Slot::A)), ..Slots::default() };
        let (mut slots, ..) = started(both.clone(), &facts("b1"));
        // The one before runs, and is started again and again for other reasons.
        for _ in 0..30 {
            assert_eq!(next(&slots, &facts("b1")), Next::Start(binary(Slot::A)));
            slots = slots.counted(&binary(Slot::A), "b1");
            slots = slots.works(Launched::Slot(Slot::A)).unwrap();
        }
        assert_eq!(slots.works(Launched::Slot(Slot::A)), None);
        assert_eq!(slots.works(Launched::Factory), None);
        let kept = slots.works(Launched::Slot(Slot::B)).unwrap();
        assert_eq!(next(&kept, &facts("b1")), Next::Start(binary(Slot::B)));
    }

    #[test]
    fn what_gave_way_is_not_gone_back_to() {
        let both = Slots { kept: Some(binary(Slot::B)), previous: Some(binary(Slot::A)), ..Slots::default() };
        let (slots, ..) = started(both.clone(), &facts("b1"));
        let slots = slots.as_run(Launched::Slot(Slot::A));
        assert_eq!((slots.kept.clone(), slots.free()), (Some(binary(Slot::A)), Slot::B));
        let failed = slots.on_trial(trial(Slot::B)).rolled_back("x", "");
        assert_eq!(next(&failed, &facts("b1")), Next::Start(binary(Slot::A)));
        // Nothing else changes what is kept.
        for launched in [Launched::Factory, Launched::Slot(Slot::B)] {
            assert_eq!(both.clone().as_run(launched), both);
        }
    }

    #[test]
    fn broken_files_are_passed_over() {
        let slots = Slots { kept: Some(binary(Slot::B)), previous: Some(binary(Slot::A)), ..Slots::default() };
        let broken = |slots: &[Slot]| Facts { broken: slots.iter().map(|s| (*s, "torn".into())).collect(), ..facts("b") };
        assert_eq!(next(&slots, &broken(&[Slot::B])), Next::Start(binary(Slot::A)));
        assert_eq!(next(&slots, &broken(&[Slot::A])), Next::Start(binary(Slot::B)));
        assert_eq!(next(&slots, &broken(&[Slot::A, Slot::B])), Next::Factory { why: Some("torn".into()) });
    }

    #[test]
    fn a_trial_that_is_kept_leaves_the_one_before_as_the_first_way_back() {
        let first = Slots::default().on_trial(trial(Slot::A)).trial_kept();
        assert_eq!((first.kept.clone(), first.previous.clone()), (Some(binary(Slot::A)), None));
        let second = first.on_trial(trial(Slot::B)).trial_kept();
        assert_eq!((second.kept.clone(), second.previous.clone()), (Some(binary(Slot::B)), Some(binary(Slot::A))));
        // The next one takes the slot of the one before.
        let third = second.on_trial(trial(Slot::A));
        assert_eq!((third.previous.clone(), third.free()), (None, Slot::A));
        assert_eq!(third.rolled_back("x", "").kept, Some(binary(Slot::B)));
    }

    /// Whatever happens, in whatever order: something is started, a trial never more often than it may be, and what was
    /// kept is what is gone back to.
    #[test]
    fn any_course_of_events_ends_with_something_that_runs() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let mut slots = Slots { kept: rng.bool().then(|| binary(Slot::A)), ..Slots::default() };
            let kept = slots.kept.clone();
            slots = slots.clone().on_trial(trial(slots.free()));
            let (mut boot, mut starts, mut broken) = (0, 0, Vec::new());
            for _ in 0..40 {
                boot += u32::from(rng.u8(..10) == 0);
                if rng.u8(..20) == 0 {
                    broken.push((if rng.bool() { Slot::A } else { Slot::B }, "torn".to_owned()));
                }
                let facts = Facts { boot: boot.to_string(), broken: broken.clone(), uncountable: rng.u8(..6) == 0 };
                match next(&slots, &facts) {
                    Next::RollBack { why } => slots = slots.rolled_back(&why, ""),
                    Next::Start(binary) => {
                        assert!(!broken.iter().any(|(slot, _)| *slot == binary.slot), "{slots:?}");
                        let on_trial = slots.trial.as_ref().is_some_and(|trial| trial.binary == binary);
                        assert!(!(on_trial && facts.uncountable));
                        starts += u32::from(on_trial);
                        slots = slots.counted(&binary, &facts.boot);
                    }
                    Next::Factory { .. } => {}
                }
                assert!(starts <= TRIAL_TOTAL && slots.kept == kept, "{slots:?}");
            }
        }
    }
}
