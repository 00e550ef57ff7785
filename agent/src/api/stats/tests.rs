//! What is asked for, and who is told what.

use super::*;
use crate::telemetry::Statistics;

const NOW_MS: i64 = 1_788_000_000_000;

fn parse(query: &str) -> Result<Wanted, String> {
    Wanted::parse(&Fields::urlencoded(query.as_bytes()), NOW_MS).map_err(|refusal| refusal.message)
}

#[test]
fn a_day_is_usual() {
    let wanted = parse("").unwrap();
    assert_eq!((wanted.from_ms, wanted.to_ms, wanted.step_ms), (NOW_MS - 86_400_000, NOW_MS, 360_000));
    assert!(wanted.latest && wanted.average && wanted.top && !wanted.range);
    let wanted = parse("what=range&hours=0.5&step=60&service=a%20b&app=7").unwrap();
    assert_eq!((wanted.from_ms, wanted.step_ms), (NOW_MS - 1_800_000, 60_000));
    assert_eq!((wanted.service.as_deref(), wanted.app), (Some("a b"), Some(7)));
    assert!(wanted.range && !wanted.latest);
    let wanted = parse("from=1000&to=2000").unwrap();
    assert_eq!((wanted.from_ms, wanted.to_ms), (1000, 2000));
}

#[test]
fn nonsense_is_refused_and_huge_numbers_are_survived() {
    for query in
        ["hours=x", "hours=-1", "hours=NaN", "hours=0", "from=5&to=5", "from=9&to=5", "step=-1", "app=x", "what=all", "what="]
    {
        assert!(parse(query).is_err(), "{query}");
    }
    for query in ["hours=1e300", "to=1e300", "from=0&to=1e300&step=1e300", "step=0", "step=1e-9"] {
        let wanted = parse(query).unwrap();
        let statistics = Statistics::new(std::time::Duration::from_secs(60), std::time::Duration::from_secs(86_400));
        let points = statistics.read(|book| book.machine.points(wanted.from_ms, wanted.to_ms, wanted.step_ms));
        assert!(points.rows.len() <= crate::telemetry::MOST_POINTS, "{query}");
    }
}

#[test]
fn a_services_key_reaches_its_own_app() {
    let wanted = parse("").unwrap();
    let caller = Caller::Service { app: 5, service: "main".into(), controls_host: true };
    assert!(wanted.is_about(&caller, 5, "other") && !wanted.is_about(&caller, 6, "main"));
    assert!(wanted.is_about(&Caller::Operator, 6, "main") && !wanted.is_about(&Caller::Nobody, 6, "main"));
    let one = parse("service=main&app=5").unwrap();
    assert!(
        one.is_about(&caller, 5, "main") && !one.is_about(&caller, 5, "other") && !one.is_about(&Caller::Operator, 6, "main")
    );
}
