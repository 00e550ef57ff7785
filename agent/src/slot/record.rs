//! What is known of the agent's binaries, and how it is stored: a line with the SHA-256 of the rest, then JSON.
//!
//! Read and written by hand: versions of the agent that know other fields have to get along with it, and with nothing less
//! than all of it readable the image's own binary is started.

use serde_json::{Value, json};

use crate::settings::sha256;

/// Form of the record. Another form is a later agent's and cannot be read.
const FORM: u64 = 1;

/// One of the two places for other versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Slot::A => "a",
            Slot::B => "b",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Slot> {
        [Slot::A, Slot::B].into_iter().find(|slot| slot.name() == name)
    }

    /// The other one.
    pub fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }
}

/// A binary in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// Where.
    pub slot: Slot,
    /// Its SHA-256, in hex. A file with another one is not started.
    pub sha256: String,
    /// What it says it is.
    pub version: String,
}

/// How often something was started without proving itself, since the machine started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// Which start of the machine.
    pub boot: String,
    /// How often.
    pub count: u32,
}

impl Starts {
    /// How often in this start of the machine: a power cut is no failed start.
    pub fn within(&self, boot: &str) -> u32 {
        if self.boot == boot { self.count } else { 0 }
    }

    /// One more.
    pub fn counted(&self, boot: &str) -> Starts {
        Starts { boot: boot.to_owned(), count: self.within(boot).saturating_add(1) }
    }
}

/// A version that has to prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The version.
    pub binary: Binary,
    /// Starts of it since the machine started.
    pub starts: Starts,
    /// Starts of it, all of them.
    pub total: u32,
    /// Schema version of the database before it.
    pub schema: u32,
    /// Whether it has to reach the cloud: the agent before it did.
    pub cloud: bool,
    /// The device variables that asked for it; `None` when a person did.
    pub wish: Option<String>,
    /// Why it failed, once that is so.
    pub verdict: Option<String>,
}

/// A version that failed its trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// What it says it is.
    pub version: String,
    /// Why.
    pub why: String,
    /// The device variables that asked for it.
    pub wish: Option<String>,
}

/// Everything that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// The version that is run; `None` is the image's own.
    pub kept: Option<Binary>,
    /// The one before, while its slot was not needed.
    pub previous: Option<Binary>,
    /// The version that has to prove itself.
    pub trial: Option<Trial>,
    /// The last version that did not.
    pub failed: Option<Failed>,
    /// Starts of the kept version that came to nothing.
    pub starts: Starts,
    /// What the next agent has to tell.
    pub news: Option<String>,
}

impl Slots {
    /// The slot that nothing needed lies in.
    pub fn free(&self) -> Slot {
        self.kept.as_ref().map_or(Slot::A, |kept| kept.slot.other())
    }

    /// The same as text for the file.
    pub fn to_text(&self) -> String {
        let content = self.to_json().to_string();
        format!("{}\n{content}\n", sha256(content.as_bytes()))
    }

    /// Reads such text.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn from_text(text: &str) -> Result<Slots, String> {
        let (sum, content) = text.split_once('\n').ok_or("it has no checksum")?;
        let content = content.strip_suffix('\n').ok_or("its end is missing")?;
        if sum != sha256(content.as_bytes()) {
            return Err("its checksum is wrong".to_owned());
        }
        let value: Value = serde_json::from_str(content).map_err(|error| error.to_string())?;
        if value["form"].as_u64() != Some(FORM) {
            return Err("it is of another form".to_owned());
        }
        Slots::from_json(&value).ok_or_else(|| "a field is missing".to_owned())
    }

    /// The record as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "form": FORM,
            "kept": self.kept.as_ref().map(binary_to),
            "previous": self.previous.as_ref().map(binary_to),
            "trial": self.trial.as_ref().map(trial_to),
            "failed": self.failed.as_ref().map(|failed| json!({
                "sha256": failed.sha256, "version": failed.version, "why": failed.why, "wish": failed.wish,
            })),
            "starts": starts_to(&self.starts),
            "news": self.news,
        })
    }

    fn from_json(value: &Value) -> Option<Slots> {
        Some(Slots {
            kept: optional(&value["kept"], binary_from)?,
            previous: optional(&value["previous"], binary_from)?,
            trial: optional(&value["trial"], trial_from)?,
            failed: optional(&value["failed"], failed_from)?,
            starts: starts_from(&value["starts"])?,
            news: text(&value["news"]),
        })
    }
}

