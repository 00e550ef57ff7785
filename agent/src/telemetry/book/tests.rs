//! Who is kept, and where the rows stand in time.

use super::*;

const NOW_MS: i64 = 1_788_000_000_000;
const ROW: Row = [1, 5, 5, 1000, 1000, 7, 7, 0, 0, 0, 1];

fn book() -> Book {
    Book::new(Duration::from_secs(60), Duration::from_secs(30 * 86_400))
}

fn latest() -> Latest {
    Latest { row: Some(ROW), ..Latest::default() }
}

fn now(wall_ms: Option<i64>, boot_ms: i64) -> Now {
    Now { wall_ms, machine_ms: wall_ms.unwrap_or(boot_ms), boot_ms }
}

#[test]
fn there_is_an_end_to_how_many_are_kept() {
    let mut book = book();
    for round in 0..3 {
        book.begin_look(NOW_MS);
        for service in 0..MOST_SERVICES {
            book.add(NOW_MS + round * 60_000, round as AppId, &format!("s{service}"), latest());
        }
        assert_eq!(book.services().count(), MOST_SERVICES);
        assert!(book.services().all(|(app, ..)| app == round as AppId), "the absent ones went");
    }
    book.add(NOW_MS, 99, "one too many", latest());
    assert!(book.services().all(|(app, ..)| app != 99), "all others are there");
}

#[test]
fn memory_for_three_services_and_a_month_stays_small() {
    let mut book = book();
    for minute in 0..31 * 1440 {
        let at_ms = NOW_MS + minute * 60_000;
        book.add_machine(at_ms, MachineLatest { row: Some(ROW), ..MachineLatest::default() });
        ["a", "b", "c"].iter().for_each(|service| book.add(at_ms, 1, service, latest()));
    }
    let draft = book.draft();
    let bytes: usize =
        draft.series.iter().flat_map(|series| &series.rings).flat_map(|ring| &ring.chunks).map(|chunk| chunk.1.len()).sum();
    assert_eq!((draft.series.len(), bytes), (4, 4 * (1440 + 672 + 360) * 22));
    assert!(bytes <= 220 * 1024, "{bytes}");
}

#[test]
fn without_a_clock_time_goes_on_from_where_it_was() {
    let mut book = book();
    let first = book.set_time(now(None, 5_000));
    assert_eq!(book.set_time(now(None, 65_000)) - first, 60_000);
    book.add(first, 1, "a", latest());
    assert_eq!(book.set_time(now(Some(NOW_MS), 125_000)), NOW_MS - 30_000, "once it is set, it counts");
    assert_eq!(book.set_time(now(None, 185_000)), NOW_MS + 30_000);
    book.add(NOW_MS, 1, "a", latest());
    let stored = book.draft().series;
    let mut restarted = self::book();
    stored.into_iter().for_each(|one| restarted.restore(one));
    let later = restarted.set_time(now(None, 1_000));
    assert!(later > NOW_MS && later < NOW_MS + 300_000, "after a restart it goes on behind the newest row");
}

#[test]
fn averages_and_points_come_from_what_goes_back_far_enough() {
    let mut book = book();
    for minute in 0..3 * 1440 {
        book.add(NOW_MS + minute * 60_000, 1, "a", latest());
    }
    let end = NOW_MS + 3 * 86_400_000;
    let series = &book.services().next().unwrap().2.series;
    for (hours, step_s, points, step) in
        [(1, 60, 61, 60_000), (24, 60, 1441, 60_000), (24, 1, 1441, 60_000), (48, 60, 193, 900_000)]
    {
        let found = series.points(end - hours * 3_600_000, end, step_s * 1000);
        assert_eq!((found.rows.len(), found.step_ms), (points, step), "{hours} h");
        let looks: u64 = found.rows.iter().flatten().map(|row| row[0]).sum();
        assert!(looks.abs_diff(hours as u64 * 60) <= 15, "{hours} h: {looks}");
        let average = series.average(end - hours * 3_600_000, end).unwrap();
        assert!(average[0].abs_diff(hours as u64 * 60) <= 15 && average[1] == 5, "{average:?}");
    }
    assert!(series.points(0, i64::MAX / 2, 1).rows.len() <= super::super::MOST_POINTS);
    assert_eq!(series.average(end + 86_400_000, end + 2 * 86_400_000), None);
}
