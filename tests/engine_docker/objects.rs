//! Networks and volumes of the real engine.

use super::*;

#[tokio::test]
async fn a_network_is_made_once() {
    let Some(ground) = Ground::new() else { return };
    let name = ground.network("default");
    let pool = IpamPool {
        subnet: Some("10.78.0.0/24".into()),
        gateway: Some("10.78.0.1".into()),
        ip_range: Some("10.78.0.128/25".into()),
        aux_addresses: pairs(&[("printer", "10.78.0.5")]),
    };
    let spec = NetworkSpec {
        driver_opts: pairs(&[("com.docker.network.bridge.enable_icc", "true")]),
        ipam_pools: vec![pool],
        internal: true,
        labels: pairs(&[("mine", "1")]),
        ..NetworkSpec::default()
    };
    let make = || ground.engine.create_network(&name, &spec, ground.app);
    let (first, second) = tokio::join!(make(), make());
    first.and(second).unwrap();
    make().await.unwrap();
    let networks = ground.observe().await.networks;
    let [network] = networks.as_slice() else { panic!("{networks:?}") };
    assert_eq!((&network.name, &network.spec), (&name, &spec));
    assert_eq!(network.labels.get("io.balena.private.ipam.config").map(String::as_str), Some("true"));

    let other = ground.engine.create_network(&name, &NetworkSpec::default(), ground.app).await.unwrap_err();
    assert!(matches!(other, EngineError::Conflict { .. }), "{other:?}");
    let overlapping = ground.engine.create_network(&ground.network("overlap"), &spec, ground.app).await.unwrap_err();
    assert!(overlapping.to_string().contains("in use by another network"), "{overlapping}");
    for _ in 0..2 {
        ground.engine.remove_network(&network.id).await.unwrap();
    }
    assert_eq!(ground.observe().await.networks, []);
}

#[tokio::test]
async fn plain_and_configuration_networks_come_back_as_they_went() {
    let Some(ground) = Ground::new() else { return };
    for spec in [NetworkSpec::default(), NetworkSpec { config_only: true, ..NetworkSpec::default() }] {
        let name = ground.network(if spec.config_only { "config" } else { "default" });
        for _ in 0..2 {
            ground.engine.create_network(&name, &spec, ground.app).await.unwrap();
        }
        let network = ground.observe().await.networks.into_iter().find(|network| network.name == name).unwrap();
        let mut present = network.spec;
        present.ipam_pools.clear();
        if spec.config_only {
            present.driver.clone_from(&spec.driver);
        }
        assert_eq!(present, spec);
    }
}

#[tokio::test]
async fn a_network_with_containers_stays() {
    let Some(ground) = Ground::new() else { return };
    ground.pulled().await;
    ground.engine.create_network(&ground.network("default"), &NetworkSpec::default(), ground.app).await.unwrap();
    let mut spec = ground.spec("main");
    spec.network_mode = NetworkMode::Network(ground.network("default"));
    spec.networks.insert(ground.network("default"), Endpoint::default());
    let id = ground.engine.create_container(&spec).await.unwrap();
    ground.engine.start_container(&id).await.unwrap();
    let network = ground.observe().await.networks.remove(0);
    let error = ground.engine.remove_network(&network.id).await.unwrap_err();
    assert!(matches!(error, EngineError::Conflict { .. }), "{error:?}");
}

#[tokio::test]
async fn a_volume_is_made_once_and_never_taken_over() {
    let Some(ground) = Ground::new() else { return };
    let name = ground.volume("data");
    let spec = VolumeSpec { labels: pairs(&[("mine", "1")]), ..VolumeSpec::default() };
    for _ in 0..2 {
        ground.engine.create_volume(&name, &spec, &"u".to_owned()).await.unwrap();
    }
    let volumes = ground.observe().await.volumes;
    let [volume] = volumes.as_slice() else { panic!("{volumes:?}") };
    assert_eq!((&volume.name, &volume.spec), (&name, &spec));
    assert!(volume.created_ms > Some(1_700_000_000_000));

    for scope in [None, Some("somebody-else".to_owned())] {
        let other = DockerEngine::connect(&ground.address, scope).unwrap();
        assert!(!other.observe().await.unwrap().volumes.iter().any(|volume| volume.name == name));
        let error = other.create_volume(&name, &spec, &"u".to_owned()).await.unwrap_err();
        assert!(matches!(error, EngineError::Conflict { .. }), "{error:?}");
    }
    let changed = ground.engine.create_volume(&name, &VolumeSpec::default(), &"u".to_owned()).await;
    assert!(matches!(changed, Err(EngineError::Conflict { .. })));
    for _ in 0..2 {
        ground.engine.remove_volume(&name).await.unwrap();
    }
    assert_eq!(ground.observe().await.volumes, []);
}
