//! The text of `holdfast plan`.

use super::page::{Page, Paint, Tone};
use super::status::{refused_apps, wait_text};
use crate::api::{PlanAnswer, PlannedStep};

/// The steps with their reasons, and what is waited for.
pub(in crate::cli) fn plan(answer: &PlanAnswer, paint: Paint) -> String {
    let mut page = Page::new(paint);
    let which = if answer.target == "document" { "this target" } else { "the stored target" };
    let (text, tone) = match (answer.settled, answer.steps.len()) {
        (true, _) => (format!("Nothing to do: the device is at {which}."), Tone::Good),
        (false, 0) => (format!("No step can be taken now towards {which}."), Tone::Held),
        (false, 1) => (format!("1 step to {which}. Nothing was changed."), Tone::Held),
        (false, steps) => (format!("{steps} steps to {which}. Nothing was changed."), Tone::Held),
    };
    page.sentence(&text, tone);
    if !answer.steps.is_empty() {
        page.heading("Steps");
        answer.steps.iter().enumerate().for_each(|(number, step)| page.item(&step_text(number + 1, step)));
        if !answer.complete {
            page.item("... and what follows from these");
        }
    }
    if !answer.waiting.is_empty() {
        page.heading("Waiting");
        answer.waiting.iter().for_each(|wait| page.item(&wait_text(wait)));
    }
    refused_apps(&mut page, &answer.refused);
    page.finish()
}

fn step_text(number: usize, step: &PlannedStep) -> String {
    let app = step.app.as_deref().map(|app| format!("{app}: ")).unwrap_or_default();
    let after = if step.after.is_empty() { String::new() } else { format!("; after: {}", step.after.join(", ")) };
    format!("{number}. {app}{} ({}){after}", step.text, step.why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::WaitRow;

    #[test]
    fn nothing_to_do() {
        let answer = PlanAnswer { target: "stored".into(), settled: true, complete: true, ..PlanAnswer::default() };
        assert_eq!(plan(&answer, Paint::Plain), "Nothing to do: the device is at the stored target.\n");
    }

    #[test]
    fn steps_with_reasons_and_waits() {
        let step = |text: &str, after: &[&str]| PlannedStep {
            text: text.into(),
            why: "the target asks for it and it is not there".into(),
            app: Some("kitchen".into()),
            after: after.iter().map(|s| (*s).to_owned()).collect(),
            ..PlannedStep::default()
        };
        let answer = PlanAnswer {
            target: "document".into(),
            complete: false,
            steps: vec![step("download r/main@sha256:0123", &[]), step("make and start the container of main", &["step 1"])],
            waiting: vec![WaitRow {
                app: "kitchen".into(),
                text: "waiting for main to be downloaded".into(),
                ..WaitRow::default()
            }],
            ..PlanAnswer::default()
        };
        let expected = "2 steps to this target. Nothing was changed.\n\
            \n\
            Steps\n  \
              1. kitchen: download r/main@sha256:0123 (the target asks for it and it is not\n    \
                there)\n  \
              2. kitchen: make and start the container of main (the target asks for it and\n    \
                it is not there); after: step 1\n  \
              ... and what follows from these\n\
            \n\
            Waiting\n  \
              kitchen: waiting for main to be downloaded\n";
        assert_eq!(plan(&answer, Paint::Plain), expected);
    }
}
