//! From routes, descriptions and types to the document.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::super::answer::Failure;
use super::super::route::{Access, BodyKind, Route};
use super::super::table::routes;
use super::described::operations;

/// Writes a type's schema.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What an answer is.
enum Answered {
    /// This type.
    Type(SchemaOf),
    /// What no type stands for.
    Written(Value),
}

/// One route, described.
pub(super) struct Operation {
    method: Method,
    path: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answer: Option<Answered>,
    /// The status where all is well, and what it says then.
    success: (u16, &'static str),
    /// What else it answers with: a stream of this type.
    stream: Option<&'static str>,
    line: Option<SchemaOf>,
    headers: Map<String, Value>,
    refusals: BTreeMap<u16, &'static str>,
}

fn operation(method: Method, path: &'static str, summary: &'static str) -> Operation {
    let parameters = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }));
    Operation {
        method,
        path,
        summary,
        parameters: parameters.collect(),
        body: None,
        answer: None,
        success: (200, "It is so"),
        stream: None,
        line: None,
        headers: Map::new(),
        refusals: BTreeMap::new(),
    }
}

pub(super) fn get(path: &'static str, summary: &'static str) -> Operation {
    operation(Method::GET, path, summary)
}

pub(super) fn post(path: &'static str, summary: &'static str) -> Operation {
    operation(Method::POST, path, summary)
}

pub(super) fn put(path: &'static str, summary: &'static str) -> Operation {
    operation(Method::PUT, path, summary)
}

/// One that answers with a stream of this type.
pub(super) fn get_stream(path: &'static str, summary: &'static str, content: &'static str) -> Operation {
    Operation { stream: Some(content), ..get(path, summary) }
}

impl Operation {
    /// What it answers.
    pub fn answers<T: JsonSchema>(mut self) -> Operation {
        self.answer = Some(Answered::Type(|schemas| schemas.subschema_for::<T>()));
        self
    }

    /// A JSON object that no type stands for.
    pub fn answers_any(self, what: &'static str) -> Operation {
        Operation { success: (200, what), ..self.answers_as(json!({ "type": "object" })) }
    }

    /// What is written by hand, and so is this.
    pub fn answers_as(mut self, schema: Value) -> Operation {
        self.answer = Some(Answered::Written(schema));
        self
    }

    /// It answers before it is done.
    pub fn begins(mut self, schema: Value, what: &'static str) -> Operation {
        self.success = (202, what);
        self.answers_as(schema)
    }

    /// One line of its stream.
    pub fn streams<T: JsonSchema>(mut self) -> Operation {
        self.line = Some(|schemas| schemas.subschema_for::<T>());
        self
    }

    pub fn query(mut self, name: &str, kind: &str, what: &str) -> Operation {
        self.parameters.push(json!({ "name": name, "in": "query", "description": what, "schema": { "type": kind } }));
        self
    }

    /// A field of its small body.
    pub fn field(mut self, name: &str, what: &str) -> Operation {
        let schema = json!({
            "type": "object", "required": [name],
            "properties": { name: { "type": "string", "minLength": 1, "description": what } },
        });
        self.body = Some(json!({ "required": true, "content": { "application/json": { "schema": schema } } }));
        self
    }

    pub fn takes_json(self, what: &str) -> Operation {
        self.takes_as("application/json", what, json!({ "type": "object" }))
    }

    pub fn takes(self, content: &str, what: &str) -> Operation {
        self.takes_as(content, what, json!({ "type": "string", "contentMediaType": content }))
    }

    /// A small body of its own kind; without `needed` it may be left out.
    pub fn takes_fields(mut self, schema: Value, needed: bool) -> Operation {
        self.body = Some(json!({ "required": needed, "content": { "application/json": { "schema": schema } } }));
        self
    }

    fn takes_as(mut self, content: &str, what: &str, schema: Value) -> Operation {
        self.body = Some(json!({ "required": true, "description": what, "content": { content: { "schema": schema } } }));
        if content == "application/json" {
            self.refusals.insert(400, "The document is not understood");
        }
        self
    }

    pub fn header_json<T: JsonSchema>(mut self, name: &str, what: &str) -> Operation {
        let fields = serde_json::to_string(&schemars::schema_for!(T).as_value()["properties"]).unwrap_or_default();
        let names: Vec<String> =
            serde_json::from_str::<Map<String, Value>>(&fields).unwrap_or_default().keys().cloned().collect();
        let what = format!("{what}: JSON with {}", names.join(", "));
        self.headers.insert(name.to_owned(), json!({ "description": what, "schema": { "type": "string" } }));
        self
    }

    pub fn refuses(mut self, status: u16, when: &'static str) -> Operation {
        self.refusals.insert(status, when);
        self
    }

