//! The text of `holdfast lock list`.

use super::page::{Page, Paint, Tone};
use super::table::table;
use super::words::duration;
use crate::api::{HeldLock, LockList};

/// Every update lock, and below them what waits.
pub(in crate::cli) fn locks(list: &LockList, paint: Paint) -> String {
    let mut page = Page::new(paint);
    if list.locks.is_empty() {
        page.sentence("No update lock is held: nothing stands in the way of an update.", Tone::Good);
        return page.finish();
    }
    let rows: Vec<[String; 5]> = list.locks.iter().map(row).collect();
    page.block(&table(["APP", "SERVICE", "HELD BY", "SINCE", "FILE"], [18, 18, 12, 12, 18], &rows));
    let waiting = || list.locks.iter().filter(|lock| !lock.waiting.is_empty());
    for (holder, heading) in [("application", "Held up"), ("agent", "Being done under the agent's locks")] {
        if waiting().any(|lock| lock.holder == holder) {
            page.heading(heading);
            for lock in waiting().filter(|lock| lock.holder == holder) {
                lock.waiting.iter().for_each(|what| page.item(&format!("{}: {what}", lock.service)));
            }
        }
    }
    page.finish()
}

fn row(lock: &HeldLock) -> [String; 5] {
    let holder = if lock.holder == "agent" && !lock.complete { "agent (half)" } else { &lock.holder };
    [
        lock.app.clone(),
        lock.service.clone(),
        holder.to_owned(),
        lock.since.as_ref().map(|since| duration(since.ago_ms)).unwrap_or_default(),
        lock.file.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Ago;

    #[test]
    fn no_locks() {
        let text = locks(&LockList::default(), Paint::Plain);
        assert_eq!(text, "No update lock is held: nothing stands in the way of an update.\n");
    }

    #[test]
    fn a_held_lock_with_what_waits() {
        let held = HeldLock {
            app: "kitchen".into(),
            service: "main".into(),
            holder: "application".into(),
            file: Some("updates.lock".into()),
            since: Some(Ago { ago_ms: 300_000, utc: None }),
            complete: true,
            waiting: vec!["kitchen on its way to release 0123456789abcdef".into()],
            ..HeldLock::default()
        };
        let ours = HeldLock { app: "hall".into(), service: "door".into(), holder: "agent".into(), ..HeldLock::default() };
        let expected = "  APP      SERVICE  HELD BY       SINCE  FILE\n  \
                        kitchen  main     application   5 min  updates.lock\n  \
                        hall     door     agent (half)\n\n\
                        Held up\n  main: kitchen on its way to release 0123456789abcdef\n";
        assert_eq!(locks(&LockList { locks: vec![held, ours] }, Paint::Plain), expected);
    }
}
