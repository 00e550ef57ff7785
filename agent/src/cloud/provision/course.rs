//! Which step comes next: a state machine without I/O.
//!
//! ```text
//! Keep ─▶ Register ──registered──────────────────────────▶ Name ─▶ Pin ─▶ Finish ─▶ joined
//!   │         └─taken─▶ FindByOwnKey ──found────────────────▲
//!   └─────────────────▶      └─not─▶ FindByFleetKey ─found─▶ Install
//!                                          └─not─┬─refused─────┘
//!                                  of no use: Renew ─▶ renewed
//! ```

use super::Need;

/// How often the cloud has to say that it has no use for an identity before the device believes it. A cloud that reads from
/// a copy of its database may not know for a moment what it has just registered.
const SAID_TO_BE_USELESS: u32 = 2;

/// One thing to do. All of them may be done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Makes the identity durable in config.json.
    Keep,
    /// Registers it.
    Register,
    /// Asks for the device with its own key.
    FindByOwnKey,
    /// Asks for the device with the provisioning key.
    FindByFleetKey,
    /// Gives the device its key.
    Install(u64),
    /// Gives the device its first name.
    Name(u64),
    /// Pins the device to the release it was preloaded with.
    Pin(u64),
    /// Notes in config.json that the device is registered, and drops the provisioning key.
    Finish(u64),
    /// Makes a new identity.
    Renew,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Done.
    Done,
    /// The device is known by this id.
    Known(u64),
    /// There is such a device already.
    Taken,
    /// There is no such device, as far as the key that asked may see.
    Unknown,
    /// The cloud does not let the device have its key.
    Refused,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This step.
    Do(Step),
    /// The identity is of no use to the cloud: a wait, then from the beginning.
    OfNoUse,
    /// The device has joined.
    Joined,
    /// The device has another identity.
    Renewed,
}

/// Where a device stands.
#[derive(Debug)]
pub(super) struct Course {
    need: Need,
    named: bool,
    pinned: bool,
    useless: u32,
}

impl Course {
    /// `named` when a device that was registered just now is to get a name, `pinned` when its preload wants to stay.
    pub fn new(need: Need, named: bool, pinned: bool) -> Course {
        Course { need, named: named && need == Need::Register, pinned, useless: 0 }
    }

    /// Where every attempt begins.
    pub fn begin(&self) -> Step {
        Step::Keep
    }

    /// What follows from the outcome of a step.
    pub fn after(&mut self, step: Step, outcome: Outcome) -> Next {
        match (step, outcome) {
            (Step::Keep, _) if let Need::Pin(id) = self.need => self.found(id),
            (Step::Keep, _) if self.need == Need::Register => Next::Do(Step::Register),
            (Step::Keep, _) | (Step::Register, Outcome::Taken) => Next::Do(Step::FindByOwnKey),
            (Step::Register | Step::FindByOwnKey, Outcome::Known(id)) => self.found(id),
            (Step::FindByOwnKey, _) => Next::Do(Step::FindByFleetKey),
            (Step::FindByFleetKey, Outcome::Known(id)) => Next::Do(Step::Install(id)),
            (Step::Install(id), Outcome::Done) => self.found(id),
            (Step::Register | Step::FindByFleetKey | Step::Install(_), _) => self.of_no_use(),
            (Step::Name(id), _) if self.pinned => Next::Do(Step::Pin(id)),
            (Step::Name(id) | Step::Pin(id), _) => Next::Do(Step::Finish(id)),
            (Step::Finish(_), _) => Next::Joined,
            (Step::Renew, _) => Next::Renewed,
        }
    }

    fn found(&mut self, id: u64) -> Next {
        self.useless = 0;
        let step = if self.named {
            Step::Name(id)
        } else if self.pinned {
            Step::Pin(id)
        } else {
            Step::Finish(id)
        };
        Next::Do(step)
    }