    /// The route in the table; the content of volumes has none, and expects what the operator may do.
    fn route(&self) -> Option<&'static Route> {
        routes().find(|route| route.method == self.method && in_braces(route.path) == self.path)
    }

    fn document(mut self, schemas: &mut SchemaGenerator) -> Value {
        let (access, body) = self.route().map_or((Access::Operator, BodyKind::None), |route| (route.access, route.body));
        let mut refuse = |status, when| _ = self.refusals.entry(status).or_insert(when);
        if access != Access::Open {
            refuse(401, "No key, one that is not known, or one that does not reach this");
        }
        if body != BodyKind::None {
            refuse(400, "The body is not JSON");
            refuse(408, "The body did not arrive in time");
            refuse(413, "The body is too large");
        }
        refuse(503, "It cannot be done now; the message says why");
        let failure = schemas.subschema_for::<Failure>();
        let mut responses: BTreeMap<String, Value> = BTreeMap::new();
        for (status, when) in &self.refusals {
            let content = json!({ "application/json": { "schema": failure } });
            responses.insert(status.to_string(), json!({ "description": when, "content": content }));
        }
        responses.insert(self.success.0.to_string(), self.success(schemas));
        let mut operation = json!({ "summary": self.summary, "responses": responses });
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.into();
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        if access == Access::Open {
            operation["security"] = json!([]);
        }
        operation
    }

    fn success(&mut self, schemas: &mut SchemaGenerator) -> Value {
        let mut content = Map::new();
        let schema = match self.answer.take() {
            None => None,
            Some(Answered::Type(schema)) => Some(json!({ "schema": schema(schemas) })),
            Some(Answered::Written(schema)) => Some(json!({ "schema": schema })),
        };
        if let Some(schema) = schema {
            content.insert("application/json".to_owned(), schema);
        }
        if let Some(stream) = self.stream {
            let line = self.line.map(|line| json!({ "x-line": line(schemas) }));
            content.insert(stream.to_owned(), line.unwrap_or_else(|| json!({})));
        }
        let mut success = json!({ "description": self.success.1, "content": content });
        if !self.headers.is_empty() {
            success["headers"] = self.headers.clone().into();
        }
        success
    }
}

/// A path of the table in the document's way.
fn in_braces(path: &str) -> String {
    let parts = path.split('/').map(|part| match part.strip_prefix(':') {
        Some(name) => format!("{{{name}}}"),
        None => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The whole document.
fn document() -> Value {
    let mut schemas = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut paths: BTreeMap<&'static str, Map<String, Value>> = BTreeMap::new();
    for operation in operations() {
        let (path, method) = (operation.path, operation.method.as_str().to_ascii_lowercase());
        paths.entry(path).or_default().insert(method, operation.document(&mut schemas));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "holdfast, the local API",
            "version": "3",
            "description": "Version 3 of the local API of a device, its page and its metrics. It is served on a unix socket, where who can open the socket may \
                act, and over TCP, where a key is asked for. Versions 1 and 2 are those of balena-supervisor.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:48484", "description": "Where TCP is switched on" }],
        "security": [{}, { "key": [] }, { "query": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer" },
                "query": { "type": "apiKey", "in": "query", "name": "apikey" },
            },
        },
    })
}

#[test]
fn every_route_of_version_3_is_described_and_nothing_else() {
    let of_table: BTreeSet<(String, String)> =
        routes().map(|route| (route.method.to_string(), in_braces(route.path))).filter(|(_, path)| is_ours(path)).collect();
    let described: BTreeSet<(String, String)> =
        operations().iter().map(|operation| (operation.method.to_string(), operation.path.to_owned())).collect();
    let missing: Vec<_> = of_table.difference(&described).collect();
    assert!(missing.is_empty(), "not described in openapi/described.rs: {missing:?}");
    // The content of volumes passes beside the table.
    let gone: Vec<_> = described.difference(&of_table).filter(|(_, path)| !path.ends_with("/archive")).collect();
    assert!(gone.is_empty(), "described, and not in the table: {gone:?}");
}

fn is_ours(path: &str) -> bool {
    path.starts_with("/v3/") || ["/", "/metrics"].contains(&path)
}

#[test]
fn the_document_is_up_to_date() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/openapi/openapi.json");
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("HOLDFAST_WRITE_OPENAPI").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    let stands = std::fs::read_to_string(file).unwrap_or_default();
    let differs = text.lines().zip(stands.lines()).enumerate().find(|(_, (now, then))| now != then);
    assert!(stands == text, "run this test with HOLDFAST_WRITE_OPENAPI=1 and build again; first difference: {differs:?}");
}

#[test]
fn what_is_served_is_the_document() {
    let Ok(answer) = super::document() else { panic!("it cannot be unpacked") };
    let http_body_util::Either::Left(body) = answer.into_body() else { panic!("it is sent whole") };
    use http_body_util::BodyExt;
    let bytes = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
    let served: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(served["openapi"], "3.1.0");
    assert!(served == document(), "build again: the file was written after the last build");
    // Every reference leads somewhere.
    let text = served.to_string();
    let names = text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
    for name in names {
        assert!(served["components"]["schemas"][name].is_object(), "{name}");
    }
}
