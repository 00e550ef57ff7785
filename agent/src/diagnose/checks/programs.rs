//! What the host's own programs know: `systemctl` of the engine's service, `ping` of the way out. Skipped where there are none,
//! as in a container.

use std::process::Command;
use std::time::Duration;

use super::network::cloud_host;
use crate::diagnose::finding::Judgement;
use crate::diagnose::process::run;
use crate::diagnose::scene::Scene;

/// How long one program may take, less than a check has.
const LIMIT: Duration = Duration::from_secs(8);
/// What it may write, bytes.
const MOST_BYTES: usize = 16 * 1024;
/// Engines' services.
const ENGINES: [&str; 4] = ["balena.service", "balena-engine.service", "docker.service", "podman.service"];

/// What a program of the host writes; nothing when it is not there or not done in time.
fn output(scene: &Scene, program: &str, arguments: &[&str]) -> Option<String> {
    if !scene.is_host() {
        return None;
    }
    let ran = run(Command::new(program).args(arguments), LIMIT, MOST_BYTES).ok()?;
    ran.status?;
    Some(String::from_utf8_lossy(&ran.output).into_owned())
}

/// Whether systemd had to start the engine again (behaviour §18, `restarts`).
pub(super) fn engine_restarts(scene: &Scene) -> Judgement {
    let mut arguments = vec!["show", "--property=Id,NRestarts,ActiveEnterTimestamp"];
    arguments.extend(ENGINES);
    judge_restarts(&output(scene, "systemctl", &arguments).unwrap_or_default())
}

/// Blocks of `name=value`, one for each service, also for those that are not there; one that never ran has no time.
fn judge_restarts(text: &str) -> Judgement {
    let mut known = false;
    for block in text.split("\n\n") {
        let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let (Some(id), Some(count), Some(since)) = (value("Id"), value("NRestarts"), value("ActiveEnterTimestamp")) else {
            continue;
        };
        if since.is_empty() {
            continue;
        }
        known = true;
        if count != "0" {
            return Judgement::warning(
                format!(
                    "{id} ended unasked and was started again {count} times since the machine started, the last time {since}"
                ),
                format!("journalctl -u {id} says why it ended; see the checks memory and kernel-log"),
            );
        }
    }
    match known {
        true => Judgement::ok("the engine's service did not have to be started again"),
        false => Judgement::skipped("there is no systemd here that knows the engine's service"),
    }
}

/// Whether packets to the cloud's host get lost (behaviour §18, `ping`).
pub(super) fn ping(scene: &Scene) -> Judgement {
    let Some((_, host, _)) = cloud_host(scene) else {
        return Judgement::skipped("no cloud is named that could be asked");
    };
    judge_ping(&host, &output(scene, "ping", &["-c", "3", "-w", "6", "-q", "--", &host]).unwrap_or_default())
}

/// `3 packets transmitted, 3 received, 0% packet loss`, in the words of whichever `ping` it is.
fn judge_ping(host: &str, text: &str) -> Judgement {
    let line = text.lines().find(|line| line.contains("% packet loss"));
    let percent = line.and_then(|line| line.split('%').next()?.rsplit([' ', ',']).next()?.parse::<f64>().ok());
    let lost = |what: &str| format!("{what} to {host} got lost");
    match percent {
        None => Judgement::skipped("there is no ping here that could be used"),
        Some(percent) if percent <= 0.0 => Judgement::ok(format!("packets reach {host} and come back")),
        Some(percent) if percent < 100.0 => Judgement::warning(
            lost(&format!("{percent:.0} % of the packets")),
            "see the check wifi, the cable, and what else uses the line",
        ),
        Some(_) => Judgement::warning(
            lost("all packets"),
            "when the check cloud is well, somebody on the way only leaves ping unanswered; else see the checks network and dns",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;

    #[test]
    fn restarts_of_the_service_that_runs() {
        let block = |id: &str, count: u32, since: &str| format!("NRestarts={count}\nActiveEnterTimestamp={since}\nId={id}\n");
        let both = |count| {
            format!("{}\n{}", block("balena.service", 0, ""), block("docker.service", count, "Sat 2026-11-21 21:00:00 UTC"))
        };
        assert_eq!(judge_restarts(&both(0)).verdict, Verdict::Ok);
        let judged = judge_restarts(&both(2));
        assert_eq!(judged.verdict, Verdict::Warning);
        assert!(judged.sentence.starts_with("docker.service ended unasked and was started again 2 times"), "{}", judged.sentence);
        assert_eq!(judge_restarts(&block("balena.service", 0, "")).verdict, Verdict::Skipped);
        assert_eq!(judge_restarts("").verdict, Verdict::Skipped);
    }

    #[test]
    fn losses_in_the_words_of_each_ping() {
        let verdict = |line: &str| judge_ping("c", &format!("PING c\n\n--- c ping statistics ---\n{line}\n")).verdict;
        assert_eq!(verdict("3 packets transmitted, 3 received, 0% packet loss, time 2003ms"), Verdict::Ok);
        assert_eq!(verdict("3 packets transmitted, 2 packets received, 33% packet loss"), Verdict::Warning);
        assert_eq!(verdict("3 packets transmitted, 2 received, 33.3333% packet loss, time 2041ms"), Verdict::Warning);
        assert_eq!(verdict("3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 5ms"), Verdict::Warning);
        assert_eq!(judge_ping("c", "ping: permission denied\n").verdict, Verdict::Skipped);
    }
}
