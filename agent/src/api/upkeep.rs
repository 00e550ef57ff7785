//! Work on the database file, below `/v3/db`: `holdfast db` while an agent runs.

use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;

use super::answer::{Outcome, Refusal, json};
use super::route::{Access, Call, Route};
use crate::store::Task;

/// How long a check may take: an answer has to come before the client's patience ends.
const CHECK_LIMIT: Duration = Duration::from_secs(20);

pub(super) static ROUTES: [Route; 7] = [
    Route::get("/v3/db/backups", Access::Operator, |call| Box::pin(work(call, |_| Ok(Task::List)))),
    post("/v3/db/check", |call| Box::pin(work(call, |_| Ok(Task::Check { limit: CHECK_LIMIT })))),
    post("/v3/db/backup", |call| Box::pin(work(call, |_| Ok(Task::Backup { only_if_changed: false })))),
    post("/v3/db/restore", |call| Box::pin(work(call, restore))),
    post("/v3/db/vacuum", |call| Box::pin(work(call, |_| Ok(Task::Vacuum)))),
    post("/v3/db/checkpoint", |call| Box::pin(work(call, |_| Ok(Task::Checkpoint)))),
    post("/v3/db/migrate", |call| Box::pin(work(call, |_| Ok(Task::Migrate)))),
];

const fn post(path: &'static str, handler: fn(Call) -> super::route::Running) -> Route {
    Route::post(path, Access::Operator, handler)
}

/// Hands a task to the store and answers with what was done.
async fn work(call: Call, task: fn(&Call) -> Result<Task, Refusal>) -> Outcome {
    let task = task(&call)?;
    // A copy that cannot take the database's place was ill chosen; anything else is this device's trouble.
    let status = if matches!(task, Task::Restore { .. }) { StatusCode::BAD_REQUEST } else { StatusCode::SERVICE_UNAVAILABLE };
    let done = call.state.store.upkeep(task).await;
    json(&done.map_err(|cause| Refusal::new(status, cause.to_string()))?)
}

fn restore(call: &Call) -> Result<Task, Refusal> {
    let file = call.fields()?.text("file").filter(|file| !file.is_empty());
    let file = file.ok_or_else(|| Refusal::bad("the field file is missing: a backup's name, or the path of a copy"))?;
    Ok(Task::Restore { file: PathBuf::from(file) })
}
