//! Faults on order: which call goes wrong, how, and how often. Shared by the simulated engine and the simulated host.

use std::time::Duration;

use fastrand::Rng;

/// How one call goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this message; nothing happens.
    Fail(String),
    /// Nobody answers; nothing happens.
    Unreachable,
    /// It is carried out and the caller is told that the connection broke.
    LostReply,
    /// It is not carried out and the caller's time limit ends it.
    Hang {
        /// The time limit.
        limit: Duration,
    },
    /// It is carried out and yet the caller's time limit ends it.
    HangAfter {
        /// The time limit.
        limit: Duration,
    },
    /// It is carried out this much later.
    Slow(Duration),
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Method of the trait, for example `create_container`; `None` is every call.
    pub call: Option<&'static str>,
    /// Only for objects whose name contains this text.
    pub object: Option<String>,
    /// Let so many matching calls pass first.
    pub skip: u32,
    /// Then hit so many; `u32::MAX` is for ever.
    pub times: u32,
    /// With this.
    pub fault: Fault,
}

impl Rule {
    /// The next call of this method goes wrong.
    pub fn once(call: &'static str, fault: Fault) -> Rule {
        Rule { call: Some(call), object: None, skip: 0, times: 1, fault }
    }

    /// Every call of this method goes wrong until the plan is cleared.
    pub fn always(call: &'static str, fault: Fault) -> Rule {
        Rule { times: u32::MAX, ..Rule::once(call, fault) }
    }

    fn matches(&self, call: &str, object: &str) -> bool {
        self.times > 0
            && self.call.is_none_or(|wanted| wanted == call)
            && self.object.as_ref().is_none_or(|part| object.contains(part.as_str()))
    }
}

/// Random faults: chances in a thousand for each call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chances {
    /// Of [`Fault::Fail`].
    pub fail: u32,
    /// Of [`Fault::LostReply`].
    pub lost_reply: u32,
    /// Of [`Fault::Hang`], half of them after the effect.
    pub hang: u32,
    /// Of [`Fault::Slow`].
    pub slow: u32,
}

/// How long a random hang or delay lasts at most.
const RANDOM_HANG_S: u64 = 60;

/// The plan. Rules come before chances, in their order; the first that matches counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    rules: Vec<Rule>,
    chances: Chances,
}

impl Faults {
    /// Adds an order.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Sets the chances of random faults.
    pub fn set_chances(&mut self, chances: Chances) {
        self.chances = chances;
    }

    /// Nothing goes wrong from now on.
    pub fn clear(&mut self) {
        *self = Faults::default();
    }

    /// Decides over one call.
    pub fn decide(&mut self, call: &str, object: &str, rng: &mut Rng) -> Option<Fault> {
        if let Some(rule) = self.rules.iter_mut().find(|rule| rule.matches(call, object)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                return None;
            }
            if rule.times != u32::MAX {
                rule.times -= 1;
            }
            return Some(rule.fault.clone());
        }
        self.chance(rng)
    }

    fn chance(&self, rng: &mut Rng) -> Option<Fault> {
        let Chances { fail, lost_reply, hang, slow } = self.chances;
        if fail + lost_reply + hang + slow == 0 {
            return None;
        }
        let drawn = rng.u32(0..1000);
        let limit = Duration::from_secs(RANDOM_HANG_S);
        if drawn < fail {
            Some(Fault::Fail("a fault on order".into()))
        } else if drawn < fail + lost_reply {
            Some(Fault::LostReply)
        } else if drawn < fail + lost_reply + hang {
            Some(if rng.bool() { Fault::Hang { limit } } else { Fault::HangAfter { limit } })
        } else if drawn < fail + lost_reply + hang + slow {
            Some(Fault::Slow(Duration::from_millis(rng.u64(1..20_000))))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_skip_count_and_end() {
        let mut rng = Rng::with_seed(1);
        let mut faults = Faults::default();
        faults.add(Rule { object: Some("web".into()), skip: 1, times: 2, ..Rule::once("start_container", Fault::LostReply) });
        let mut hit = |call, object| faults.decide(call, object, &mut rng).is_some();
        assert!(!hit("start_container", "container db"));
        assert!(!hit("stop_container", "container web"));
        let hits: Vec<bool> = (0..4).map(|_| hit("start_container", "container web")).collect();
        assert_eq!(hits, [false, true, true, false]);
    }

    #[test]
    fn chances_replay_from_a_seed() {
        let run = |seed| {
            let (mut rng, mut faults) = (Rng::with_seed(seed), Faults::default());
            faults.set_chances(Chances { fail: 100, lost_reply: 100, hang: 100, slow: 100 });
            (0..200).map(|_| faults.decide("observe", "engine", &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let hits = run(7).iter().flatten().count();
        assert!((40..120).contains(&hits), "{hits}");
    }
}
