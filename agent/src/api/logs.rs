//! What containers write: `/v3/logs`, and `/v2/local/logs` with the agent's own messages among it (protocol §17.4). A service's
//! key sees its own app.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::answer::{Outcome, Refusal, streamed};
use super::caller::Caller;
use super::moment::rfc3339;
use super::route::{Access, Call, Route};
use super::streams::{Place, Source, pieces};
use super::{ApiState, Fields};
use crate::engine::unix_ns;
use crate::logs::{self, Line, LogWish, Subject, Subjects};
use crate::reconcile::{Phase, View};
use crate::store::{EventRange, StoredEvent};

pub(super) static ROUTES: [Route; 2] = [
    Route::get("/v3/logs", Access::Key, |call| Box::pin(service_logs(call))),
    Route::get("/v2/local/logs", Access::Key, |call| Box::pin(local_logs(call))),
];

/// Lines of each container unless told otherwise.
const LINES: u32 = 100;
/// Most lines of each container that can be asked for by number.
const MOST_LINES: u32 = 10_000;
/// Bytes that are gathered before they are sent, while more is there.
const PIECE_BYTES: usize = 16 * 1024;
/// How long a start may take until the containers are known.
const FIRST_LOOK: Duration = Duration::from_secs(20);
/// Events that are read at a time.
const EVENTS: usize = 32;
/// What `/v2/local/logs` begins with.
const GREETING: &[u8] = b"{\"message\":\"Streaming logs\",\"isSystem\":true}\n";
const NDJSON: &str = "application/x-ndjson; charset=utf-8";
const NS_PER_MS: i64 = 1_000_000;

/// A line of `/v3/logs`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogRow<'a> {
    /// When it was written, RFC 3339 in UTC with nanoseconds, by the engine's clock.
    pub time: String,
    /// Name of its app.
    pub app: &'a str,
    /// Its service.
    pub service: &'a str,
    /// `stdout`, `stderr`, or `system` for what the agent has to say about the logs.
    pub stream: &'static str,
    /// The text; what is no UTF-8 in it is replaced. A line of more than 16 KiB comes in pieces.
    pub message: &'a str,
}

impl<'a> LogRow<'a> {
    /// A line as it is told.
    pub fn of(line: &'a Line) -> LogRow<'a> {
        LogRow {
            time: rfc3339_ns(line.time_ns),
            app: &line.subject.app,
            service: &line.subject.service,
            stream: match line.source {
                logs::Source::Stdout => "stdout",
                logs::Source::Stderr => "stderr",
                logs::Source::System => "system",
            },
            message: &line.text,
        }
    }
}

/// A line of `/v2/local/logs`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct LocalRow<'a> {
    message: &'a str,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_std_err: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_system: bool,
}

fn rfc3339_ns(ns: i64) -> String {
    let (ms, rest) = (ns.div_euclid(NS_PER_MS), ns.rem_euclid(NS_PER_MS));
    format!("{}{rest:06}Z", rfc3339(ms).trim_end_matches('Z'))
}

async fn service_logs(call: Call) -> Outcome {
    let wish = wish(&call.query, &call.state)?;
    let shown = Shown::of(&call);
    first_look(&call.state).await;
    shown.is_known()?;
    let place = call.state.streams.open(&call.caller)?;
    let lines = logs::gather(call.state.engine.clone(), Box::new(shown), wish);
    let write = |line: &Line, out: &mut Vec<u8>| write_row(&LogRow::of(line), out);
    Ok(streamed(NDJSON, pieces(Box::new(LogStream { lines, place, write, greeting: None, told: None }))))
}

async fn local_logs(call: Call) -> Outcome {
    let shown = Shown { view: call.state.view.clone(), caller: call.caller.clone(), app: None, service: None };
    first_look(&call.state).await;
    let app = shown.own_app();
    let place = call.state.streams.open(&call.caller)?;
    let wish = LogWish { lines: Some(0), since_ns: None, follow: true, now_ns: now_ns(&call.state) };
    let newest = call.state.store.newest_event();
    let after = *newest.borrow();
    let told = Told { after, newest, app, state: call.state.clone() };
    let lines = logs::gather(call.state.engine.clone(), Box::new(shown), wish);
    let write = |line: &Line, out: &mut Vec<u8>| {
        let row = LocalRow {
            message: &line.text,
            timestamp: line.time_ns / NS_PER_MS,
            service_name: Some(&line.subject.service),
            is_std_err: line.source == logs::Source::Stderr,
            is_system: line.source == logs::Source::System,
        };
        write_row(&row, out);
    };
    let stream = LogStream { lines, place, write, greeting: Some(GREETING), told: Some(told) };
    Ok(streamed(NDJSON, pieces(Box::new(stream))))
}

