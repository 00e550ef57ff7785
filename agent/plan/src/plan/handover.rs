//! The hand-over strategy: the new container is started beside the old one, which goes when the new one says so or its
//! time is up (behaviour §7): the first without a lock, for the application agreed to it. Everything is derived from what is there: an `old_*` container beside the new one, the
//! marker, the new container's creation time. A lone `old_*` counts as the present container.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::start::Candidate;
use super::{Action, Named, Reason, locking};
use crate::container::{HANDING_OVER_PREFIX, RestartPolicy};
use crate::current::Container;
use crate::target::{App, Strategy};

/// How long the new container has when its label does not say (behaviour §7).
const DEFAULT_TIMEOUT_MS: i64 = 60_000;

/// Whether this container is replaced by hand-over. One that does not run has nothing to hand over; one whose network or
/// volume has to go cannot stay beside the new one; one whose successor starts after a reboot meets nobody to hand over to.
pub(super) fn applies(candidate: &Candidate<'_>, container: &Container, changing: bool) -> bool {
    let fits = matches!(candidate.need, super::need::Need::Rename(_)) && !container.handing_over;
    let starts = candidate.starts_at_once() && candidate.service.strategy() == Strategy::HandOver;
    starts && container.is_up() && !changing && !fits
}

/// Begins, or goes on with, the hand-over from a container that is to be replaced.
pub(super) fn begin(draft: &mut Draft<'_>, app: &App, candidate: &Candidate<'_>, old: &Container, blocker: Option<Reason>) {
    let service = Some(candidate.service.name.as_str());
    let name = Some(app.name.as_str());
    if let Some(reason) = blocker {
        return draft.wait(&app.name, service, reason);
    }
    // From here on a crash of the old container must not bring it back in the new one's place.
    if old.spec.options.restart != RestartPolicy::No {
        let action = Action::SetRestartPolicy { container: Named::of(old), policy: RestartPolicy::No };
        return draft.step(name, service, action, Reason::HandOver);
    }
    if !old.handing_over {
        let action = Action::Rename { container: Named::of(old), name: format!("{HANDING_OVER_PREFIX}{}", old.spec.name) };
        return draft.step(name, service, action, Reason::HandOver);
    }
    if draft.input.current.locks.marker(app.id, &candidate.service.name) {
        let action = Action::ClearMarker { app_id: app.id, service: candidate.service.name.clone() };
        return draft.step(name, service, action, Reason::HandOver);
    }
    draft.step(name, service, candidate.wanted.creation(true), Reason::HandOver);
}

/// Ends a hand-over: removes the old container once the new one has said so, or its time is up.
pub(super) fn finish(draft: &mut Draft<'_>, app: &App, candidate: &Candidate<'_>, old: &Container, new: &Container) {
    let service = Some(candidate.service.name.as_str());
    let now = draft.input.now;
    let kill = Action::Kill { container: Named::of(old) };
    let left_ms = new.created_ms + timeout_ms(candidate) - now.machine_ms;
    if draft.input.current.locks.marker(app.id, &candidate.service.name) {
        draft.step(Some(&app.name), service, kill, Reason::HandedOver);
    } else if left_ms <= 0 {
        // The application has not agreed to this one, so its lock counts.
        let services = BTreeSet::from([candidate.service.name.clone()]);
        if locking::are_ours(draft, app.id, &services) || locking::take(draft, &app.name, app.id, services) {
            draft.step(Some(&app.name), service, kill, Reason::HandOverTimedOut);
        }
    } else {
        let deadline_boot_ms = now.boot_ms + left_ms;
        draft.wake(deadline_boot_ms);
        draft.wait(&app.name, service, Reason::WaitingForHandOver { deadline_boot_ms });
    }
}

fn timeout_ms(candidate: &Candidate<'_>) -> i64 {
    let label = candidate.service.labels.get("io.balena.update.handover-timeout");
    label.and_then(|text| text.trim().parse().ok()).filter(|ms| *ms >= 0).unwrap_or(DEFAULT_TIMEOUT_MS)
}
