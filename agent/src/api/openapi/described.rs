//! What there is to say of each route that is ours alone and that its types do not say.

use super::super::events::EventList;
use super::super::keys::KeyList;
use super::super::logs::LogRow;
use super::super::transfer::{Copied, Restored};
use super::super::{DatabaseAnswer, History, LockList, PlanAnswer, Status, VolumeList};
use super::by_hand;
use super::document::{Operation, get, get_stream, post, put};
use crate::store::Done;

/// A target document, as the cloud sends it.
const TARGET: &str = "A target state document (version 3), as the cloud sends it";

/// Every route of `/v3`, the page and the metrics. Statuses that follow from the route itself — no key, a body that is too large, an agent that has no
/// time — are added by `document`.
pub(super) fn operations() -> Vec<Operation> {
    [state(), figures(), events_and_logs(), keys_and_agent(), database(), volumes()].into_iter().flatten().collect()
}

fn state() -> Vec<Operation> {
    vec![
        get("/v3/openapi.json", "This document").answers_any("An OpenAPI 3.1 document"),
        get("/v3/status", "What the device runs, what is being done, and what is waited for and why").answers::<Status>(),
        get("/v3/plan", "The steps to the stored target, with what each waits for").answers::<PlanAnswer>(),
        post("/v3/plan", "The steps to another target; nothing is stored and nothing changed")
            .takes_json(TARGET)
            .answers::<PlanAnswer>(),
        get("/v3/target", "The stored target as it came")
            .answers_any("`source`, `uuid`, `etag`, and the document as `target`")
            .refuses(404, "No target was ever stored"),
        get("/v3/target/history", "Past targets and what was reached, newest first").answers::<History>(),
        get("/v3/locks", "Update locks: who holds them, since when, and what waits for them").answers::<LockList>(),
    ]
}

fn figures() -> Vec<Operation> {
    vec![
        get("/v3/stats", "What the machine and its containers used, now and over time")
            .query("what", "string", "A list of `latest`, `average`, `range` and `top`; all but `range` unless given")
            .query("hours", "number", "How far back, to `to`; 24 unless given")
            .query("from", "number", "The beginning, milliseconds since 1970, instead of `hours`")
            .query("to", "number", "The end, milliseconds since 1970; now unless given")
            .query("step", "number", "Seconds between the points of a range")
            .query("service", "string", "Only services of this name")
            .query("app", "integer", "Only services of the app with this number")
            .answers_as(by_hand::stats())
            .refuses(400, "A parameter makes no sense, or the time asked for is empty")
            .refuses(404, "There are no figures of such a service"),
        get("/v3/diagnose", "The checks of `holdfast diagnose`, run now").answers_as(by_hand::diagnosis()),
        get_stream("/metrics", "The agent, the machine and the containers in Prometheus' text format", "text/plain"),
        get_stream("/", "The page of the device", "text/html"),
    ]
}

fn keys_and_agent() -> Vec<Operation> {
    vec![
        get("/v3/keys", "The keys of the API and what they reach")
            .query("show", "boolean", "The keys themselves as well")
            .answers::<KeyList>(),
        post("/v3/keys/rotate", "A new key in the place of the global one or of a service's; the old one counts no more")
            .takes_fields(by_hand::which_key(), false)
            .answers_as(by_hand::new_key())
            .refuses(400, "It is not clear whose key is meant")
            .refuses(404, "There is no such key"),
        get("/v3/agent", "Which version of the agent runs, which are kept, and what became of the last update")
            .answers_as(by_hand::agent()),
        post("/v3/agent/update", "Begins to install another version of the agent")
            .takes_fields(by_hand::wanted_agent(), true)
            .begins(by_hand::accepted(), "It is begun; `/v3/agent` tells how it goes")
            .refuses(400, "It is not clear which version is meant")
            .refuses(409, "The agent is being replaced already"),
        post("/v3/agent/check", "Looks at once whether another version of the agent is wanted")
            .begins(by_hand::accepted(), "It looks; `/v3/agent` tells what comes of it")
            .refuses(409, "The agent is being replaced already"),
    ]
}

fn events_and_logs() -> Vec<Operation> {
    vec![
        get_stream("/v3/events", "What happens, as server-sent events that can be resumed, or as a list", "text/event-stream")
            .query("follow", "boolean", "`0`: the events that are kept, as a list, and no stream")
            .query("since", "integer", "Only events after this id; a header `Last-Event-ID` takes its place in a stream")
            .query("limit", "integer", "At most so many in a list, to 1000; without `since` the newest")
            .answers::<EventList>()
            .refuses(400, "A parameter is no number"),
        get_stream("/v3/logs", "What services write, one JSON object a line", "application/x-ndjson")
            .query("service", "string", "Only this service")
            .query("app", "string", "Only this app, by name or number")
            .query("lines", "string", "So many of the newest lines of each container, to 10000, or `all`; 100 unless given")
            .query("since", "string", "No lines older than this, RFC 3339")
            .query("follow", "boolean", "Go on as lines come, also while containers are replaced")
            .streams::<LogRow<'static>>()
            .refuses(400, "A parameter makes no sense")
            .refuses(404, "There is no such service"),
    ]
}

fn database() -> Vec<Operation> {
    vec![
        get("/v3/db", "The database in figures").answers::<DatabaseAnswer>(),
        get("/v3/db/backups", "Copies of the database, and what was set aside").answers::<Done>(),
        post("/v3/db/check", "Checks every page and row").answers::<Done>(),
        post("/v3/db/backup", "Makes a verified copy").answers::<Done>(),
        post("/v3/db/restore", "Puts a copy in the database's place; the agent begins anew with it")
            .field("file", "A backup's name, or the path of a copy on the device")
            .answers::<Done>()
            .refuses(400, "No file was named, or it cannot take the database's place"),
        post("/v3/db/vacuum", "Gives unused pages back to the file system").answers::<Done>(),
        post("/v3/db/checkpoint", "Moves the write-ahead log into the file").answers::<Done>(),
        post("/v3/db/migrate", "Tells the schema version").answers::<Done>(),
    ]
}

fn volumes() -> Vec<Operation> {
    let path = "/v3/volumes/{name}/archive";
    let refusals = |operation: Operation| {
        operation
            .query("force", "boolean", "Break update locks")
            .refuses(404, "There is no such volume")
            .refuses(409, "It cannot be had now: something else works on it")
            .refuses(423, "A service that uses it holds an update lock")
    };
    vec![
        get("/v3/volumes", "The volumes of apps, with their sizes").answers::<VolumeList>(),
        refusals(get_stream(path, "The content of a volume; its services stand still meanwhile", "application/x-tar"))
            .query("live", "boolean", "The services go on meanwhile")
            .header_json::<Copied>("x-holdfast-volume", "What it is the content of"),
        refusals(put(path, "Replaces the content of a volume"))
            .takes("application/x-tar", "A tar stream whose names begin with `./`")
            .query("sha256", "string", "What the stream has to add up to, in hex")
            .answers::<Restored>()
            .refuses(400, "Nothing was sent")
            .refuses(422, "What was sent is not whole, and so the volume is not; repeat it"),
    ]
}
