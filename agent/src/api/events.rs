//! `/v3/events`: what happens, as a list or as server-sent events.
//!
//! Three kinds of messages come over the stream. Events of the store carry an `id` and can be had again after it. What the
//! loop's picture shows — its phase, the services, the progress of downloads — is sent when it changes and carries none:
//! it is not kept, and a new stream begins with all of it. A `gap` says that events after the client's id may be gone.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;

use super::answer::{Outcome, Refusal, json, streamed};
use super::moment::rfc3339;
use super::release_state::apps;
use super::route::{Access, Call, Route};
use super::sentence::{phase_name, phase_sentence};
use super::streams::{Place, Source, pieces};
use super::{ApiState, Fields};
use crate::reconcile::View;
use crate::store::{EventPage, EventRange, StoreError, StoredEvent};

pub(super) static ROUTES: [Route; 1] = [Route::get("/v3/events", Access::Operator, |call| Box::pin(events(call)))];

/// Events that are listed unless told otherwise.
const LISTED: usize = 100;
/// Most events that are listed.
const MOST_LISTED: usize = 1000;
/// Events that are read for a stream at a time: more than one client can take at once would only fill memory.
const BATCH: usize = 32;
/// How often a stream without news shows that it is there.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How long the store may take to read.
const STORE_READ: Duration = Duration::from_secs(20);
/// What a client is told to wait before it comes again, and that the stream is open.
const GREETING: &str = "retry: 2000\n\n";
/// A line that clients pass over.
const BEAT: &str = ":\n\n";

/// A message of the stream, or an item of the list.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventRow {
    /// Grows with each event that is kept; such a message can be had again after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// When it happened, RFC 3339 in UTC; nothing while the clock was not trusted.
    pub time: Option<String>,
    /// `state`, `step`, `pull`, `lock`, `wait` or `note` of what is kept; `phase`, `service`, `progress` or `gap` of what is not.
    pub kind: &'static str,
    /// `info`, `warning` or `error`.
    pub level: &'static str,
    /// Name of the app it is about.
    pub app: Option<String>,
    /// Service it is about.
    pub service: Option<String>,
    /// A sentence.
    pub message: String,
    /// How many equal events it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The phase in one word, or the service's status in the cloud's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    /// How much of an image is downloaded, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

/// Events that are kept.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventList {
    /// Whether events after the id that was asked for may be gone.
    pub gap: bool,
    /// The events, oldest first.
    pub events: Vec<EventRow>,
}

impl From<StoredEvent> for EventRow {
    fn from(stored: StoredEvent) -> EventRow {
        let StoredEvent { id, event, count } = stored;
        EventRow {
            id: Some(id),
            time: event.wall_ms.map(rfc3339),
            kind: event.topic.word(),
            level: event.level.word(),
            app: event.app,
            service: event.service,
            message: event.message,
            count: Some(count),
            ..EventRow::default()
        }
    }
}

/// What is asked for.
struct Wish {
    follow: bool,
    since: Option<i64>,
    most: usize,
}

impl Wish {
    /// Of the header only what is a number counts: a browser sends back whatever it was given.
    fn of(query: &Fields, last_event_id: Option<i64>) -> Result<Wish, Refusal> {
        let number = |name: &str, most: i64| match query.text(name) {
            None => Ok(None),
            Some(text) => match text.parse::<i64>() {
                Ok(number) if (0..=most).contains(&number) => Ok(Some(number)),
                _ => Err(Refusal::bad(format!("{name}={text}: a number from 0 to {most} is expected"))),
            },
        };
        let most = number("limit", MOST_LISTED as i64)?.and_then(|most| usize::try_from(most).ok()).unwrap_or(LISTED);
        let follow = query.get("follow").is_none() || query.switch("follow");
        // The header is of the last event, the address of the first time.
        let since = number("since", i64::MAX)?;
        Ok(Wish { follow, since: last_event_id.filter(|_| follow).or(since), most })
    }
}

async fn events(call: Call) -> Outcome {
    let wish = Wish::of(&call.query, call.last_event_id)?;
    if !wish.follow {
        let range = wish.since.map_or(EventRange::Newest, EventRange::After);
        let page = read(&call.state, range, wish.most).await.map_err(Refusal::unavailable)?;
        return json(&EventList { gap: page.gap, events: page.events.into_iter().map(EventRow::from).collect() });
    }
    let place = call.state.streams.open(&call.caller)?;
    let newest = call.state.store.newest_event();
    let after = wish.since.unwrap_or_else(|| *newest.borrow());
    let view = call.state.view.clone();
    let follower = Follower { state: call.state, place, after, newest, view, shown: None, behind: true };
    Ok(streamed("text/event-stream", pieces(Box::new(follower))))
}

async fn read(state: &ApiState, range: EventRange, most: usize) -> Result<EventPage, String> {
    match timeout(STORE_READ, state.store.events(range, most)).await {
        Ok(page) => page.map_err(|error: StoreError| error.to_string()),
        Err(_) => Err(format!("the database did not answer within {} s", STORE_READ.as_secs())),
    }
}

/// What a client was shown of the picture.
#[derive(Default)]
struct Shown {
    phase: String,
    services: BTreeMap<(String, String), (&'static str, Option<u8>)>,
}

/// One client and how far it is. Nothing is queued for it: it is sent what comes after what it has.
struct Follower {
    state: ApiState,
    place: Place,
    after: i64,
    newest: watch::Receiver<i64>,
    view: watch::Receiver<Arc<View>>,
    /// Nothing before the first message.
    shown: Option<Shown>,
    /// Whether there may be more in the store than the client has.
    behind: bool,
}

impl Source for Follower {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send + '_>> {
        Box::pin(self.piece())
    }
}

