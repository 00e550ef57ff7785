//! Update locks: `/v3/locks`.

use holdfast_plan::current::LockHolder;
use holdfast_plan::plan::Reason;
use holdfast_plan::policy::Now;
use holdfast_plan::target::AppId;
use serde::Serialize;

use super::moment::Ago;
use super::reading::read_by_field;
use super::release_state::apps;
use super::sentence::step_sentence;
use crate::reconcile::View;

/// What `/v3/locks` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LockList {
    /// Every lock that exists.
    pub locks: Vec<HeldLock>,
}

read_by_field!(LockList { locks });

/// The lock of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HeldLock {
    /// Numeric id of the app.
    pub app_id: u64,
    /// Its name.
    pub app: String,
    /// Service.
    pub service: String,
    /// `application` or `agent`.
    pub holder: String,
    /// The application's lock file.
    pub file: Option<String>,
    /// Since when the application holds it, where that can be told.
    pub since: Option<Ago>,
    /// Whether the agent has both files; `false` is what a crash may leave, mended in the next round.
    pub complete: bool,
    /// What waits for it (held by the application), or what is done under it (held by the agent).
    pub waiting: Vec<String>,
}

read_by_field!(HeldLock { app_id, app, service, holder, file, since, complete, waiting });

/// The locks of the loop's last look.
pub(super) fn lock_list(view: &View, now: Now) -> LockList {
    let apps = apps(view);
    let name = |id: AppId| apps.iter().find(|app| app.id == id).map_or_else(|| format!("app {id}"), |app| app.name.clone());
    let mut locks = Vec::new();
    for (app_id, services) in &view.current.locks.held {
        for (service, lock) in services {
            let mut row = HeldLock { app_id: *app_id, app: name(*app_id), service: service.clone(), ..HeldLock::default() };
            match &lock.holder {
                LockHolder::Application { file, since_ms } => {
                    row.holder = "application".into();
                    row.file = Some(file.clone());
                    row.since = since_ms.and_then(|ms| Ago::from_wall(ms, now));
                    row.complete = true;
                    row.waiting = held_up(view, &row.app, service);
                }
                LockHolder::Agent { complete } => {
                    row.holder = "agent".into();
                    row.complete = *complete;
                    row.waiting = under_way(view, &row.app);
                }
            }
            locks.push(row);
        }
    }
    LockList { locks }
}

/// What an application's lock holds up.
fn held_up(view: &View, app: &str, locked: &str) -> Vec<String> {
    let by_lock =
        view.plan.waiting.iter().filter(|wait| {
            wait.app == app && matches!(&wait.reason, Reason::WaitingForLock { service, .. } if service == locked)
        });
    let release = view.target.iter().flat_map(|target| target.apps.values()).find(|wanted| wanted.name == app);
    let commit = release.and_then(|app| app.release.as_ref()).map(|release| release.commit.as_str());
    let update = |service: &Option<String>| match (service, commit) {
        (Some(service), Some(commit)) => format!("{service} of {app} on its way to release {commit}"),
        (None, Some(commit)) => format!("{app} on its way to release {commit}"),
        (Some(service), None) => format!("removal of {service} of {app}"),
        (None, None) => format!("removal of {app}"),
    };
    by_lock.map(|wait| update(&wait.service)).collect()
}

/// What the agent does under its own locks.
fn under_way(view: &View, app: &str) -> Vec<String> {
    let doing = view.doing.iter().filter(|doing| doing.step.app.as_deref() == Some(app));
    doing.map(|doing| step_sentence(&doing.step)).collect()
}
