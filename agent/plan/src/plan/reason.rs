//! Why a step is taken or not. One text per reason, shared by log, command line, API and report.

use std::sync::Arc;

use serde::Serialize;

use crate::memory::PowerChange;
use crate::policy::Purpose;

/// Most images a sentence names.
const MOST_NAMED: usize = 10;

/// A reason. `Display` is the sentence people read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
#[allow(missing_docs, reason = "the sentence in Display says what each one and its fields mean")]
pub enum Reason {
    // Why something is done.
    NotThereYet,
    NotWantedAnyMore,
    AppLeftTarget,
    Changed { fields: Vec<String> },
    NewRelease { from: String, to: String },
    Duplicate,
    NeededBy { service: String },
    BeforeSwitch,
    ReleaseComplete { commit: String },
    NothingLeftToDo,
    StoppedByTarget,
    StoppedByEngine { exit_code: i64 },
    StartedNever,
    Superseded,
    RoomNeeded,
    Dangling,
    Dead,
    GraceOver,
    HoldOver,
    RunsAgain,
    // Why something waits.
    WaitingForLock { service: String, file: String, since_ms: Option<i64> },
    WaitingForImages { missing: Arc<Vec<String>> },
    WaitingForTurn { at_a_time: usize },
    WaitingForDependency { service: String, condition: String },
    WaitingForNetwork { name: String },
    WaitingForVolume { name: String },
    WaitingForOldContainer,
    HeldForVolume { name: String, purpose: Purpose },
    Ordered { task: &'static str },
    WaitingForStep { what: String },
    WaitingForDownloadWindow { why: String },
    WaitingForUpdateWindow { why: String },
    Retry { error: String, count: u32, retry_boot_ms: i64 },
    Refused { offences: Vec<String> },
    VolumeWouldLoseData { name: String, fields: Vec<String> },
    KeptForGrace { until_ms: Option<i64> },
    LeftForNow { what: String, error: String, retry_boot_ms: i64 },
    NotKept { fields: Vec<String> },
    VariablePassedOver { why: String },
    WatchOnly { why: String },
    HandOver,
    HandedOver,
    HandOverTimedOut,
    WaitingForHandOver { deadline_boot_ms: i64 },
    WaitingForHealth { service: String, state: String, deadline_boot_ms: i64 },
    WaitingForReboot,
    BootConfiguration,
    BootFileUnusable { file: String, why: String },
    BeforeReboot,
    RebootNeeded { why: String },
    RebootPending { why: String },
    RebootLoop { why: String, count: u32 },
    WaitingForOsUpdate,
    GoingDown { power: PowerChange },
    ContractUnmet { services: Vec<String> },
    LeftOut { unmet: String },
    TrialBegins,
    TrialFailed { commit: String, why: String },
    TargetMovedOn,
    Rejected { commit: String, why: String, restored: String },
}

/// Something that is not done now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// Name of the app.
    pub app: String,
    /// Service, where it is about one.
    pub service: Option<String>,
    /// Why.
    #[serde(flatten)]
    pub reason: Reason,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::NotThereYet => f.write_str("the target asks for it and it is not there"),
            Reason::NotWantedAnyMore => f.write_str("the target does not ask for it any more"),
            Reason::AppLeftTarget => f.write_str("its app is no longer in the target"),
            Reason::Changed { fields } => write!(f, "changed: {}", fields.join(", ")),
            Reason::NewRelease { from, to } => write!(f, "unchanged by the new release, renamed from {from} to {to}"),
            Reason::Duplicate => f.write_str("an older duplicate"),
            Reason::NeededBy { service } => write!(f, "needed by {service}"),
            Reason::BeforeSwitch => f.write_str("containers are about to be replaced"),
            Reason::ReleaseComplete { commit } => write!(f, "release {commit} runs entirely"),
            Reason::NothingLeftToDo => f.write_str("nothing is left to do"),
            Reason::StoppedByTarget => f.write_str("the target asks for it to be stopped"),
            Reason::StoppedByEngine { exit_code } => {
                write!(f, "it should run but ended with exit code {exit_code} and the engine did not start it again")
            }
            Reason::StartedNever => f.write_str("it was made but never started"),
            Reason::Superseded => f.write_str("nothing uses it any more"),
            Reason::RoomNeeded => f.write_str("nothing uses it, and the disk has no room for what is to be done"),
            Reason::Dangling => f.write_str("it has no name and nothing uses it"),
            Reason::Dead => f.write_str("the engine could not remove it"),
            Reason::GraceOver => f.write_str("its app left the target and the grace period is over"),
            Reason::HoldOver => f.write_str("it was stopped for a copy of a volume, which is over"),
            Reason::HeldForVolume { name, purpose } => {
                write!(f, "held for the {purpose} of volume {name}; it goes on by itself when that ends, however it ends")
            }
            Reason::RunsAgain => f.write_str("its stop is over"),
            Reason::Ordered { task } => write!(f, "a {task} was asked for"),
            Reason::WaitingForLock { service, file, .. } => {
                write!(f, "waiting for the update lock of {service} ({file}), held by the application")
            }
            Reason::WaitingForImages { missing } => {
                let (named, others) = missing.split_at(missing.len().min(MOST_NAMED));
                let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
                write!(f, "waiting for {}{others} to be downloaded", named.join(", "))
            }
            Reason::WaitingForTurn { at_a_time } => {
                write!(f, "waiting for its turn: {at_a_time} images are downloaded at a time")
            }
            Reason::WaitingForDependency { service, condition } => write!(f, "waiting for {service} to be {condition}"),
            Reason::WaitingForNetwork { name } => write!(f, "waiting for network {name}"),
            Reason::WaitingForVolume { name } => write!(f, "waiting for volume {name}"),
            Reason::WaitingForOldContainer => f.write_str("waiting for the old container to be gone"),
            Reason::WaitingForStep { what } => write!(f, "waiting for: {what}"),
            Reason::WaitingForDownloadWindow { why } => write!(f, "downloads wait: {why}"),
            Reason::WaitingForUpdateWindow { why } => write!(f, "the switch waits: {why}"),
            Reason::Retry { error, count, .. } => write!(f, "failed {count} time(s), tried again later: {error}"),
            Reason::Refused { offences } => {
                write!(f, "this app's target is refused, its running release is left as it is: {}", offences.join("; "))
            }
            Reason::VolumeWouldLoseData { name, fields } => write!(
                f,
                "volume {name} is defined differently now ({}); replacing it would lose its data, so nothing is done until it is purged or an update is forced",
                fields.join(", ")
            ),
            Reason::LeftForNow { what, error, .. } => write!(f, "{what} cannot be removed and is left for now: {error}"),
            Reason::NotKept { fields } => write!(
                f,
                "it was made as the target asks and yet differs in {}: the engine or the kernel does not keep that, so it is left as it is",
                fields.join(", ")
            ),
            Reason::VariablePassedOver { why } => f.write_str(why),
            Reason::KeptForGrace { until_ms: Some(_) } => {
                f.write_str("volumes of an app that left the target are kept for the grace period")
            }
            Reason::KeptForGrace { until_ms: None } => f.write_str(
                "volumes of an app that left the target are kept: the grace period cannot be counted until the clock is set",
            ),
            Reason::HandOver => f.write_str("the old container hands over to the new one"),
            Reason::HandedOver => f.write_str("the new container has taken over"),
            Reason::HandOverTimedOut => {
                f.write_str("the new container did not say that it has taken over; the time for it is up")
            }
            // No times in the texts: a text is announced when it changes.
            Reason::WaitingForHandOver { .. } => f.write_str("waiting for the new container to say that it has taken over"),
            Reason::WaitingForHealth { service, state, .. } => write!(f, "the new release is on trial: {service} is {state}"),
            Reason::WaitingForReboot => {
                f.write_str("started after the next reboot, as its label io.balena.update.requires-reboot asks")
            }
            Reason::BootConfiguration => f.write_str("device variables ask for boot configuration"),
            Reason::BootFileUnusable { file, why } => write!(
                f,
                "device variables ask for boot configuration, but {file} on the boot partition cannot be used and is left as it is: {why}"
            ),
            Reason::BeforeReboot => f.write_str("the device is about to be restarted"),
            Reason::RebootNeeded { why } => write!(f, "the device has to be restarted for {}", one_line(why)),
            Reason::RebootPending { why } => write!(
                f,
                "the device is restarted as soon as nothing else is to be done and no update lock is held, for {}",
                one_line(why)
            ),
            Reason::RebootLoop { why, count } => write!(
                f,
                "the device was restarted {count} times for the same reason and it did not help; it is not restarted for it again until device variables or the release change: {}",
                one_line(why)
            ),
            Reason::WaitingForOsUpdate => f.write_str("Waiting for Host OS update to finish"),
            Reason::GoingDown { power } => write!(f, "the device was asked to {power}; nothing else is done until it has"),
            Reason::ContractUnmet { services } => write!(
                f,
                "Some releases were rejected due to having unmet requirements: {}; the running release is left as it is",
                services.join("; ")
            ),
            Reason::LeftOut { unmet } => write!(f, "Not running containers because of contract violations: it requires {unmet}"),
            Reason::TrialBegins => f.write_str("the new release begins its trial"),
            Reason::TrialFailed { commit, why } => write!(f, "release {commit} failed its trial: {why}"),
            Reason::TargetMovedOn => f.write_str("the target asks for another release"),
            Reason::Rejected { commit, why, restored } => {
                write!(f, "release {commit} is rejected until the target changes, release {restored} was restored: {why}")
            }
            Reason::WatchOnly { why } => write!(f, "watching only: {why}"),
        }
    }
}

/// Reasons that lie on lines of their own, for a sentence.
fn one_line(lines: &str) -> String {
    lines.lines().collect::<Vec<_>>().join(", and ")
}

impl Reason {
    /// Whether this is only worth knowing: the device is where it should be all the same.
    pub fn is_note(&self) -> bool {
        use Reason as R;
        matches!(
            self,
            R::KeptForGrace { .. } | R::LeftOut { .. } | R::LeftForNow { .. } | R::NotKept { .. } | R::VariablePassedOver { .. }
        )
    }
}
