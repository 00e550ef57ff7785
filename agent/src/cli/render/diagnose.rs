//! The text of `holdfast diagnose`.

use super::page::{Page, Paint, Tone};
use crate::diagnose::{Report, Verdict};

/// Every finding, the worst last, where a person looks first.
pub(in crate::cli) fn diagnose(report: &Report, paint: Paint) -> String {
    let mut page = Page::new(paint);
    for (verdict, title, tone) in [
        (Verdict::Skipped, "skipped", None),
        (Verdict::Ok, "ok", Some(Tone::Good)),
        (Verdict::Warning, "warning", Some(Tone::Held)),
        (Verdict::Failed, "failed", Some(Tone::Bad)),
    ] {
        let of = report.findings.iter().filter(|finding| finding.judgement.verdict == verdict);
        for (at, finding) in of.enumerate() {
            if at == 0 {
                page.gap();
                page.sentence(title, tone.unwrap_or(Tone::Heading));
            }
            page.item(&format!("{}: {}", finding.name, finding.judgement.sentence));
            if !finding.judgement.remedy.is_empty() {
                page.item(&format!("  -> {}", finding.judgement.remedy));
            }
        }
    }
    page.gap();
    let count = |verdict| report.count(verdict);
    let summary = format!(
        "{} failed, {} warnings, {} ok, {} skipped",
        count(Verdict::Failed),
        count(Verdict::Warning),
        count(Verdict::Ok),
        count(Verdict::Skipped)
    );
    page.sentence(&summary, if report.verdict() == Verdict::Failed { Tone::Bad } else { Tone::Good });
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Finding, Judgement};

    #[test]
    fn the_worst_stands_last_with_its_remedy() {
        let finding = |name: &str, judgement| Finding { name: name.into(), judgement, took: std::time::Duration::ZERO };
        let findings = vec![
            finding("database", Judgement::failed("it is damaged", "restore it")),
            finding("clock", Judgement::ok("it is right")),
            finding("wifi", Judgement::skipped("there is none")),
        ];
        let text = diagnose(&Report { findings, wall_ms: None }, Paint::Plain);
        let expected = "skipped\n  wifi: there is none\n\nok\n  clock: it is right\n\nfailed\n  database: it is damaged\n  -> restore it\n\n\
                        1 failed, 0 warnings, 1 ok, 1 skipped\n";
        assert_eq!(text, expected);
    }
}
