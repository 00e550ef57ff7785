//! `/v2/journal-logs`: the host's own log, as `journalctl` prints it (protocol §17.4). It is the host's, so it takes what the
//! device as a whole takes; and it may go on for as long as the client reads.

use std::pin::Pin;

use bytes::Bytes;
use serde_json::Value;

use super::Fields;
use super::answer::{Outcome, Refusal, streamed};
use super::route::{Access, Call, Route};
use super::streams::{Place, Source, pieces};
use crate::host::{HostError, JournalText};

pub(super) static ROUTES: [Route; 1] = [Route::post("/v2/journal-logs", Access::Device, |call| Box::pin(journal_logs(call)))];

/// The longest value that is passed on.
const VALUE_CHARS: usize = 256;

async fn journal_logs(call: Call) -> Outcome {
    let arguments = arguments(&call.fields()?)?;
    let place = call.state.streams.open(&call.caller)?;
    let text = call.state.host.journal(arguments).await.map_err(|error| match error {
        HostError::Invalid(_) => Refusal::bad(error.to_string()),
        error => Refusal::unavailable(error.to_string()),
    })?;
    Ok(streamed("text/plain; charset=utf-8", pieces(Box::new(Reading { text, place }))))
}

/// The arguments for `journalctl`. Each value stands in one argument with its option, so that none can be taken for another
/// option; there is no shell.
fn arguments(fields: &Fields) -> Result<Vec<String>, Refusal> {
    let mut arguments = Vec::new();
    for (name, option) in [("all", "--all"), ("follow", "--follow")] {
        if fields.switch(name) {
            arguments.push(option.to_owned());
        }
    }
    let options = [
        ("unit", "--unit"),
        ("containerId", "--identifier"),
        ("count", "--lines"),
        ("since", "--since"),
        ("until", "--until"),
        ("format", "--output"),
    ];
    for (name, option) in options {
        let value = match fields.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) if text.is_empty() => continue,
            Some(Value::String(text)) if text.chars().count() <= VALUE_CHARS && !text.contains(char::is_control) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(Refusal::bad(format!("{name}: a text of at most {VALUE_CHARS} characters is expected"))),
        };
        if name == "count" && value != "all" && value.parse::<u32>().is_err() {
            return Err(Refusal::bad("count: a number is expected"));
        }
        arguments.push(format!("{option}={value}"));
    }
    if fields.get("format").is_none() {
        arguments.push("--output=short".to_owned());
    }
    Ok(arguments)
}

struct Reading {
    text: JournalText,
    place: Place,
}

impl Source for Reading {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send + '_>> {
        Box::pin(async {
            tokio::select! {
                biased;
                () = self.place.ended() => None,
                piece = self.text.next() => piece,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(body: &str) -> Result<Vec<String>, String> {
        arguments(&Fields::parse("application/json", body.as_bytes()).unwrap()).map_err(|refusal| refusal.message)
    }

    #[test]
    fn fields_become_options_with_their_values() {
        assert_eq!(given("{}"), Ok(vec!["--output=short".to_owned()]));
        let body = r#"{"all":true,"follow":"1","unit":"balena.service","containerId":"abc","count":"20","since":"-1h",
            "until":"2026-01-01 00:00","format":"json"}"#;
        let expected = [
            "--all",
            "--follow",
            "--unit=balena.service",
            "--identifier=abc",
            "--lines=20",
            "--since=-1h",
            "--until=2026-01-01 00:00",
            "--output=json",
        ];
        assert_eq!(given(body).unwrap(), expected);
    }

    #[test]
    fn no_value_becomes_an_option_of_its_own() {
        let hostile = given(r#"{"unit":"--file=/etc/shadow","since":"-D/","containerId":"$(reboot); `x`"}"#).unwrap();
        assert_eq!(hostile[..3], ["--unit=--file=/etc/shadow", "--identifier=$(reboot); `x`", "--since=-D/"]);
        for wrong in [r#"{"unit":["a"]}"#, r#"{"count":"-5"}"#, r#"{"count":1.5}"#, "{\"unit\":\"a\\u0000b\"}"] {
            assert!(given(wrong).is_err(), "{wrong}");
        }
        assert!(given(&format!("{{\"unit\":\"{}\"}}", "x".repeat(300))).is_err());
    }
}