    fn of_no_use(&mut self) -> Next {
        self.useless += 1;
        if self.need.renews() && self.useless >= SAID_TO_BE_USELESS { Next::Do(Step::Renew) } else { Next::OfNoUse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a course with outcomes from a list, and says which steps were taken and how it ended.
    fn walk(course: &mut Course, outcomes: &[Outcome]) -> (Vec<Step>, Next) {
        let (mut steps, mut outcomes) = (vec![course.begin()], outcomes.iter());
        loop {
            match course.after(*steps.last().unwrap(), *outcomes.next().unwrap()) {
                Next::Do(step) => steps.push(step),
                end => return (steps, end),
            }
        }
    }

    #[test]
    fn a_new_device_registers_gets_its_name_and_is_done() {
        let mut course = Course::new(Need::Register, true, false);
        let (steps, end) = walk(&mut course, &[Outcome::Done, Outcome::Known(7), Outcome::Done, Outcome::Done]);
        assert_eq!(steps, [Step::Keep, Step::Register, Step::Name(7), Step::Finish(7)]);
        assert_eq!(end, Next::Joined);
    }

    #[test]
    fn a_preloaded_device_is_pinned_before_it_has_joined_or_as_soon_as_it_is_known() {
        let mut course = Course::new(Need::Register, true, true);
        let outcomes = [Outcome::Done, Outcome::Known(7), Outcome::Done, Outcome::Done, Outcome::Done];
        let (steps, end) = walk(&mut course, &outcomes);
        assert_eq!(steps, [Step::Keep, Step::Register, Step::Name(7), Step::Pin(7), Step::Finish(7)]);
        assert_eq!(end, Next::Joined);
        let mut course = Course::new(Need::Pin(8), true, true);
        let (steps, end) = walk(&mut course, &[Outcome::Done; 3]);
        assert_eq!((steps, end), (vec![Step::Keep, Step::Pin(8), Step::Finish(8)], Next::Joined));
    }

    #[test]
    fn a_lost_answer_is_found_again_by_the_devices_own_key() {
        let mut course = Course::new(Need::Register, false, false);
        let (steps, end) = walk(&mut course, &[Outcome::Done, Outcome::Taken, Outcome::Known(7), Outcome::Done]);
        assert_eq!(steps, [Step::Keep, Step::Register, Step::FindByOwnKey, Step::Finish(7)]);
        assert_eq!(end, Next::Joined);
    }

    #[test]
    fn a_device_that_lost_its_key_gets_a_new_one() {
        let mut course = Course::new(Need::FindId, true, false);
        let (steps, end) = walk(&mut course, &[Outcome::Done, Outcome::Unknown, Outcome::Known(7), Outcome::Done, Outcome::Done]);
        assert_eq!(
            steps,
            [Step::Keep, Step::FindByOwnKey, Step::FindByFleetKey, Step::Install(7), Step::Finish(7)],
            "a device that was registered before keeps its name"
        );
        assert_eq!(end, Next::Joined);
    }

    #[test]
    fn an_identity_is_given_up_only_when_the_cloud_says_so_twice() {
        let mut course = Course::new(Need::Register, false, false);
        let useless = [Outcome::Done, Outcome::Taken, Outcome::Unknown, Outcome::Unknown, Outcome::Done];
        assert_eq!(walk(&mut course, &useless).1, Next::OfNoUse);
        let (steps, end) = walk(&mut course, &useless);
        assert_eq!((*steps.last().unwrap(), end), (Step::Renew, Next::Renewed));
        let mut course = Course::new(Need::FindId, false, false);
        let refused = [Outcome::Done, Outcome::Unknown, Outcome::Known(7), Outcome::Refused, Outcome::Done];
        assert_eq!(walk(&mut course, &refused).1, Next::OfNoUse);
        assert_eq!(walk(&mut course, &refused).1, Next::Renewed);
    }

    #[test]
    fn a_known_device_never_gives_its_identity_up() {
        let mut course = Course::new(Need::DropKey, false, false);
        for _ in 0..100 {
            assert_eq!(walk(&mut course, &[Outcome::Done, Outcome::Unknown, Outcome::Unknown]).1, Next::OfNoUse);
        }
    }
}
