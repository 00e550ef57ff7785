//! The engine's implementation against a real dockerd.
// needs: engine
//!
//! `HOLDFAST_TEST_DOCKER` is the address of a private engine (`unix:///…`), `HOLDFAST_TEST_REGISTRY` a registry which that
//! engine reaches (`localhost:5000` unless set), `HOLDFAST_TEST_IMAGE` a reference with digest in it; without it one is made
//! from a static busybox. `HOLDFAST_TEST_ENGINE`, a folder that holds `docker.sock`, may stand for the first.
//!
//! Every test works in a scope of its own, so that they may run side by side.

mod bare;
mod objects;
mod rich;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bare::{Ground, PATIENCE, beside_the_registry, busybox, docker, pairs, pushed, quiet, random_file, registry};
use futures_util::StreamExt;
use holdfast::engine::docker::DockerEngine;
use holdfast::engine::{Engine, EngineError, EngineEvent, Events, Progress, RegistryAuth};
use holdfast::registry::{HttpRegistry, Registry, RegistrySettings};
use holdfast_plan::container::{ContainerSpec, Endpoint, NetworkMode, RestartPolicy};
use holdfast_plan::current::{ContainerState, EngineState, Health};
use holdfast_plan::target::{ImageRef, IpamPool, NetworkSpec, VolumeSpec};
use rich::{make_surroundings, rich_spec};
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn the_engine_says_who_it_is() {
    let Some(ground) = Ground::new() else { return };
    let info = ground.engine.describe().await.unwrap();
    assert_eq!(info.address, ground.address);
    assert_eq!(info.version, ground.docker(&["version", "--format", "{{.Server.Version}}"]));
    let (major, minor) = info.api_version.split_once('.').unwrap();
    assert!((major.parse::<u32>().unwrap(), minor.parse::<u32>().unwrap()) >= (1, 41), "{}", info.api_version);
    assert!(info.data_root.unwrap().starts_with('/'));
}

#[tokio::test]
async fn nothing_is_left_to_download_of_what_was_pulled() {
    let Some(ground) = Ground::new() else { return };
    if beside_the_registry("nothing_is_left_to_download_of_what_was_pulled") {
        return;
    }
    let image = pushed("sized", &random_file(2 << 20));
    let registries = HttpRegistry::new(RegistrySettings::new("/".into(), None));
    let size = registries.image_size(&image, None).await.unwrap();
    assert!(size.missing_bytes(&ground.engine.layers().await.unwrap()) >= 2 << 20, "{size:?}");
    ground.engine.pull(&image, None, quiet()).await.unwrap();
    assert_eq!(size.missing_bytes(&ground.engine.layers().await.unwrap()), 0);
    ground.engine.remove_image(&image).await.unwrap();
}

#[tokio::test]
async fn an_image_without_a_name_goes_by_its_id_but_not_from_under_a_container() {
    let Some(ground) = Ground::new() else { return };
    let id = docker(&ground.address, &["import", "-"], &random_file(1 << 16)).trim().to_owned();
    let dangling = |state: &EngineState| {
        state.images.iter().any(|image| image.id == id && image.tags.is_empty() && image.digests.is_empty())
    };
    assert!(dangling(&ground.observe().await), "{id}");
    let user = ground.docker(&["create", "--entrypoint", "/x", &id]);
    let refused = ground.engine.remove_image_by_id(&id).await;
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
    ground.docker(&["rm", &user]);
    ground.engine.remove_image_by_id(&id).await.unwrap();
    ground.engine.remove_image_by_id(&id).await.unwrap();
    assert!(!dangling(&ground.observe().await));
}

#[tokio::test]
async fn a_pull_by_digest_shows_progress_and_is_found_by_name() {
    let Some(ground) = Ground::new() else { return };
    let image = pushed("progress", &random_file(8 << 20));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let auth = RegistryAuth { username: "d_x".into(), password: "key?>~".into(), server_address: registry() };
    let progress: Progress = Arc::new(move |percent| record.lock().unwrap().push(percent));
    let pulled = ground.engine.pull(&image, Some(&auth), progress).await.unwrap();

    let seen = seen.lock().unwrap().clone();
    assert!(seen.len() > 1 && seen.is_sorted() && seen.last() == Some(&100), "{seen:?}");
    assert!(pulled.digests.contains(&image.to_string()), "{pulled:?}");
    assert!(pulled.tags.contains(&format!("{}:latest", image.repository())), "{pulled:?}");
    assert!(pulled.size_bytes >= 8 << 20);
    assert!(ground.observe().await.images.contains(&pulled));

    ground.engine.remove_image(&image).await.unwrap();
    assert!(!ground.observe().await.images.iter().any(|other| other.id == pulled.id));
    ground.engine.remove_image(&image).await.unwrap();
}

#[tokio::test]
async fn an_image_that_is_not_there_says_so() {
    let Some(ground) = Ground::new() else { return };
    let missing = format!("{}/v2/nowhere@sha256:{}", registry(), "0".repeat(64));
    let error = ground.engine.pull(&missing.parse().unwrap(), None, quiet()).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&missing) && text.contains("does not have this image"), "{text}");
}

