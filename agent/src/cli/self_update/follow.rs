//! What the agent does with a version that it was given, until that version is on trial or it is known that it will not be.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde_json::Value;

use super::super::output::print;
use crate::client::{self, ClientError, Device};

/// How often it is looked how far the agent is.
const LOOK: Duration = Duration::from_millis(500);
/// How long an agent that ended to be started anew may be away. What has not answered by then hangs, or nothing starts it.
const AWAY: Duration = Duration::from_secs(60);
/// How long all of it may take: the agent gives up a download before that.
const WHOLE: Duration = Duration::from_secs(4 * 3600);

/// Tells what the agent does until the new version is on trial.
pub(super) async fn follow(device: &Device, image: bool, quiet: bool) -> anyhow::Result<()> {
    let (begin, mut course) = (Instant::now(), Course { image, ..Course::default() });
    loop {
        tokio::time::sleep(LOOK).await;
        let answer = client::get(device, "/v3/agent").await.and_then(|reply| reply.json());
        match course.next(answer, begin.elapsed()).map_err(|why| anyhow!("{why}"))? {
            Step::OnTrial => return Ok(()),
            Step::Does(doing) if !quiet => print(&format!("{doing}\n"))?,
            Step::Does(_) | Step::Nothing => {}
        }
    }
}

/// How far it is.
#[derive(Default)]
struct Course {
    /// It is about an image, which a helper does the rest of.
    image: bool,
    said: String,
    /// What was kept before the agent ended.
    kept: Value,
    /// When the agent was heard last.
    heard: Duration,
    /// It ended since.
    ended: bool,
}

#[derive(Debug, PartialEq)]
enum Step {
    /// It does something else now.
    Does(String),
    Nothing,
    OnTrial,
}

const LATER: &str = "see what became of it with: holdfast self-update --show";

impl Course {
    fn next(&mut self, answer: Result<Value, ClientError>, at: Duration) -> Result<Step, String> {
        match answer {
            Ok(shown) => {
                self.heard = at;
                self.shown(&shown, at)
            }
            Err(error) if !ended(&error) => Err(format!("{error}; the agent may be going on with it, {LATER}")),
            // The helper ends it when the new one is there.
            Err(_) if self.image => Ok(Step::OnTrial),
            Err(error) if at.saturating_sub(self.heard) >= AWAY => Err(format!(
                "the agent ended to be started anew, and none has answered for {} s: {error}; once one runs, {LATER}",
                AWAY.as_secs()
            )),
            Err(_) => {
                self.ended = true;
                Ok(Step::Nothing)
            }
        }
    }

    fn shown(&mut self, shown: &Value, at: Duration) -> Result<Step, String> {
        let text = |field: &str| shown[field].as_str().unwrap_or_default();
        let (doing, error) = (text("doing"), text("error"));
        let over = !shown["trial"].is_null() || doing.starts_with("a helper");
        if over {
            return Ok(Step::OnTrial);
        }
        if doing.is_empty() && !error.is_empty() {
            return Err(error.to_owned());
        }
        if self.ended && doing.is_empty() {
            return self.back(shown);
        }
        if at >= WHOLE {
            return Err(format!(
                "it was not done within {} h; the agent may be going on with it, {LATER}",
                WHOLE.as_secs() / 3600
            ));
        }
        if !self.ended {
            self.kept = shown["kept"].clone();
        }
        if doing == self.said {
            return Ok(Step::Nothing);
        }
        self.said = doing.to_owned();
        Ok(if doing.is_empty() { Step::Nothing } else { Step::Does(doing.to_owned()) })
    }

    /// An agent is there again, and none is on trial.
    fn back(&self, shown: &Value) -> Result<Step, String> {
        if !shown["kept"].is_null() && shown["kept"] != self.kept {
            return Ok(Step::OnTrial);
        }
        let why = shown["failed"]["why"].as_str().unwrap_or("it ended before the new one was in its place; its log may say why");
        Err(format!("the agent of before runs again: {why}"))
    }
}

