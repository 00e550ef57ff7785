//! A container as it reads back: what was asked for, the image's defaults, and what the engine fills in (API 1.41).

use holdfast_plan::container::{ContainerSpec, Healthcheck, ImageConfig, Logging, NetworkMode, Options};

/// Merges a specification with its image's defaults the way the engine does at create.
pub fn effective(spec: &ContainerSpec, image_id: &str, image: &ImageConfig) -> ContainerSpec {
    let mut merged = spec.clone();
    merged.image = image_id.to_owned();
    for (key, value) in &image.environment {
        merged.environment.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for (key, value) in &image.labels {
        merged.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    merged.exposed.extend(image.exposed.iter().copied());
    merged.anonymous_volumes.extend(image.volumes.iter().cloned());
    if let NetworkMode::Network(name) = &spec.network_mode {
        merged.networks.entry(name.clone()).or_default();
    }
    command(&mut merged.options, image);
    text(&mut merged.options.user, &image.user);
    text(&mut merged.options.working_dir, &image.working_dir);
    text(&mut merged.options.stop_signal, image.stop_signal.as_deref().unwrap_or_default());
    merged.options.healthcheck = healthcheck(spec.options.healthcheck.as_ref(), image.healthcheck.as_ref());
    engine_defaults(&mut merged.options);
    merged
}

/// The image's command counts only where no entry point was asked for.
fn command(options: &mut Options, image: &ImageConfig) {
    let given = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|words| !words.is_empty());
    if !given(&options.entrypoint) {
        if !given(&options.command) {
            options.command = Some(image.command.clone());
        }
        if options.entrypoint.is_none() {
            options.entrypoint = Some(image.entrypoint.clone());
        }
    }
    // An empty list is not shown.
    options.command = options.command.take().filter(|words| !words.is_empty());
    options.entrypoint = options.entrypoint.take().filter(|words| !words.is_empty());
}

fn text(own: &mut Option<String>, image: &str) {
    let value = own.take().filter(|own| !own.is_empty()).unwrap_or_else(|| image.to_owned());
    *own = Some(value).filter(|value| !value.is_empty());
}

fn healthcheck(own: Option<&Healthcheck>, image: Option<&Healthcheck>) -> Option<Healthcheck> {
    let (own, image) = match (own, image) {
        (Some(own), Some(image)) => (own, image),
        (one, other) => return one.or(other).cloned(),
    };
    let number = |own: Option<i64>, image: Option<i64>| own.filter(|n| *n != 0).or(image);
    Some(Healthcheck {
        test: own.test.clone().filter(|test| !test.is_empty()).or_else(|| image.test.clone()),
        interval_ns: number(own.interval_ns, image.interval_ns),
        timeout_ns: number(own.timeout_ns, image.timeout_ns),
        start_period_ns: number(own.start_period_ns, image.start_period_ns),
        retries: number(own.retries, image.retries),
    })
}

fn engine_defaults(options: &mut Options) {
    options.runtime.get_or_insert_with(|| "runc".into());
    options.logging.get_or_insert_with(|| Logging { driver: "json-file".into(), ..Logging::default() });
    // Swap is twice the memory unless something else is asked for.
    if options.mem_limit_bytes > 0 && options.memswap_limit_bytes == 0 {
        options.memswap_limit_bytes = options.mem_limit_bytes.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn image() -> ImageConfig {
        ImageConfig {
            command: vec!["serve".into()],
            entrypoint: vec!["/init".into()],
            environment: BTreeMap::from([("PATH".into(), "/bin".into()), ("MODE".into(), "image".into())]),
            labels: BTreeMap::from([("vendor".into(), "x".into())]),
            user: "app".into(),
            ..ImageConfig::default()
        }
    }

    #[test]
    fn the_image_fills_what_was_left_open() {
        let mut spec = ContainerSpec::default();
        spec.environment.insert("MODE".into(), "own".into());
        let merged = effective(&spec, "sha256:1", &image());
        assert_eq!(merged.environment["MODE"], "own");
        assert_eq!(merged.environment["PATH"], "/bin");
        assert_eq!(merged.labels["vendor"], "x");
        assert_eq!(merged.options.command, Some(vec!["serve".into()]));
        assert_eq!(merged.options.entrypoint, Some(vec!["/init".into()]));
        assert_eq!(merged.options.user.as_deref(), Some("app"));
        assert_eq!(merged.options.working_dir, None);
    }

    #[test]
    fn an_entry_point_of_its_own_drops_the_images_command() {
        let mut spec = ContainerSpec::default();
        spec.options.entrypoint = Some(vec!["/own".into()]);
        let merged = effective(&spec, "sha256:1", &image());
        assert_eq!(merged.options.command, None);
        assert_eq!(merged.options.entrypoint, Some(vec!["/own".into()]));
        spec.options.entrypoint = Some(Vec::new());
        let merged = effective(&spec, "sha256:1", &image());
        assert_eq!((merged.options.command, merged.options.entrypoint), (Some(vec!["serve".into()]), None));
    }

    #[test]
    fn parts_of_a_health_check_come_from_the_image() {
        let theirs = Healthcheck { test: Some(vec!["CMD".into(), "x".into()]), retries: Some(3), ..Healthcheck::default() };
        let own = Healthcheck { retries: Some(5), ..Healthcheck::default() };
        let both = healthcheck(Some(&own), Some(&theirs)).unwrap();
        assert_eq!((both.test, both.retries), (theirs.test.clone(), Some(5)));
        assert_eq!(healthcheck(None, Some(&theirs)), Some(theirs));
    }
}
