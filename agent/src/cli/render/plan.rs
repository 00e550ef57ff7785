//! The text of `holdfast plan`.

use super::page::{Page, Paint, Tone};
use super::status::{refused_apps, section, wait_text};
use crate::api::{PlanAnswer, PlannedStep};

/// The steps with their reasons, and what is waited for.
pub(in crate::cli) fn plan(answer: &PlanAnswer, paint: Paint) -> String {
    let mut page = Page::new(paint);
    let which = if answer.target == "document" { "this target" } else { "the stored target" };
    let (text, tone) = match (answer.settled, answer.reaches_target, answer.steps.len()) {
        (true, ..) => (format!("Nothing to do: the device is at {which}."), Tone::Good),
        (_, _, 0) => (format!("No step can be taken towards {which}."), Tone::Held),
        (_, true, 1) => (format!("1 step to {which}. Nothing was changed."), Tone::Held),
        (_, true, steps) => (format!("{steps} steps to {which}. Nothing was changed."), Tone::Held),
        (_, false, steps) => {
            (format!("{steps} step(s) towards {which}, which do not lead to it. Nothing was changed."), Tone::Bad)
        }
    };
    page.sentence(&text, tone);
    steps(&mut page, &answer.steps);
    section(&mut page, "Waiting now", &answer.waiting, wait_text);
    if answer.in_the_way != answer.waiting {
        section(&mut page, "In the way after that", &answer.in_the_way, wait_text);
    }
    refused_apps(&mut page, &answer.refused);
    page.finish()
}

/// Numbered by round: what has one number runs at once.
fn steps(page: &mut Page, steps: &[PlannedStep]) {
    let mut round = 0;
    for step in steps {
        if step.round != round {
            if round == 0 {
                page.heading("Steps (one number: at once)");
            }
            round = step.round;
            step.after.iter().for_each(|wait| page.item(&format!("-- after: {wait}")));
        }
        let app = step.app.as_deref().map(|app| format!("{app}: ")).unwrap_or_default();
        page.item(&format!("{}. {app}{} ({})", step.round, step.text, step.why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::WaitRow;

    fn step(round: usize, text: &str, after: &[&str]) -> PlannedStep {
        PlannedStep {
            text: text.into(),
            why: "the target asks for it and it is not there".into(),
            app: Some("kitchen".into()),
            round,
            after: after.iter().map(|s| (*s).to_owned()).collect(),
            ..PlannedStep::default()
        }
    }

    fn wait(text: &str) -> WaitRow {
        WaitRow { app: "kitchen".into(), text: text.into(), ..WaitRow::default() }
    }

    #[test]
    fn nothing_to_do() {
        let answer = PlanAnswer { target: "stored".into(), settled: true, reaches_target: true, ..PlanAnswer::default() };
        assert_eq!(plan(&answer, Paint::Plain), "Nothing to do: the device is at the stored target.\n");
    }

    #[test]
    fn steps_with_reasons_and_waits() {
        let answer = PlanAnswer {
            target: "document".into(),
            reaches_target: true,
            steps: vec![
                step(1, "download r/main@sha256:0123", &[]),
                step(1, "make network n", &[]),
                step(2, "make and start the container of main", &["waiting for the update lock of main"]),
            ],
            waiting: vec![wait("waiting for main to be downloaded")],
            ..PlanAnswer::default()
        };
        let expected = "\
3 steps to this target. Nothing was changed.

Steps (one number: at once)
  1. kitchen: download r/main@sha256:0123 (the target asks for it and it is not
    there)
  1. kitchen: make network n (the target asks for it and it is not there)
  -- after: waiting for the update lock of main
  2. kitchen: make and start the container of main (the target asks for it and
    it is not there)

Waiting now
  kitchen: waiting for main to be downloaded
";
        assert_eq!(plan(&answer, Paint::Plain), expected);
    }

    #[test]
    fn a_plan_that_leads_nowhere_says_what_is_in_the_way() {
        let stuck = PlanAnswer {
            target: "stored".into(),
            steps: vec![step(1, "download a", &[])],
            in_the_way: vec![wait("volume data is defined differently now")],
            ..PlanAnswer::default()
        };
        let expected = "\
1 step(s) towards the stored target, which do not lead to it. Nothing was
changed.

Steps (one number: at once)
  1. kitchen: download a (the target asks for it and it is not there)

In the way after that
  kitchen: volume data is defined differently now
";
        assert_eq!(plan(&stuck, Paint::Plain), expected);
        let waits = PlanAnswer { steps: Vec::new(), waiting: stuck.in_the_way.clone(), ..stuck };
        let shown = plan(&waits, Paint::Plain);
        let expected = "No step can be taken towards the stored target.\n\nWaiting now\n  \
                        kitchen: volume data is defined differently now\n";
        assert_eq!(shown, expected);
    }
}