/// Waits until the engine was looked at: just after a start nobody knows which containers there are.
async fn first_look(state: &ApiState) {
    let mut view = state.view.clone();
    // An engine that does not answer is no reason to wait for longer.
    let _ = timeout(FIRST_LOOK, view.wait_for(|view| view.phase != Phase::Starting)).await;
}

fn now_ns(state: &ApiState) -> i64 {
    state.now().machine_ms.saturating_mul(NS_PER_MS)
}

fn wish(query: &Fields, state: &ApiState) -> Result<LogWish, Refusal> {
    let lines = match query.text("lines").as_deref() {
        None => Some(LINES),
        Some("all") => None,
        Some(text) => match text.parse().ok().filter(|lines| *lines <= MOST_LINES) {
            Some(lines) => Some(lines),
            None => return Err(Refusal::bad(format!("lines={text}: a number from 0 to {MOST_LINES} or all is expected"))),
        },
    };
    let since_ns = match query.text("since") {
        None => None,
        Some(text) => match unix_ns(&text) {
            Some(since_ns) => Some(since_ns),
            None => return Err(Refusal::bad(format!("since={text}: a time such as 2026-01-31T12:00:00Z is expected"))),
        },
    };
    Ok(LogWish { lines, since_ns, follow: query.switch("follow"), now_ns: now_ns(state) })
}

/// The containers of the loop's picture that a caller may see and asked for.
struct Shown {
    view: watch::Receiver<Arc<View>>,
    caller: Caller,
    /// The app's name or id.
    app: Option<String>,
    service: Option<String>,
}

impl Shown {
    fn of(call: &Call) -> Shown {
        let (app, service) = (call.query.text("app"), call.query.text("service"));
        Shown { view: call.state.view.clone(), caller: call.caller.clone(), app, service }
    }

    fn is_asked_for(&self, subject: &Subject) -> bool {
        let is = |asked: &Option<String>, name: &str| asked.as_ref().is_none_or(|asked| asked == name);
        is(&self.service, &subject.service)
            && (is(&self.app, &subject.app) || self.app.as_ref().is_some_and(|app| *app == subject.app_id.to_string()))
    }

    fn admits(&self, subject: &Subject) -> bool {
        self.caller.may_touch(subject.app_id) && self.is_asked_for(subject)
    }

