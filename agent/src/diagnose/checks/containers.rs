//! The engine and the containers on it.

use std::time::Instant;

use hyper::Method;
use serde_json::Value;

use super::some;
use crate::calendar::seconds_of;
use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;

/// An engine that takes longer to say its version is busy or starved, ms.
const SLOW_MS: u128 = 2000;
/// So many restarts, the last within so many seconds, are a loop.
const LOOP_RESTARTS: i64 = 3;
const LOOP_S: i64 = 600;
/// So many restarts are worth a look, whenever they were.
const MANY_RESTARTS: i64 = 10;
/// How much of a health check's output is shown, characters.
const SHOWN_CHARS: usize = 100;

/// Whether the engine is there and how quickly it answers.
pub(super) async fn engine(scene: &Scene) -> Judgement {
    if scene.settings.engine.as_deref().is_some_and(|address| address.starts_with("sim:")) {
        return Judgement::skipped("the engine is simulated, inside the agent");
    }
    let begin = Instant::now();
    judge_engine(scene.ask_engine(Method::GET, "/version").await.as_ref(), begin.elapsed().as_millis())
}

fn judge_engine(answer: Result<&Value, &String>, took_ms: u128) -> Judgement {
    let start =
        "systemctl status balena (or docker) says why; systemctl restart balena starts it again, containers are then restarted";
    match answer {
        Err(cause) => Judgement::failed(format!("the engine does not answer: {cause}"), start),
        Ok(version) => {
            let word = |field: &str| version[field].as_str().unwrap_or("?").to_owned();
            let sentence = format!("version {}, API {}, answers in {took_ms} ms", word("Version"), word("ApiVersion"));
            match took_ms > SLOW_MS {
                true => Judgement::warning(sentence, "a slow engine is short of memory, processor or storage: see those checks"),
                false => Judgement::ok(sentence),
            }
        }
    }
}

/// The containers, or why they are not known.
async fn containers(scene: &Scene) -> Result<Vec<Value>, Judgement> {
    scene.containers().await.map_err(|_| Judgement::skipped("the engine tells of no containers: see the check engine"))
}

/// Whether balena-supervisor runs beside the agent.
pub(super) async fn supervisor(scene: &Scene) -> Judgement {
    match containers(scene).await {
        Ok(containers) => judge_supervisor(&containers),
        Err(skipped) => skipped,
    }
}

fn judge_supervisor(containers: &[Value]) -> Judgement {
    let running = |one: &&Value| one["State"]["Running"].as_bool() == Some(true);
    let other =
        containers.iter().filter(running).map(name_of).find(|name| ["balena_supervisor", "resin_supervisor"].contains(&&**name));
    match other {
        Some(name) => Judgement::warning(
            format!("{name} runs on the same engine: the agent only watches"),
            "stop and disable it (systemctl disable --now balena-supervisor) to let holdfast manage the containers",
        ),
        None => Judgement::ok("no other supervisor runs on this engine"),
    }
}

/// Whether containers are restarted again and again.
pub(super) async fn restarts(scene: &Scene) -> Judgement {
    let now_s = scene.clock.now().machine_ms / 1000;
    match containers(scene).await {
        Ok(containers) => judge_restarts(&containers, now_s),
        Err(skipped) => skipped,
    }
}

fn judge_restarts(containers: &[Value], now_s: i64) -> Judgement {
    let (mut loops, mut often) = (Vec::new(), Vec::new());
    for one in containers {
        let (count, state) = (one["RestartCount"].as_i64().unwrap_or(0), &one["State"]);
        let since = state["StartedAt"].as_str().and_then(seconds).map_or(i64::MAX, |started| now_s.saturating_sub(started));
        let code = state["ExitCode"].as_i64().unwrap_or(0);
        let text = format!("{} was restarted {count} times (last exit code {code})", name_of(one));
        if state["Restarting"].as_bool() == Some(true) || (count >= LOOP_RESTARTS && since < LOOP_S) {
            loops.push(text);
        } else if count >= MANY_RESTARTS {
            often.push(text);
        }
    }
    let remedy = "holdfast logs SERVICE shows why it ends";
    match (loops.is_empty(), often.is_empty()) {
        (false, _) => Judgement::failed(format!("{}, and goes on", some(&loops)), remedy),
        (true, false) => Judgement::warning(some(&often), remedy),
        _ => Judgement::ok(format!("none of {} containers is restarted again and again", containers.len())),
    }
}

/// Whether containers pass their health checks.
pub(super) async fn health(scene: &Scene) -> Judgement {
    match containers(scene).await {
        Ok(containers) => judge_health(&containers),
        Err(skipped) => skipped,
    }
}