/// Whether nobody is there any more, as when the agent ends to be started anew.
fn ended(error: &ClientError) -> bool {
    match error {
        ClientError::NotReachable { cause, .. } => matches!(
            cause.kind(),
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        // Through ssh it is not known which of the two does not answer.
        ClientError::RemoteNotReachable { .. } | ClientError::Broken { .. } => true,
        ClientError::Silent { .. } | ClientError::Unreadable { .. } | ClientError::Refused { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn gone(kind: ErrorKind) -> Result<Value, ClientError> {
        Err(ClientError::NotReachable { socket: "/run/x".into(), cause: kind.into() })
    }

    fn kept(sum: &str) -> Value {
        json!({ "kept": { "sha256": sum } })
    }

    #[test]
    fn what_it_does_is_told_once_and_what_fails_ends_it() {
        let mut course = Course::default();
        let obtaining = || Ok(json!({ "doing": "obtaining x" }));
        assert_eq!(course.next(obtaining(), s(1)), Ok(Step::Does("obtaining x".into())));
        assert_eq!(course.next(obtaining(), s(2)), Ok(Step::Nothing));
        assert!(course.next(obtaining(), WHOLE).unwrap_err().contains("within 4 h"));
        assert_eq!(course.next(Ok(json!({ "error": "no agent" })), s(3)), Err("no agent".into()));
        assert_eq!(course.next(Ok(json!({ "doing": "starting anew", "trial": {} })), s(3)), Ok(Step::OnTrial));
    }

    #[test]
    fn an_agent_that_ended_is_waited_for_and_asked_what_became_of_it() {
        let away = |first: Value| {
            let mut course = Course::default();
            assert!(course.next(Ok(first), s(1)).is_ok());
            assert_eq!(course.next(gone(ErrorKind::ConnectionRefused), s(2)), Ok(Step::Nothing));
            assert_eq!(course.next(gone(ErrorKind::NotFound), s(60)), Ok(Step::Nothing));
            course
        };
        assert_eq!(away(json!({})).next(Ok(json!({ "trial": { "slot": "a" } })), s(60)), Ok(Step::OnTrial));
        assert_eq!(away(json!({})).next(Ok(kept("1")), s(60)), Ok(Step::OnTrial), "kept already");
        assert!(away(kept("1")).next(Ok(kept("1")), s(60)).unwrap_err().contains("its log may say why"));
        let failed = json!({ "failed": { "why": "was started 3 times" } });
        assert!(away(json!({})).next(Ok(failed), s(60)).unwrap_err().contains("was started 3 times"));
        let silent = away(json!({})).next(gone(ErrorKind::NotFound), s(61)).unwrap_err();
        assert!(silent.contains("none has answered for 60 s") && silent.contains("--show"), "{silent}");
    }

    #[test]
    fn another_failure_is_no_new_start() {
        for error in [
            ClientError::Refused { status: 500, message: "the store is away".into() },
            ClientError::Silent { seconds: 60 },
            ClientError::NotReachable { socket: "x".into(), cause: ErrorKind::PermissionDenied.into() },
            ClientError::NotReachable { socket: "x".into(), cause: ErrorKind::TimedOut.into() },
            ClientError::Unreadable { cause: "no JSON".into() },
        ] {
            let said = error.to_string();
            let told = Course::default().next(Err(error), s(1)).unwrap_err();
            assert!(told.starts_with(&said) && told.ends_with("holdfast self-update --show"), "{told}");
        }
        let broken = || Err(ClientError::Broken { cause: "closed".into() });
        assert_eq!(Course::default().next(broken(), s(1)), Ok(Step::Nothing));
        assert_eq!(Course { image: true, ..Course::default() }.next(broken(), s(1)), Ok(Step::OnTrial));
    }
}