    /// An error unless what is asked for is there, or is to be.
    fn is_known(&self) -> Result<(), Refusal> {
        if self.app.is_none() && self.service.is_none() {
            return Ok(());
        }
        let view = self.view.borrow().clone();
        let known: Vec<Subject> = known(&view).into_iter().filter(|s| self.caller.may_touch(s.app_id)).collect();
        if known.iter().any(|subject| self.is_asked_for(subject)) {
            return Ok(());
        }
        let mut names: Vec<&str> = known.iter().map(|subject| subject.service.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is no such service here; there are: {names}")))
    }

    /// The name of the one app that may be seen; `None` for all.
    fn own_app(&self) -> Option<String> {
        match self.caller {
            Caller::Operator => None,
            Caller::Service { app, .. } => Some(self.view.borrow().app_name(app)),
            Caller::Nobody => Some(String::new()),
        }
    }
}

impl Subjects for Shown {
    fn now(&mut self) -> Vec<Subject> {
        let view = self.view.borrow_and_update().clone();
        present(&view).filter(|subject| self.admits(subject)).collect()
    }

    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if self.view.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Every container of an app's.
fn present(view: &View) -> impl Iterator<Item = Subject> {
    view.current.engine.containers.iter().map(|container| Subject {
        container: container.id.clone(),
        app_id: container.app_id,
        app: view.app_name(container.app_id),
        service: container.service.clone(),
        is_up: container.is_up(),
        started_ms: container.started_ms,
    })
}

/// The same and the services that are wanted and have none yet.
fn known(view: &View) -> Vec<Subject> {
    let wanted = view.target.iter().flat_map(|target| target.apps.values()).flat_map(|app| {
        app.release.iter().flat_map(|release| release.services.keys()).map(|service| Subject {
            app_id: app.id,
            app: app.name.clone(),
            service: service.clone(),
            ..Subject::default()
        })
    });
    present(view).chain(wanted).collect()
}

/// The agent's own messages.
struct Told {
    newest: watch::Receiver<i64>,
    after: i64,
    /// Only those of this app.
    app: Option<String>,
    state: ApiState,
}

impl Told {
    /// Waits for more of them; for ever where there will be none.
    async fn next(&mut self) -> Vec<StoredEvent> {
        loop {
            if *self.newest.borrow_and_update() == self.after && self.newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let page = self.state.store.events(EventRange::After(self.after), EVENTS).await.unwrap_or_default();
            // What cannot be read now is passed over: it stands in the device's own log.
            self.after = page.events.last().map_or(*self.newest.borrow(), |last| last.id);
            let mut events = page.events;
            events.retain(|stored| self.app.is_none() || stored.event.app == self.app);
            if !events.is_empty() {
                return events;
            }
        }
    }
}

/// One client.
struct LogStream {
    lines: mpsc::Receiver<Line>,
    place: Place,
    write: fn(&Line, &mut Vec<u8>),
    greeting: Option<&'static [u8]>,
    told: Option<Told>,
}

impl Source for LogStream {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send + '_>> {
        Box::pin(self.piece())
    }
}

impl LogStream {
    async fn piece(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(Bytes::from_static(greeting));
        }
        let mut piece = Vec::new();
        let told = &mut self.told;
        let events = async {
            match told {
                Some(told) => told.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.place.ended() => return None,
            line = self.lines.recv() => (self.write)(&line?, &mut piece),
            events = events => {
                for StoredEvent { event, .. } in events {
                    let timestamp = event.wall_ms.unwrap_or_default();
                    let service_name = event.service.as_deref();
                    let message = &event.message;
                    write_row(&LocalRow { message, timestamp, service_name, is_system: true, ..LocalRow::default() }, &mut piece);
                }
            }
        }
        while piece.len() < PIECE_BYTES
            && let Ok(line) = self.lines.try_recv()
        {
            (self.write)(&line, &mut piece);
        }
        Some(piece.into())
    }
}

/// Appends one line of JSON.
fn write_row(row: &impl Serialize, out: &mut Vec<u8>) {
    // Text and numbers can always be written.
    if serde_json::to_writer(&mut *out, row).is_ok() {
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_the_nanosecond() {
        for ns in [0, 1_795_247_640_123_456_789, -1] {
            assert_eq!(unix_ns(&rfc3339_ns(ns)), Some(ns));
        }
        assert_eq!(rfc3339_ns(1_795_247_640_000_000_007), "2026-11-21T07:54:00.000000007Z");
    }

    fn shown(caller: Caller, query: &str) -> (Vec<String>, Option<StatusCode>) {
        let mut view = super::super::tests::settled();
        let mut foreign = view.current.engine.containers[0].clone();
        (foreign.app_id, foreign.service) = (99, "foreign".to_owned());
        let mut current = (*view.current).clone();
        current.engine.containers.push(foreign);
        view.current = Arc::new(current);
        let fields = Fields::urlencoded(query.as_bytes());
        let view = watch::channel(Arc::new(view)).1;
        let mut shown = Shown { view, caller, app: fields.text("app"), service: fields.text("service") };
        let refused = shown.is_known().err().map(|refusal| refusal.status);
        let mut services: Vec<String> = shown.now().into_iter().map(|subject| subject.service).collect();
        services.sort();
        (services, refused)
    }

    #[test]
    fn a_service_sees_its_own_app() {
        let service = || Caller::Service { app: 5, service: "main".into(), controls_host: true };
        assert_eq!(shown(Caller::Operator, "").0, ["db", "foreign", "main"]);
        assert_eq!(shown(service(), "").0, ["db", "main"]);
        assert_eq!(shown(service(), "service=db").0, ["db"]);
        for hidden in ["service=foreign", "app=99", "app=app%2099"] {
            assert_eq!(shown(service(), hidden), (vec![], Some(StatusCode::NOT_FOUND)), "{hidden}");
        }
        assert_eq!(shown(Caller::Operator, "app=99").0, ["foreign"]);
        assert_eq!(shown(Caller::Nobody, "").0, Vec::<String>::new());
    }

    #[test]
    fn a_line_is_one_line_of_json() {
        let subject = Arc::new(Subject { app: "shop".into(), service: "till".into(), ..Subject::default() });
        let text = String::from_utf8_lossy(b"a\nb\x1b[0m\xff\x00").into_owned();
        let line = Line { time_ns: 5, subject, source: logs::Source::Stderr, text };
        let mut out = Vec::new();
        write_row(&LogRow::of(&line), &mut out);
        assert_eq!(out.iter().filter(|byte| byte.is_ascii_control()).count(), 1);
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((read["stream"].as_str(), read["message"].as_str()), (Some("stderr"), Some("a\nb\u{1b}[0m\u{fffd}\0")));
    }
}
