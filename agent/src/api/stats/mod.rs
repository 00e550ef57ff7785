//! `/v3/stats`: what the machine and its containers used, now and over time.
//!
//! A service's key sees the services of its own app; the machine as a whole is the operator's to see.

mod write;

use holdfast_plan::target::AppId;
use hyper::StatusCode;

use super::answer::{Outcome, Refusal, json_text};
use super::body::Fields;
use super::caller::Caller;
use super::route::{Access, Call, Route};
use crate::telemetry::Book;

pub(super) static ROUTES: [Route; 1] = [Route::get("/v3/stats", Access::Key, |call| Box::pin(stats(call)))];

/// Milliseconds of an hour.
const HOUR_MS: f64 = 3_600_000.0;
/// As far back as anybody may ask, hours: ten years.
const MOST_HOURS: f64 = 87_600.0;
/// Points of a range where no step is asked for.
const USUAL_POINTS: i64 = 240;
/// What is answered where nothing is asked for.
const USUAL: &str = "latest,average,top";

/// What is asked for.
struct Wanted {
    app: Option<AppId>,
    service: Option<String>,
    from_ms: i64,
    to_ms: i64,
    step_ms: i64,
    latest: bool,
    average: bool,
    range: bool,
    top: bool,
}

impl Wanted {
    fn parse(query: &Fields, now_ms: i64) -> Result<Wanted, Refusal> {
        let number = |name: &str, expected: &str| match query.text(name) {
            None => Ok(None),
            Some(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
                _ => Err(Refusal::bad(format!("{name} is to be {expected}"))),
            },
        };
        let time = "a time in milliseconds since 1970";
        let to_ms = number("to", time)?.map_or(now_ms, |to| to as i64);
        let hours = number("hours", "a number of hours")?.unwrap_or(24.0).min(MOST_HOURS);
        let from_ms = number("from", time)?.map_or_else(|| to_ms.saturating_sub((hours * HOUR_MS) as i64), |from| from as i64);
        if from_ms >= to_ms {
            return Err(Refusal::bad("the time asked for is empty: from is not before to"));
        }
        let step = number("step", "a number of seconds")?.map(|step| (step * 1000.0) as i64);
        let app = match query.text("app") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| Refusal::bad("app is to be the number of an app"))?),
        };
        let what = query.text("what").unwrap_or_else(|| USUAL.to_owned());
        let mut wanted = Wanted {
            app,
            service: query.text("service"),
            from_ms,
            to_ms,
            step_ms: step.unwrap_or((to_ms - from_ms) / USUAL_POINTS).max(1),
            latest: false,
            average: false,
            range: false,
            top: false,
        };
        for word in what.split(',') {
            match word.trim() {
                "latest" => wanted.latest = true,
                "average" => wanted.average = true,
                "range" => wanted.range = true,
                "top" => wanted.top = true,
                _ => return Err(Refusal::bad("what is to be a list of latest, average, range and top")),
            }
        }
        Ok(wanted)
    }

    /// Whether a service is asked for, by somebody who may see it.
    fn is_about(&self, caller: &Caller, app: AppId, service: &str) -> bool {
        let named = self.service.as_deref().is_none_or(|name| name == service);
        caller.may_touch(app) && named && self.app.is_none_or(|wanted| wanted == app)
    }
}

async fn stats(call: Call) -> Outcome {
    let now = call.state.now();
    let (view, caller) = (call.state.view(), &call.caller);
    call.state.statistics.read(|book: &Book| {
        let wanted = Wanted::parse(&call.query, book.time_ms(now))?;
        let mut services = book.services().filter(|(app, name, _)| wanted.is_about(caller, *app, name)).peekable();
        if let Some(name) = wanted.service.as_deref().filter(|_| services.peek().is_none()) {
            let shown: String = name.chars().take(100).collect();
            let message = format!("there are no figures of a service {shown}");
            return Err(Refusal::new(StatusCode::NOT_FOUND, message));
        }
        let whole = wanted.service.is_none() && wanted.app.is_none() && *caller == Caller::Operator;
        Ok(json_text(write::answer(book, &wanted, services, whole, &view, now)))
    })
}

#[cfg(test)]
mod tests;