#[tokio::test]
async fn a_registry_that_is_not_there_says_so() {
    let Some(ground) = Ground::new() else { return };
    let error = ground.engine.pull(&"localhost:1/v2/a:1".parse().unwrap(), None, quiet()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be reached") && !error.is_unreachable(), "{error:?}");
}

#[tokio::test]
async fn names_cannot_lead_to_other_objects() {
    let Some(ground) = Ground::new() else { return };
    let volume = ground.volume("data");
    ground.engine.create_volume(&volume, &VolumeSpec::default(), &"u".to_owned()).await.unwrap();
    let astray = ImageRef { host: None, name: format!("x/../../volumes/{volume}"), tag: None, digest: None };
    assert!(ground.engine.remove_image(&astray).await.is_err());
    assert_eq!(ground.observe().await.volumes.len(), 1);
}

#[tokio::test]
async fn an_abandoned_pull_stops_downloading() {
    let Some(ground) = Ground::new() else { return };
    let image = pushed("abandoned", &random_file(64 << 20));
    let (begun, mut wait) = tokio::sync::mpsc::unbounded_channel();
    let progress: Progress = Arc::new(move |percent| {
        let _ = begun.send(percent);
    });
    tokio::select! {
        ended = ground.engine.pull(&image, None, progress) => panic!("it ended: {ended:?}"),
        percent = wait.recv() => assert!(percent.unwrap() < 100),
    }
    sleep(Duration::from_secs(4)).await;
    let is_there = |state: &EngineState| state.images.iter().any(|other| other.digests.contains(&image.to_string()));
    assert!(!is_there(&ground.observe().await), "it went on although nobody waited");
    ground.engine.pull(&image, None, quiet()).await.unwrap();
    assert!(is_there(&ground.observe().await));
    ground.engine.remove_image(&image).await.unwrap();
}

#[tokio::test]
async fn a_container_is_read_back_as_it_was_asked_for() {
    let Some(ground) = Ground::new() else { return };
    ground.pulled().await;
    make_surroundings(&ground).await;
    let mut wanted = rich_spec(&ground);
    let id = ground.engine.create_container(&wanted).await.unwrap();
    assert_eq!(ground.container(&id).await.state, ContainerState::Created);
    ground.engine.start_container(&id).await.unwrap();
    let container = ground.wait_for(&id, |container| container.health == Some(Health::Healthy)).await;

    assert_eq!((container.app_id, container.service.as_str(), container.service_id), (ground.app, "rich", Some(11)));
    assert_eq!((container.cloud_image_id, container.release_id), (Some(ground.app), Some(22)));
    assert_eq!((container.commit.as_str(), container.state), ("abc", ContainerState::Running));
    assert!(container.created_ms > 1_700_000_000_000 && container.started_ms >= Some(container.created_ms));
    assert_eq!(container.finished_ms, None);
    let image = container.image_config.expect("the image's defaults");
    assert_eq!(image.environment.get("FROM_IMAGE").map(String::as_str), Some("1"));

    // What the image and the engine add by themselves, all else is equal.
    let mut present = (*container.spec).clone();
    assert_eq!(present.image, container.image_id);
    present.image.clone_from(&wanted.image);
    wanted.environment.extend(image.environment.clone());
    assert!(present.options.runtime.take().is_some());
    for (name, endpoint) in &mut present.networks {
        // Docker 20.10 makes the host name an alias.
        assert!(endpoint.aliases.is_superset(&wanted.networks[name].aliases));
        endpoint.aliases.remove("gate");
    }
    wanted.options.memswap_limit_bytes = present.options.memswap_limit_bytes;
    assert_eq!(present, wanted);
}

#[tokio::test]
async fn what_is_not_asked_for_is_the_images_and_the_engines() {
    let Some(ground) = Ground::new() else { return };
    ground.pulled().await;
    let wanted = ContainerSpec { network_mode: NetworkMode::Host, ..ground.spec("plain") };
    let id = ground.engine.create_container(&wanted).await.unwrap();
    let present = (*ground.container(&id).await.spec).clone();
    assert_eq!((present.network_mode, present.networks), (NetworkMode::Host, BTreeMap::new()));
    assert_eq!((present.ports, present.binds, present.mounts), Default::default());
    let mut options = present.options;
    options.runtime = None;
    options.logging = None;
    assert_eq!(options, wanted.options);
}

#[tokio::test]
async fn a_container_may_share_anothers_network() {
    let Some(ground) = Ground::new() else { return };
    ground.pulled().await;
    let first = ground.engine.create_container(&ground.spec("first")).await.unwrap();
    ground.engine.start_container(&first).await.unwrap();
    let wanted = ContainerSpec { network_mode: NetworkMode::Container(first.clone()), ..ground.spec("second") };
    let second = ground.engine.create_container(&wanted).await.unwrap();
    ground.engine.start_container(&second).await.unwrap();
    let present = ground.container(&second).await.spec;
    assert_eq!((present.network_mode.clone(), present.hostname.clone()), (wanted.network_mode, None));

    let unresolved = ContainerSpec { network_mode: NetworkMode::Service("first".into()), ..ground.spec("third") };
    let error = ground.engine.create_container(&unresolved).await.unwrap_err();
    assert!(matches!(error, EngineError::Failed { .. }) && error.to_string().contains("service first"), "{error:?}");
}

#[tokio::test]
async fn a_container_lives_and_ends() {
    let Some(ground) = Ground::new() else { return };
    ground.pulled().await;
    let engine = &ground.engine;
    let spec = ground.spec("main");
    let id = engine.create_container(&spec).await.unwrap();
    assert!(matches!(engine.create_container(&spec).await, Err(EngineError::Conflict { .. })));
    for _ in 0..2 {
        engine.start_container(&id).await.unwrap();
    }
    assert!(matches!(engine.remove_container(&id).await, Err(EngineError::Conflict { .. })), "it runs");
    for _ in 0..2 {
        engine.rename_container(&id, &format!("old_{}", spec.name)).await.unwrap();
        engine.set_restart_policy(&id, RestartPolicy::No).await.unwrap();
    }
    let container = ground.container(&id).await;
    assert!(container.handing_over && container.state == ContainerState::Running);
    assert_eq!(container.spec.options.restart, RestartPolicy::No);
    for _ in 0..2 {
        engine.stop_container(&id).await.unwrap();
    }
    let container = ground.container(&id).await;
    assert_eq!((container.state, container.exit_code), (ContainerState::Exited, 0));
    assert!(container.finished_ms >= container.started_ms);
    for _ in 0..2 {
        engine.remove_container(&id).await.unwrap();
    }
    engine.stop_container(&id).await.unwrap();
    assert_eq!(ground.observe().await.containers, []);
    assert!(matches!(engine.start_container(&id).await, Err(EngineError::NotFound { .. })));
}

#[tokio::test]
async fn a_container_that_cannot_join_its_networks_is_not_left_behind() {
    let Some(ground) = Ground::new() else { return };
    ground.pulled().await;
    let (there, nowhere) = (ground.network("default"), ground.network("nowhere"));
    ground.engine.create_network(&there, &NetworkSpec::default(), ground.app).await.unwrap();
    for (name, mode) in [(nowhere.clone(), NetworkMode::Network(nowhere)), (there, NetworkMode::Host)] {
        let mut spec = ContainerSpec { network_mode: mode, ..ground.spec("main") };
        spec.networks.insert(name.clone(), Endpoint::default());
        let error = ground.engine.create_container(&spec).await.unwrap_err();
        assert!(error.to_string().contains(&name) && error.to_string().contains(&spec.name), "{error}");
        assert_eq!(ground.observe().await.containers, []);
    }
}

#[tokio::test]
async fn an_image_in_use_is_not_removed() {
    let Some(ground) = Ground::new() else { return };
    let image = pushed("used", &busybox());
    ground.engine.pull(&image, None, quiet()).await.unwrap();
    let spec = ContainerSpec { image: image.to_string(), ..ground.spec("main") };
    let id = ground.engine.create_container(&spec).await.unwrap();
    for _ in 0..2 {
        let error = ground.engine.remove_image(&image).await.unwrap_err();
        assert!(matches!(error, EngineError::Conflict { .. }), "{error:?}");
    }
    ground.engine.remove_container(&id).await.unwrap();
    ground.engine.remove_image(&image).await.unwrap();
    let is_there = |state: EngineState| state.images.iter().any(|other| other.digests.contains(&image.to_string()));
    assert!(!is_there(ground.observe().await));
}

#[tokio::test]
async fn events_wake_and_tell_what_to_look_at_again() {
    let Some(ground) = Ground::new() else { return };
    ground.pulled().await;
    let id = ground.engine.create_container(&ground.spec("main")).await.unwrap();
    ground.engine.start_container(&id).await.unwrap();
    let mut events = ground.engine.events().await.unwrap();
    // Nothing is lost between asking for events and the first look at them.
    ground.docker(&["update", "--restart=on-failure", &id]);
    let next = async |events: &mut Events| timeout(PATIENCE, events.next()).await.expect("an event in time");
    assert_eq!(next(&mut events).await, Some(EngineEvent::Changed));
    while timeout(Duration::from_secs(1), events.next()).await.is_ok() {}
    assert_eq!(ground.container(&id).await.spec.options.restart, RestartPolicy::OnFailure);

    // A change that the engine's list does not show is found because of its event.
    ground.docker(&["update", "--restart=no", &id]);
    next(&mut events).await;
    assert_eq!(ground.container(&id).await.spec.options.restart, RestartPolicy::No);

    // A command in a container, as every health check is, concerns nobody.
    while timeout(Duration::from_secs(1), events.next()).await.is_ok() {}
    ground.docker(&["exec", &id, "true"]);
    let mut events_of_others = 0;
    while timeout(Duration::from_secs(1), events.next()).await.is_ok() {
        events_of_others += 1;
        assert!(events_of_others < 1000, "this engine never rests");
    }
    ground.docker(&["kill", &id]);
    assert_eq!(next(&mut events).await, Some(EngineEvent::Changed));
    ground.wait_for(&id, |container| container.state == ContainerState::Exited && container.exit_code == 137).await;
}
