//! The text of `holdfast volume list`.

use super::page::{Page, Paint, Tone};
use super::table::table;
use super::words::{duration, size};
use crate::api::{VolumeList, VolumeRow};

/// Every volume, and below them what becomes of those that nobody needs.
pub(in crate::cli) fn volumes(list: &VolumeList, paint: Paint) -> String {
    let mut page = Page::new(paint);
    if list.volumes.is_empty() {
        page.sentence("No app has a volume on this device.", Tone::Good);
        return page.finish();
    }
    let rows: Vec<[String; 5]> = list.volumes.iter().map(row).collect();
    page.block(&table(["VOLUME", "APP", "SIZE", "SINCE", "USED BY"], [26, 16, 9, 9, 30], &rows));
    let unneeded: Vec<String> = list.volumes.iter().filter_map(fate).collect();
    if !unneeded.is_empty() {
        page.heading("Not needed");
        unneeded.iter().for_each(|line| page.item(line));
    }
    if let Some(why) = &list.sizes_missing {
        page.heading("Sizes are missing");
        page.item(why);
    }
    page.finish()
}

fn row(volume: &VolumeRow) -> [String; 5] {
    let users = volume.used_by.iter().map(|user| {
        let state = if user.running { "" } else { " (stopped)" };
        format!("{}{state}", user.service)
    });
    let users = users.collect::<Vec<_>>().join(", ");
    [
        volume.name.clone(),
        volume.app.clone(),
        volume.size_bytes.map_or_else(|| "?".into(), size),
        volume.since.as_ref().map(|since| duration(since.ago_ms)).unwrap_or_default(),
        if users.is_empty() { "nobody".into() } else { users },
    ]
}

/// What becomes of a volume that nobody needs.
fn fate(volume: &VolumeRow) -> Option<String> {
    let name = &volume.name;
    match (&volume.removed, volume.orphan, volume.used_by.is_empty()) {
        (Some(end), ..) if end.in_ms == 0 => {
            Some(format!("{name}: its app left the target and the grace period is over; it is removed now"))
        }
        (Some(end), ..) => Some(format!("{name}: its app left the target; it is removed in {}", duration(end.in_ms))),
        (None, true, _) => Some(format!("{name}: its app is not in the target; it is kept until somebody removes it")),
        (None, false, true) => Some(format!("{name}: no service of its app mounts it; it is kept")),
        (None, false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Ago, Ahead, VolumeUse};

    #[test]
    fn a_list() {
        let used = VolumeRow {
            name: "5_data".into(),
            app: "kitchen".into(),
            size_bytes: Some(2048),
            since: Some(Ago { ago_ms: 3_600_000, utc: None }),
            used_by: vec![VolumeUse { service: "db".into(), running: true }, VolumeUse { service: "job".into(), running: false }],
            ..VolumeRow::default()
        };
        let left = VolumeRow {
            name: "7_old".into(),
            app: "app 7".into(),
            orphan: true,
            removed: Some(Ahead { in_ms: 86_400_000, utc: None }),
            ..VolumeRow::default()
        };
        let text = volumes(&VolumeList { volumes: vec![used, left], sizes_missing: None }, Paint::Plain);
        let expected = "  VOLUME  APP      SIZE     SINCE  USED BY\n  \
                        5_data  kitchen  2.0 KiB  1 h    db, job (stopped)\n  \
                        7_old   app 7    ?               nobody\n\n\
                        Not needed\n  7_old: its app left the target; it is removed in 1 d\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn every_unneeded_volume_says_what_becomes_of_it() {
        let row = |orphan, used: bool| VolumeRow {
            orphan,
            used_by: if used { vec![VolumeUse::default()] } else { Vec::new() },
            ..VolumeRow::default()
        };
        assert!(fate(&row(true, false)).is_some_and(|text| text.contains("kept until somebody")));
        assert!(fate(&row(false, false)).is_some_and(|text| text.contains("no service")));
        assert_eq!(fate(&row(false, true)), None);
    }
}
