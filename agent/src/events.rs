//! What happened, for the log stream, the local API and the store.

use serde::Serialize;

/// How serious an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something was done or begins.
    #[default]
    Info,
    /// Something waits or was refused.
    Warning,
    /// Something failed.
    Error,
}

impl Level {
    /// All of them.
    const ALL: [Level; 3] = [Level::Info, Level::Warning, Level::Error];

    /// Its word, in the store and in answers.
    pub fn word(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }

    /// The level of a word.
    pub fn of_word(word: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.word() == word)
    }
}

/// What an event is about, for whoever picks some out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// A turn of a release or of a part the agent needs: settled, on trial, rejected, the engine away.
    State,
    /// A step of the plan began, ended, failed or was given up.
    Step,
    /// The download of an image.
    Pull,
    /// Update locks: waited for, taken, broken, given back.
    Lock,
    /// Something else is waited for.
    Wait,
    /// Anything else.
    #[default]
    Note,
}

impl Topic {
    /// All of them.
    const ALL: [Topic; 6] = [Topic::State, Topic::Step, Topic::Pull, Topic::Lock, Topic::Wait, Topic::Note];

    /// Its word, in the store and in answers.
    pub fn word(self) -> &'static str {
        match self {
            Topic::State => "state",
            Topic::Step => "step",
            Topic::Pull => "pull",
            Topic::Lock => "lock",
            Topic::Wait => "wait",
            Topic::Note => "note",
        }
    }

    /// The topic of a word; one that is not known is a note.
    pub fn of_word(word: &str) -> Topic {
        Topic::ALL.into_iter().find(|topic| topic.word() == word).unwrap_or_default()
    }
}

/// One event. `message` is a sentence a person can read; balena's own texts where it has them (behaviour §14).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Event {
    /// How serious.
    pub level: Level,
    /// What it is about.
    pub topic: Topic,
    /// Name of the app it is about.
    pub app: Option<String>,
    /// Service it is about.
    pub service: Option<String>,
    /// The sentence.
    pub message: String,
    /// When, ms since 1970, if the clock was trusted.
    pub wall_ms: Option<i64>,
}

impl Event {
    /// One about nothing in particular.
    pub fn note(level: Level, message: String, wall_ms: Option<i64>) -> Event {
        Event { level, message, wall_ms, ..Event::default() }
    }
}