fn binary_to(binary: &Binary) -> Value {
    json!({ "slot": binary.slot.name(), "sha256": binary.sha256, "version": binary.version })
}

fn starts_to(starts: &Starts) -> Value {
    json!({ "boot": starts.boot, "count": starts.count })
}

fn trial_to(trial: &Trial) -> Value {
    json!({
        "binary": binary_to(&trial.binary), "starts": starts_to(&trial.starts), "total": trial.total, "schema": trial.schema,
        "cloud": trial.cloud, "wish": trial.wish, "verdict": trial.verdict,
    })
}

/// Nothing, or all of it.
fn optional<T>(value: &Value, read: fn(&Value) -> Option<T>) -> Option<Option<T>> {
    if value.is_null() { Some(None) } else { read(value).map(Some) }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

fn binary_from(value: &Value) -> Option<Binary> {
    let slot = Slot::named(value["slot"].as_str()?)?;
    Some(Binary { slot, sha256: text(&value["sha256"])?, version: text(&value["version"])? })
}

fn starts_from(value: &Value) -> Option<Starts> {
    Some(Starts { boot: text(&value["boot"])?, count: number(&value["count"])? })
}

fn failed_from(value: &Value) -> Option<Failed> {
    Some(Failed {
        sha256: text(&value["sha256"])?,
        version: text(&value["version"])?,
        why: text(&value["why"])?,
        wish: text(&value["wish"]),
    })
}

fn trial_from(value: &Value) -> Option<Trial> {
    Some(Trial {
        binary: binary_from(&value["binary"])?,
        starts: starts_from(&value["starts"])?,
        total: number(&value["total"])?,
        schema: number(&value["schema"])?,
        cloud: value["cloud"].as_bool()?,
        wish: text(&value["wish"]),
        verdict: text(&value["verdict"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn binary(slot: Slot) -> Binary {
        Binary { slot, sha256: slot.name().repeat(64), version: format!("1.0.0-{}", slot.name()) }
    }

    fn full() -> Slots {
        let trial = Trial {
            binary: binary(Slot::B),
            starts: Starts { boot: "b1".into(), count: 2 },
            total: 3,
            schema: 2,
            cloud: true,
            wish: Some("https://x/y ab".into()),
            verdict: Some("line\n\"two\"".into()),
        };
        let failed = Failed { sha256: "ff".into(), version: "0.9".into(), why: "crashed".into(), wish: None };
        let starts = Starts { boot: "b0".into(), count: 1 };
        Slots {
            kept: Some(binary(Slot::A)),
            previous: None,
            trial: Some(trial),
            failed: Some(failed),
            starts,
            news: Some("n".into()),
        }
    }

    #[test]
    fn it_comes_back_as_it_went() {
        for slots in [Slots::default(), full(), Slots { previous: Some(binary(Slot::B)), trial: None, ..full() }] {
            assert_eq!(Slots::from_text(&slots.to_text()), Ok(slots));
        }
    }

    #[test]
    fn every_damage_is_noticed() {
        let text = full().to_text();
        for cut in 0..text.len() {
            assert!(Slots::from_text(&text[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..text.len() {
            let mut flipped = text.clone().into_bytes();
            flipped[at] ^= 1;
            let read = String::from_utf8(flipped).map_err(|_| String::new()).and_then(|text| Slots::from_text(&text));
            assert!(read.is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn another_form_and_a_missing_field_are_not_guessed_at() {
        let with = |content: String| Slots::from_text(&format!("{}\n{content}\n", sha256(content.as_bytes())));
        assert!(with(full().to_json().to_string()).is_ok());
        // What a later agent adds does not keep the launcher of an older image from reading it.
        let more =
            full().to_json().to_string().replace("\"form\":1", "\"form\":1,\"more\":[1]").replace("\"slot\"", "\"x\":2,\"slot\"");
        assert_eq!(with(more), Ok(full()));
        assert!(with(full().to_json().to_string().replace("\"form\":1", "\"form\":2")).is_err());
        assert!(with(full().to_json().to_string().replace("\"schema\"", "\"scheme\"")).is_err());
        assert!(with(full().to_json().to_string().replace("\"slot\":\"a\"", "\"slot\":\"c\"")).is_err());
    }

    #[test]
    fn the_free_slot_is_never_the_kept_one() {
        assert_eq!(Slots::default().free(), Slot::A);
        for slot in [Slot::A, Slot::B] {
            assert_eq!(Slots { kept: Some(binary(slot)), ..Slots::default() }.free(), slot.other());
        }
    }
}