fn judge_health(containers: &[Value]) -> Judgement {
    let word = |one: &Value| one["State"]["Health"]["Status"].as_str().map(str::to_owned);
    let with = containers.iter().filter(|one| word(one).is_some_and(|word| word != "none")).count();
    let ill: Vec<String> = containers.iter().filter(|one| word(one).as_deref() == Some("unhealthy")).map(illness).collect();
    match (ill.is_empty(), with) {
        (false, _) => Judgement::failed(
            some(&ill),
            "holdfast logs SERVICE shows what it says; holdfast service restart SERVICE restarts it",
        ),
        (true, 0) => Judgement::skipped(format!("none of {} containers has a health check", containers.len())),
        (true, with) => Judgement::ok(format!("none of {with} containers with a health check fails it")),
    }
}

fn illness(one: &Value) -> String {
    let last = one["State"]["Health"]["Log"].as_array().and_then(|log| log.last()).unwrap_or(&Value::Null);
    let output: String =
        last["Output"].as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
    format!("{} is unhealthy: exit code {}, output: {output}", name_of(one), last["ExitCode"].as_i64().unwrap_or(0))
}

fn name_of(container: &Value) -> String {
    container["Name"].as_str().unwrap_or("?").trim_start_matches('/').to_owned()
}

/// Seconds since 1970 of a time as engines write it: `2026-01-01T00:00:00.123Z`; the offset some of them write is passed over,
/// it only shifts what is compared with minutes.
fn seconds(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    seconds_of([number(0, 4)?, number(5, 7)?, number(8, 10)?], [number(11, 13)?, number(14, 16)?, number(17, 19)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;
    use serde_json::json;

    const NOW_S: i64 = 1_767_225_600;

    #[test]
    fn restarts_are_a_loop_when_they_go_on() {
        let verdict = |count: i64, started: &str, restarting: bool| {
            let one = json!({ "Name": "/c", "RestartCount": count, "State": { "StartedAt": started, "Restarting": restarting, "ExitCode": 1 } });
            judge_restarts(&[one], NOW_S).verdict
        };
        assert_eq!(verdict(2, "2026-01-01T00:00:00Z", false), Verdict::Ok);
        assert_eq!(verdict(3, "2025-12-31T23:50:01.5Z", false), Verdict::Failed);
        assert_eq!(verdict(3, "2025-12-31T23:50:00Z", false), Verdict::Ok);
        assert_eq!(verdict(10, "2025-01-01T00:00:00Z", false), Verdict::Warning);
        assert_eq!(verdict(0, "", true), Verdict::Failed);
        assert_eq!(verdict(9, "nonsense", false), Verdict::Ok);
        assert_eq!(judge_restarts(&[json!(7), json!(null)], NOW_S).verdict, Verdict::Ok);
    }

    #[test]
    fn illness_is_told_with_its_last_words() {
        let one = json!({ "Name": "/c", "State": { "Health": { "Status": "unhealthy", "Log": [{ "ExitCode": 3, "Output": "no\nanswer" }] } } });
        let judged = judge_health(&[one]);
        assert_eq!(
            (judged.verdict, judged.sentence.as_str()),
            (Verdict::Failed, "c is unhealthy: exit code 3, output: noanswer")
        );
        assert_eq!(judge_health(&[json!({ "State": { "Health": { "Status": "healthy" } } })]).verdict, Verdict::Ok);
        assert_eq!(judge_health(&[json!({ "State": {} })]).verdict, Verdict::Skipped);
        assert_eq!(judge_health(&[json!({ "State": { "Health": { "Status": "unhealthy" } } })]).verdict, Verdict::Failed);
    }

    #[test]
    fn engines_and_supervisors() {
        assert_eq!(judge_engine(Ok(&json!({ "Version": "20" })), 2000).verdict, Verdict::Ok);
        assert_eq!(judge_engine(Ok(&json!({})), 2001).verdict, Verdict::Warning);
        assert_eq!(judge_engine(Err(&"gone".to_owned()), 1).verdict, Verdict::Failed);
        let one = |name: &str, runs: bool| [json!({ "Name": name, "State": { "Running": runs } })];
        assert_eq!(judge_supervisor(&one("/balena_supervisor", true)).verdict, Verdict::Warning);
        assert_eq!(judge_supervisor(&one("/balena_supervisor", false)).verdict, Verdict::Ok);
        assert_eq!(judge_supervisor(&one("/x", true)).verdict, Verdict::Ok);
    }
}
