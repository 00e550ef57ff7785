//! What is allowed right now: update windows, overrides, watching beside another supervisor. Evaluated before planning, so
//! that the plan itself needs no clock and no calendar.

mod space;
mod timezone;
mod variables;
mod windows;

pub use space::{Room, Shortage, judge};
pub use timezone::Zone;
pub use variables::{truthy, variable};

use std::collections::BTreeMap;

use holdfast_plan::current::EngineState;
use holdfast_plan::memory::Memory;
use holdfast_plan::policy::{Force, Gate, Hold, Now, Policy, Watermark};

/// Names of the variable that breaks update locks, without prefix; the second is the older one (behaviour §6).
const OVERRIDE_NAMES: [&str; 2] = ["SUPERVISOR_OVERRIDE_LOCK", "OVERRIDE_LOCK"];

/// Device variable that switches local mode on (behaviour §13).
pub const LOCAL_MODE: &str = "SUPERVISOR_LOCAL_MODE";

/// Device variable with the windows for downloads.
const DOWNLOAD_WINDOW: &str = "HOLDFAST_DOWNLOAD_WINDOW";
/// Device variable with the windows for switching containers.
const UPDATE_WINDOW: &str = "HOLDFAST_UPDATE_WINDOW";

/// Device variable with the share of the engine's disk that downloads may fill, percent.
const DISK_WATERMARK: &str = "HOLDFAST_DISK_WATERMARK";

/// What a round's policy is made of.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Device configuration variables of the target.
    pub config: &'a BTreeMap<String, String>,
    /// The request with force that is being carried out, if any.
    pub request: Option<&'a Force>,
    /// The volume that a request copies, if any.
    pub hold: Option<&'a Hold>,
    /// What the engine shows.
    pub engine: &'a EngineState,
    /// What is remembered.
    pub memory: &'a Memory,
    /// How long volumes of departed apps are kept, ms.
    pub volume_grace_ms: i64,
    /// May images without a name and a use be removed? Not on an engine that others work on too.
    pub clean_dangling: bool,
    /// The device's time zone.
    pub zone: &'a Zone,
    /// What time it is.
    pub now: Now,
}

/// Puts the round's policy together. A request with force passes the windows.
pub fn evaluate(at: &Circumstances<'_>) -> Policy {
    let overridden = OVERRIDE_NAMES.iter().find_map(|name| variable(at.config, name)).is_some_and(truthy);
    let force = at.request.cloned().or(overridden.then_some(Force::OverrideVariable));
    let gate = |name: &str, what: &str| match (at.request, variable(at.config, name)) {
        (None, Some(text)) => windows::gate(text, name, what, at.zone, at.now),
        _ => Gate::Open,
    };
    let (disk_watermark, passed_over) = watermark(at.config);
    Policy {
        download: gate(DOWNLOAD_WINDOW, "download"),
        switch: gate(UPDATE_WINDOW, "update"),
        force,
        volume_grace_ms: at.volume_grace_ms,
        watch_only: watch_only(at.engine, at.memory),
        disk_watermark,
        clean_dangling: at.clean_dangling,
        hold: at.hold.cloned(),
        local_mode: variable(at.config, LOCAL_MODE).is_some_and(truthy),
        passed_over: passed_over.into_iter().collect(),
    }
}

/// How full the disk may get, and what is wrong with the variable that says so.
fn watermark(config: &BTreeMap<String, String>) -> (Watermark, Option<String>) {
    match variable(config, DISK_WATERMARK).map(str::parse) {
        None => (Watermark::DEFAULT, None),
        Some(Ok(watermark)) => (watermark, None),
        Some(Err(wrong)) => {
            let default = Watermark::DEFAULT.percent();
            let why = format!(
                "the device variable {DISK_WATERMARK} cannot be understood, {default} % is used until it is corrected: {wrong}"
            );
            (Watermark::DEFAULT, Some(why))
        }
    }
}

/// Why nothing may be changed (design, "What must always hold", 4).
fn watch_only(engine: &EngineState, memory: &Memory) -> Option<String> {
    if let Some(name) = &engine.other_supervisor {
        return Some(format!(
            "balena-supervisor runs on this engine (container {name}); stop and disable it to let holdfast take over its containers"
        ));
    }
    (!memory.target_stored && !engine.containers.is_empty()).then(|| {
        let count = engine.containers.len();
        format!("the engine has {count} supervised container(s) and no target was ever stored on this device; they are left alone until the first target arrives")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(config: &[(&str, &str)], request: Option<&Force>, engine: &EngineState, now: Now) -> Policy {
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let memory = Memory { target_stored: true, ..Memory::default() };
        let zone = Zone::default();
        evaluate(&Circumstances {
            config: &config,
            request,
            hold: None,
            engine,
            memory: &memory,
            volume_grace_ms: 0,
            clean_dangling: false,
            zone: &zone,
            now,
        })
    }

    #[test]
    fn the_override_variable_in_all_its_spellings() {
        let engine = EngineState::default();
        for key in [
            "BALENA_SUPERVISOR_OVERRIDE_LOCK",
            "RESIN_SUPERVISOR_OVERRIDE_LOCK",
            "SUPERVISOR_OVERRIDE_LOCK",
            "RESIN_OVERRIDE_LOCK",
        ] {
            assert_eq!(policy(&[(key, "True")], None, &engine, Now::default()).force, Some(Force::OverrideVariable), "{key}");
            assert_eq!(policy(&[(key, "0")], None, &engine, Now::default()).force, None, "{key}");
        }
    }

    #[test]
    fn watches_beside_another_supervisor() {
        let engine = EngineState { other_supervisor: Some("balena_supervisor".into()), ..EngineState::default() };
        assert!(policy(&[], None, &engine, Now::default()).watch_only.is_some_and(|why| why.contains("balena_supervisor")));
        assert_eq!(policy(&[], None, &EngineState::default(), Now::default()).watch_only, None);
    }

    #[test]
    fn a_watermark_that_cannot_be_read_is_passed_over_and_named() {
        let of = |config: &[(&str, &str)]| policy(config, None, &EngineState::default(), Now::default());
        assert_eq!((of(&[]).disk_watermark, of(&[]).passed_over), (Watermark::DEFAULT, vec![]));
        assert_eq!(of(&[("RESIN_HOLDFAST_DISK_WATERMARK", "75")]).disk_watermark.percent(), 75);
        let wrong = of(&[("BALENA_HOLDFAST_DISK_WATERMARK", "all of it")]);
        assert_eq!(wrong.disk_watermark, Watermark::DEFAULT);
        assert!(wrong.passed_over[0].contains("HOLDFAST_DISK_WATERMARK") && wrong.passed_over[0].contains("all of it"));
    }

    #[test]
    fn windows_hold_until_forced() {
        let engine = EngineState::default();
        // 2026-11-16, a Monday, at noon.
        let now = Now { wall_ms: Some((1_794_787_200 + 12 * 3600) * 1000), ..Now::default() };
        let config = [("BALENA_HOLDFAST_UPDATE_WINDOW", "Mon-Fri 22:00-05:00")];
        let closed = policy(&config, None, &engine, now);
        assert_eq!(closed.download, Gate::Open);
        assert!(matches!(closed.switch, Gate::Until { wall_ms: Some(at), .. } if at == (1_794_787_200 + 22 * 3600) * 1000));
        let force = Force::Request { from: "test".into() };
        assert_eq!(policy(&config, Some(&force), &engine, now).switch, Gate::Open);
        assert!(
            matches!(policy(&config, None, &engine, Now::default()).switch, Gate::Until { wall_ms: None, .. }),
            "no clock, no opening"
        );
    }
}
