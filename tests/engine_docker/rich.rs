//! A container that asks for most of what there is.

use std::collections::{BTreeMap, BTreeSet};

use holdfast::engine::Engine;
use holdfast_plan::container::{
    ContainerSpec, Device, Endpoint, Healthcheck, Logging, Mount, NetworkMode, Options, Port, PortBinding, Protocol,
    RestartPolicy, Ulimit,
};
use holdfast_plan::target::{IpamPool, NetworkSpec, VolumeSpec};

use super::bare::{Ground, pairs, words};

/// A specification that uses most of what there is, with two networks and two kinds of mounts.
pub fn rich_spec(ground: &Ground) -> ContainerSpec {
    let endpoint = |aliases: &str| Endpoint { aliases: words(aliases).into_iter().collect(), ..Endpoint::default() };
    let mut spec = ground.spec("rich");
    let with_address = Endpoint { ipv4_address: Some("10.77.9.9".into()), ..endpoint("rich front-door") };
    spec.environment = pairs(&[("A", "b=c"), ("EMPTY", "")]);
    spec.hostname = Some("gate".into());
    spec.network_mode = NetworkMode::Network(ground.network("front"));
    spec.networks = [(ground.network("front"), with_address), (ground.network("back"), endpoint("rich back-door"))].into();
    let port = |number| Port { protocol: Protocol::Tcp, number };
    spec.ports = [
        PortBinding { port: port(80), host_ip: String::new(), host_port: 0 },
        PortBinding { port: port(81), host_ip: "127.0.0.1".into(), host_port: 0 },
    ]
    .into();
    spec.exposed = [port(80), port(81), Port { protocol: Protocol::Udp, number: 53 }].into();
    spec.binds = [format!("{}:/data", ground.volume("data")), "/tmp:/host-tmp:ro".to_owned()].into();
    spec.mounts = [
        Mount::Volume { source: ground.volume("more"), target: "/more".into(), read_only: true, nocopy: true },
        Mount::Tmpfs { target: "/memory".into(), size: 65536, read_only: false },
    ]
    .into();
    spec.anonymous_volumes = ["/scratch".to_owned()].into();
    spec.options = rich_options(spec.options);
    spec
}

pub fn rich_options(base: Options) -> Options {
    let set = |text: &str| words(text).into_iter().collect::<BTreeSet<String>>();
    let check = Healthcheck {
        test: Some(words("CMD true")),
        interval_ns: Some(1_000_000_000),
        timeout_ns: Some(2_000_000_000),
        start_period_ns: Some(3_000_000_000),
        retries: Some(2),
    };
    Options {
        user: Some("0:0".into()),
        working_dir: Some("/tmp".into()),
        stop_signal: Some("SIGTERM".into()),
        stop_grace_period_s: 7,
        healthcheck: Some(check),
        restart: RestartPolicy::UnlessStopped,
        tty: false,
        stdin_open: true,
        init: Some(false),
        cap_add: set("NET_ADMIN"),
        cap_drop: set("MKNOD"),
        security_opt: set("no-new-privileges"),
        group_add: set("7"),
        dns: words("9.9.9.9 1.1.1.1"),
        dns_search: words("example.com"),
        dns_opt: set("ndots:1"),
        extra_hosts: set("other:10.0.0.1"),
        devices: [Device { host: "/dev/null".into(), container: "/dev/nothing".into(), permissions: "rw".into() }].into(),
        device_cgroup_rules: ["c 42:* rmw".to_owned()].into(),
        tmpfs: pairs(&[("/fast", "size=65536")]),
        ulimits: BTreeMap::from([("nofile".to_owned(), Ulimit { soft: 100, hard: 200 })]),
        sysctls: pairs(&[("net.ipv4.ip_unprivileged_port_start", "1")]),
        domainname: "example.com".into(),
        logging: Some(Logging { driver: "json-file".into(), options: pairs(&[("max-size", "1m")]) }),
        mem_limit_bytes: 32 << 20,
        mem_reservation_bytes: 16 << 20,
        memswap_limit_bytes: 64 << 20,
        shm_size_bytes: 1 << 20,
        nano_cpus: 500_000_000,
        cpu_shares: 512,
        cpuset: "0".into(),
        oom_score_adj: 100,
        pids_limit: 50,
        ..base
    }
}

pub async fn make_surroundings(ground: &Ground) {
    let pool = IpamPool { subnet: Some("10.77.9.0/24".into()), gateway: Some("10.77.9.1".into()), ..IpamPool::default() };
    let front = NetworkSpec { ipam_pools: vec![pool], ..NetworkSpec::default() };
    ground.engine.create_network(&ground.network("front"), &front, ground.app).await.unwrap();
    ground.engine.create_network(&ground.network("back"), &NetworkSpec::default(), ground.app).await.unwrap();
    for name in ["data", "more"] {
        ground.engine.create_volume(&ground.volume(name), &VolumeSpec::default(), &format!("u{}", ground.app)).await.unwrap();
    }
}
