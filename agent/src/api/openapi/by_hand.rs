//! Schemas of answers that are written by hand, so that no type says what is in them.

use serde_json::{Map, Value, json};

use crate::diagnose::Verdict;
use crate::telemetry::{CONTAINER, Columns, HEALTH, MACHINE, Unit};

/// An object whose fields are all there; nothing else is.
fn object(fields: Value) -> Value {
    let names: Vec<Value> = fields.as_object().into_iter().flat_map(Map::keys).cloned().map(Value::from).collect();
    json!({ "type": "object", "properties": fields, "required": names, "additionalProperties": false })
}

/// This, or `null`.
fn maybe(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn whole() -> Value {
    json!({ "type": "integer" })
}

fn number() -> Value {
    json!({ "type": "number" })
}

/// Fields of an object, and that it may have these as well.
fn with(mut object: Value, may_have: Value) -> Value {
    let also = may_have.as_object().cloned().unwrap_or_default();
    if let Some(fields) = object["properties"].as_object_mut() {
        fields.extend(also);
    }
    object
}

/// `POST /v3/keys/rotate`, as it is sent.
pub(super) fn which_key() -> Value {
    json!({ "type": "object", "properties": {
        "service": { "type": ["string", "null"], "description": "Whose key; the global one unless given" },
        "app": { "type": ["integer", "string", "null"], "description": "Number of its app, where several have such a service" },
    } })
}

/// `POST /v3/keys/rotate`.
pub(super) fn new_key() -> Value {
    object(json!({ "app_id": maybe(whole()), "service": maybe(text()), "key": text() }))
}

/// `POST /v3/agent/update`, as it is sent.
pub(super) fn wanted_agent() -> Value {
    let said = |what: &str| json!({ "type": "string", "description": what });
    json!({
        "type": "object",
        "oneOf": [{ "required": ["file"] }, { "required": ["url"] }, { "required": ["image"] }],
        "properties": {
            "file": { "type": "string", "pattern": "^/", "description": "A whole path on the device" },
            "url": said("Where it is fetched from"),
            "image": said("The image it lies in"),
            "sha256": { "type": "string", "pattern": "^[0-9a-fA-F]{64}$", "description": "What it has to add up to" },
            "signature": said("An ed25519 signature of it, in base64"),
            "offline": { "type": "boolean", "description": "Its trial is not to wait for the cloud" },
        },
    })
}

/// What is answered once something is begun.
pub(super) fn accepted() -> Value {
    object(json!({ "status": { "const": "accepted" } }))
}

/// `GET /v3/agent`.
pub(super) fn agent() -> Value {
    let binary = || object(json!({ "slot": { "enum": ["a", "b"] }, "sha256": text(), "version": text() }));
    let starts = || object(json!({ "boot": text(), "count": whole() }));
    let trial = object(json!({
        "binary": binary(), "starts": starts(), "total": whole(), "schema": whole(), "cloud": { "type": "boolean" },
        "wish": maybe(text()), "verdict": maybe(text()),
    }));
    let failed = object(json!({ "sha256": text(), "version": text(), "why": text(), "wish": maybe(text()) }));
    object(json!({
        "form": whole(), "kept": maybe(binary()), "previous": maybe(binary()), "trial": maybe(trial), "failed": maybe(failed),
        "starts": starts(), "news": maybe(text()), "running": maybe(text()), "version": text(), "doing": maybe(text()),
        "error": maybe(text()), "fault": maybe(text()),
    }))
}

/// `GET /v3/diagnose`.
pub(super) fn diagnosis() -> Value {
    let words = [Verdict::Skipped, Verdict::Ok, Verdict::Warning, Verdict::Failed].map(Verdict::word);
    let verdict = json!({ "enum": words });
    let check = object(json!({
        "name": text(), "verdict": verdict, "sentence": text(), "remedy": maybe(text()), "took_ms": whole(),
    }));
    object(json!({
        "verdict": verdict, "failed": whole(), "warnings": whole(), "agent_version": text(), "utc": maybe(text()),
        "checks": list(check),
    }))
}

/// `GET /v3/stats`.
pub(super) fn stats() -> Value {
    let host = object(json!({
        "processors": whole(), "memory_total_bytes": whole(), "disk_total_bytes": maybe(whole()),
    }));
    let identity = json!({ "app_id": whole(), "app": text(), "service": text() });
    let service = object(merged(
        &identity,
        json!({
            "container": maybe(text()), "running": { "type": "boolean" }, "container_restarts": whole(),
            "memory_limit_bytes": maybe(whole()),
        }),
    ));
    let ranked = list(object(merged(&identity, json!({ "value": number() }))));
    let top = object(json!({
        "cpu_percent": ranked, "memory_bytes": ranked, "network_bytes_per_s": ranked, "block_bytes_per_s": ranked,
    }));
    let kept = object(json!({
        "looks": whole(), "file_written": whole(), "file_written_ago_ms": maybe(whole()), "error": maybe(text()),
    }));
    let answer = object(json!({
        "utc": maybe(text()), "interval_s": number(), "retention_days": whole(), "from_ms": whole(), "to_ms": whole(),
        "host": maybe(with(host, figures(&MACHINE))), "services": list(with(service, figures(&CONTAINER))),
    }));
    with(answer, json!({ "top": top, "kept": kept }))
}

/// What there is of a series, as far as it is asked for.
fn figures(columns: &Columns) -> Value {
    let row = |mut fields: Map<String, Value>| {
        fields.extend(columns.iter().map(|column| (column.name.to_owned(), unit(column.unit))));
        object(fields.into())
    };
    let (first, step) = (("first_ms".to_owned(), whole()), ("step_s".to_owned(), number()));
    let points = columns.iter().map(|column| (column.name.to_owned(), list(maybe(unit(column.unit))))).chain([first, step]);
    json!({
        "latest": maybe(row(Map::from_iter([("ago_ms".to_owned(), whole())]))),
        "average": maybe(row(Map::new())),
        "points": object(points.collect::<Map<_, _>>().into()),
    })
}

fn unit(unit: Unit) -> Value {
    match unit {
        Unit::Count | Unit::Bytes | Unit::Passed => whole(),
        Unit::Percent | Unit::Milli => number(),
        Unit::Kelvin => maybe(whole()),
        Unit::Health => maybe(json!({ "enum": HEALTH.get(1..) })),
    }
}

fn merged(one: &Value, other: Value) -> Value {
    let both = [one, &other].into_iter().filter_map(Value::as_object);
    both.flatten().map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
}