impl Follower {
    async fn piece(&mut self) -> Option<Bytes> {
        loop {
            let mut text = String::new();
            if self.shown.is_none() {
                text.push_str(GREETING);
            }
            self.show_events(&mut text).await?;
            self.show_picture(&mut text);
            if !text.is_empty() {
                return Some(text.into());
            }
            tokio::select! {
                biased;
                () = self.place.ended() => return None,
                () = changed(&mut self.newest) => self.behind = true,
                () = changed(&mut self.view) => {}
                () = tokio::time::sleep(HEARTBEAT) => return Some(Bytes::from_static(BEAT.as_bytes())),
            }
        }
    }

    /// Events after what the client has; `None` ends the stream, and the client comes again with its id.
    async fn show_events(&mut self, text: &mut String) -> Option<()> {
        if !self.behind {
            return Some(());
        }
        self.newest.mark_unchanged();
        let page = match read(&self.state, EventRange::After(self.after), BATCH).await {
            Ok(page) => page,
            Err(cause) => {
                log::debug!("local API: a stream of events ends: {cause}");
                return None;
            }
        };
        self.behind = !page.events.is_empty();
        if page.gap {
            let message = format!("events after {} may be gone; what follows is what is kept", self.after);
            say(text, &EventRow { kind: "gap", level: "warning", message, time: self.now(), ..EventRow::default() });
            if page.events.is_empty() {
                self.after = *self.newest.borrow();
            }
        }
        for stored in page.events {
            self.after = stored.id;
            say(text, &stored.into());
        }
        Some(())
    }

    /// What has changed in the picture since the client last saw it.
    fn show_picture(&mut self, text: &mut String) {
        let view = self.view.borrow_and_update().clone();
        let time = self.now();
        let shown = self.shown.get_or_insert_default();
        let (status, message) = (phase_name(&view.phase), phase_sentence(&view));
        if shown.phase != message {
            shown.phase.clone_from(&message);
            let (status, time) = (Some(status), time.clone());
            say(text, &EventRow { kind: "phase", level: "info", status, message, time, ..EventRow::default() });
        }
        let mut services = BTreeMap::new();
        for app in apps(&view) {
            for service in &app.services {
                services.insert((app.name.clone(), service.name.to_owned()), (service.status.word(), service.progress()));
            }
        }
        for (place, (status, percent)) in &services {
            match shown.services.get(place) {
                Some(before) if before == &(*status, *percent) => {}
                Some((before, _)) if before == status => say(text, &row("progress", place, status, *percent, &time)),
                _ => say(text, &row("service", place, status, *percent, &time)),
            }
        }
        for place in shown.services.keys().filter(|place| !services.contains_key(*place)) {
            say(text, &row("service", place, "Removed", None, &time));
        }
        shown.services = services;
    }

    fn now(&self) -> Option<String> {
        self.state.now().wall_ms.map(rfc3339)
    }
}

fn row(
    kind: &'static str,
    (app, service): &(String, String),
    status: &'static str,
    percent: Option<u8>,
    time: &Option<String>,
) -> EventRow {
    let message = match percent {
        Some(percent) => format!("{service}: {status}, {percent} %"),
        None => format!("{service}: {status}"),
    };
    let (app, service) = (Some(app.clone()), Some(service.clone()));
    EventRow {
        kind,
        level: "info",
        app,
        service,
        status: Some(status),
        percent,
        message,
        time: time.clone(),
        ..EventRow::default()
    }
}

/// Waits for a change; for ever where there will be none.
async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Appends a message.
fn say(text: &mut String, row: &EventRow) {
    // JSON has no line breaks of its own.
    let Ok(data) = serde_json::to_string(row) else { return };
    if let Some(id) = row.id {
        text.push_str(&format!("id: {id}\n"));
    }
    text.push_str(&format!("data: {data}\n\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(query: &str, header: Option<i64>) -> Result<(bool, Option<i64>, usize), String> {
        let wish = Wish::of(&Fields::urlencoded(query.as_bytes()), header);
        wish.map(|wish| (wish.follow, wish.since, wish.most)).map_err(|refusal| refusal.message)
    }

    #[test]
    fn what_is_asked_for() {
        assert_eq!(wish("", None), Ok((true, None, LISTED)));
        assert_eq!(wish("since=7", None), Ok((true, Some(7), LISTED)));
        assert_eq!(wish("since=7", Some(9)), Ok((true, Some(9), LISTED)), "a browser comes again with the same address");
        assert_eq!(wish("follow=0&limit=5", Some(9)), Ok((false, None, 5)));
        for wrong in ["since=x", "since=-1", "limit=1001", "limit=", "since=99999999999999999999"] {
            assert!(wish(wrong, None).unwrap_err().contains("a number from 0 to"), "{wrong}");
        }
    }

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        let mut text = String::new();
        let row = EventRow { id: Some(5), kind: "note", message: "a\n\ndata: b\r".into(), ..EventRow::default() };
        say(&mut text, &row);
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!((lines.len(), lines[0]), (4, "id: 5"), "{text}");
        assert!(lines[1].starts_with("data: {\"id\":5,") && !text.contains('\r'), "{text}");
    }
}
