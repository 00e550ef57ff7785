use super::*;

fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn config_txt() -> &'static BackEnd {
    BackEnd::named("config.txt").unwrap()
}

#[test]
fn prefixes_and_lists() {
    let config = config(&[
        ("RESIN_HOST_CONFIG_gpu_mem", "16"),
        ("BALENA_HOST_CONFIG_gpu_mem", "32"),
        ("HOST_CONFIG_dtoverlay", r#""vc4-kms-v3d","i2c-rtc, ds1307""#),
        ("BALENA_SUPERVISOR_PERSISTENT_LOGGING", "on"),
    ]);
    let asked = wanted(&config, config_txt(), &Values::new(), "raspberrypi3");
    assert_eq!(asked.values["gpu_mem"], ["32"]);
    assert_eq!(asked.values["dtoverlay"], ["vc4-kms-v3d", "i2c-rtc,ds1307"]);
    assert_eq!((asked.values.len(), asked.refused.len()), (2, 0));
    let json = wanted(&config, BackEnd::named("config.json").unwrap(), &Values::new(), "");
    assert_eq!(json.values["LOGGING"], ["true"]);
}

#[test]
fn refused_keys_are_named_unless_they_are_so_already() {
    let config = config(&[("HOST_CONFIG_kernel", "mine.img"), ("HOST_CONFIG_a", "1\nkernel=evil"), ("HOST_CONFIG_", "1")]);
    let asked = wanted(&config, config_txt(), &Values::new(), "raspberrypi3");
    let names: Vec<&str> = asked.refused.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["HOST_CONFIG_", "HOST_CONFIG_a", "HOST_CONFIG_kernel"]);
    assert!(asked.refused[2].1.contains("blacklisted") && asked.values.is_empty());
    let there = Values::from([("kernel".into(), vec!["mine.img".into()])]);
    assert_eq!(wanted(&config, config_txt(), &there, "raspberrypi3").refused.len(), 2);
}

#[test]
fn only_its_own_keys_are_ever_removed() {
    let current = Values::from([("a".into(), vec!["1".into()]), ("b".into(), vec!["1".into()]), ("c".into(), vec!["1".into()])]);
    let asked = Values::from([("a".into(), vec!["2".into()]), ("b".into(), vec!["1".into()])]);
    let expected = Changes::from([("a".into(), Some(vec!["2".into()]))]);
    assert_eq!(changes(&current, &asked, &BTreeSet::new()), expected);
    let own = BTreeSet::from(["c".into(), "gone".into()]);
    let changes = changes(&current, &asked, &own);
    assert_eq!(changes["c"], None);
    assert_eq!(reason_line("config.txt", &changes), "config.txt: a=2; c removed");
}

#[test]
fn a_fin_keeps_its_overlay() {
    let asked = |current: &Values| wanted(&BTreeMap::new(), config_txt(), current, "fincm3").values;
    assert_eq!(asked(&Values::new())["dtoverlay"], ["balena-fin"]);
    assert!(asked(&Values::from([("dtoverlay".into(), vec!["balena-fin".into()])])).is_empty());
}

#[test]
fn variables_nobody_answers_to_are_found() {
    let config = config(&[("BALENA_HOST_CONFIG_gpu_mem", "16"), ("HOST_SPLASH_IMAGE", "x"), ("SUPERVISOR_DELTA", "1")]);
    assert_eq!(foreign(&config, ["config.json"].into_iter()), ["HOST_CONFIG_gpu_mem", "HOST_SPLASH_IMAGE"]);
    assert_eq!(foreign(&config, ["config.json", "config.txt"].into_iter()), ["HOST_SPLASH_IMAGE"]);
}
