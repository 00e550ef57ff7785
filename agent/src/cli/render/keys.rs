//! The text of `holdfast key list`.

use super::page::{Page, Paint};
use super::table::table;
use super::words::duration;
use crate::api::{KeyList, KeyRow};

/// Whose keys there are, and below them the keys themselves where they came along.
pub(in crate::cli) fn keys(list: &KeyList, paint: Paint) -> String {
    let mut page = Page::new(paint);
    let rows: Vec<[String; 5]> = list.keys.iter().map(row).collect();
    page.block(&table(["APP", "SERVICE", "REACHES", "MADE", "TAKEN"], [18, 18, 16, 10, 9], &rows));
    for key in list.keys.iter().filter(|key| key.why.is_some() || key.key.is_some()) {
        let whose = key.service.as_deref().unwrap_or("global");
        key.why.iter().for_each(|why| page.item(&format!("{whose} is not taken: {why}")));
        key.key.iter().for_each(|text| page.item(&format!("{whose}: {text}")));
    }
    page.finish()
}

fn row(key: &KeyRow) -> [String; 5] {
    let app = key.app.clone().or_else(|| Some(format!("app {}", key.app_id?)));
    let reaches = match &key.service {
        None => "everything",
        Some(_) if key.controls_host => "its app, the host",
        Some(_) => "its app",
    };
    [
        app.unwrap_or_default(),
        key.service.clone().unwrap_or_else(|| "(global)".into()),
        reaches.into(),
        key.made.as_ref().map_or_else(|| "not known".into(), |made| format!("{} ago", duration(made.ago_ms))),
        if key.taken { "yes" } else { "no" }.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Ago;

    #[test]
    fn keys_and_whose_they_are() {
        let made = Some(Ago { ago_ms: 7_200_000, utc: None });
        let global = KeyRow { taken: true, controls_host: true, made, ..KeyRow::default() };
        let main = KeyRow {
            app_id: Some(5),
            app: Some("kitchen".into()),
            service: Some("main".into()),
            why: Some("the service has no container".into()),
            ..KeyRow::default()
        };
        let shown = KeyRow { key: Some("k".into()), ..global.clone() };
        let expected = "  APP      SERVICE   REACHES     MADE       TAKEN\n           (global)  everything  2 h ago    yes\n  \
                        kitchen  main      its app     not known  no\n  main is not taken: the service has no container\n";
        assert_eq!(keys(&KeyList { keys: vec![global, main] }, Paint::Plain), expected);
        assert!(keys(&KeyList { keys: vec![shown] }, Paint::Plain).ends_with("  global: k\n"));
    }
}
