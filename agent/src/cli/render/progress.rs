//! The text of `holdfast update --wait`: only what is being done and waited for.

use super::page::{Page, Paint};
use super::status::{doing_text, wait_text, whom};
use super::words::plain;
use crate::api::Status;

/// What stands on a terminal while it goes on.
pub(in crate::cli) fn progress(status: &Status, paint: Paint) -> String {
    let mut page = Page::new(paint);
    status.doing.iter().for_each(|row| page.item(&doing_text(row)));
    status.waiting.iter().for_each(|row| page.item(&format!("waiting: {}", wait_text(row))));
    trouble(status).iter().for_each(|text| page.item(text));
    page.finish()
}

/// The same as lines that change only when something else is done or waited for.
pub(in crate::cli) fn steps(status: &Status) -> Vec<String> {
    let doing = status.doing.iter().map(|row| format!("{}{}", whom(row.app.as_deref(), row.service.as_deref()), row.text));
    let waiting =
        status.waiting.iter().map(|row| format!("waiting: {}{}", whom(Some(&row.app), row.service.as_deref()), row.text));
    doing.chain(waiting).chain(trouble(status)).map(|line| plain(&line)).collect()
}

fn trouble(status: &Status) -> Vec<String> {
    let poll = status.cloud.poll_error.iter().map(|error| format!("the cloud could not be asked: {error}"));
    poll.chain(status.faults.iter().map(|fault| format!("{}: {}", fault.subject, fault.message))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Ago, DoingRow};

    #[test]
    fn progress_moves_on_a_terminal_only() {
        let status = |percent, ago_ms| Status {
            doing: vec![DoingRow {
                text: "downloading the image".into(),
                app: Some("till".into()),
                service: Some("main".into()),
                since: Ago { ago_ms, utc: None },
                progress: Some(percent),
                ..DoingRow::default()
            }],
            ..Status::default()
        };
        let paint = Paint::Terminal { columns: 80, colours: false };
        assert_eq!(
            progress(&status(45, 2000), paint),
            "  [#########-----------] 45 % till/main: downloading the image (for 2 s)\n"
        );
        assert_eq!(steps(&status(45, 2000)), ["till/main: downloading the image"]);
        assert_eq!(steps(&status(45, 2000)), steps(&status(90, 9000)));
    }
}
