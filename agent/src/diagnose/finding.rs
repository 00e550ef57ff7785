//! What a check found.

use std::time::Duration;

use serde_json::{Value, json};

use crate::calendar::rfc3339;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It could not be looked at here; the sentence says why.
    Skipped,
    /// As it should be.
    Ok,
    /// It works, and will not for ever.
    Warning,
    /// It does not work.
    Failed,
}

impl Verdict {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Skipped => "skipped",
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "failed",
        }
    }

    /// The verdict of a word.
    pub(super) fn of(word: &str) -> Option<Verdict> {
        [Verdict::Skipped, Verdict::Ok, Verdict::Warning, Verdict::Failed].into_iter().find(|verdict| verdict.word() == word)
    }
}

/// A verdict, and what a person needs to know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What was found, in a sentence; the reason, when it was skipped.
    pub sentence: String,
    /// What to do about it; empty where there is nothing to do.
    pub remedy: String,
}

impl Judgement {
    /// As it should be.
    pub fn ok(sentence: impl Into<String>) -> Judgement {
        Judgement { verdict: Verdict::Ok, sentence: sentence.into(), remedy: String::new() }
    }

    /// It works, and will not for ever.
    pub fn warning(sentence: impl Into<String>, remedy: impl Into<String>) -> Judgement {
        Judgement { verdict: Verdict::Warning, sentence: sentence.into(), remedy: remedy.into() }
    }

    /// It does not work.
    pub fn failed(sentence: impl Into<String>, remedy: impl Into<String>) -> Judgement {
        Judgement { verdict: Verdict::Failed, sentence: sentence.into(), remedy: remedy.into() }
    }

    /// It could not be looked at.
    pub fn skipped(reason: impl Into<String>) -> Judgement {
        Judgement { verdict: Verdict::Skipped, sentence: reason.into(), remedy: String::new() }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub name: String,
    /// Its judgement.
    pub judgement: Judgement,
    /// How long it took.
    pub took: Duration,
}

/// What all checks found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// When, ms since 1970, if the clock is trusted.
    pub wall_ms: Option<i64>,
}

impl Report {
    /// The worst of all verdicts.
    pub fn verdict(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.judgement.verdict).max().unwrap_or(Verdict::Skipped)
    }

    /// How many findings have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.judgement.verdict == verdict).count()
    }

    /// What the agent of another device says that it found; `None` when that is no report. A verdict that is not known here
    /// is a warning: somebody has to look.
    pub fn from_json(answer: &Value) -> Option<Report> {
        let finding = |row: &Value| {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            let verdict = Verdict::of(&text("verdict")).unwrap_or(Verdict::Warning);
            let judgement = Judgement { verdict, sentence: text("sentence"), remedy: text("remedy") };
            let took = Duration::from_millis(row["took_ms"].as_u64().unwrap_or_default());
            Finding { name: text("name"), judgement, took }
        };
        Some(Report { findings: answer["checks"].as_array()?.iter().map(finding).collect(), wall_ms: None })
    }

    /// All of it as JSON.
    pub fn to_json(&self) -> Value {
        let row = |finding: &Finding| {
            json!({
                "name": finding.name,
                "verdict": finding.judgement.verdict.word(),
                "sentence": finding.judgement.sentence,
                "remedy": finding.judgement.remedy,
                "took_ms": u64::try_from(finding.took.as_millis()).unwrap_or(u64::MAX),
            })
        };
        json!({
            "verdict": self.verdict().word(),
            "failed": self.count(Verdict::Failed),
            "warnings": self.count(Verdict::Warning),
            "agent_version": crate::version::AGENT_VERSION,
            "utc": self.wall_ms.map(rfc3339),
            "checks": self.findings.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_agent_writes_another_reads() {
        let finding = |name: &str, judgement| Finding { name: name.into(), judgement, took: Duration::from_millis(7) };
        let findings = vec![finding("clock", Judgement::ok("right")), finding("engine", Judgement::failed("away", "start it"))];
        let report = Report { findings, wall_ms: None };
        assert_eq!(Report::from_json(&report.to_json()), Some(report));
        let odd = Report::from_json(&json!({ "checks": [{ "verdict": "odd" }, 7] })).unwrap();
        assert_eq!((odd.findings.len(), odd.verdict()), (2, Verdict::Warning));
        assert_eq!(Report::from_json(&json!({ "message": "no" })), None);
    }
}
