//! Nothing that arrives makes the reader panic: documents shaped like a target with values put in and taken out at random.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{document, parse};
use crate::container::specify;
use crate::facts::Facts;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "80",
            "8080:80",
            "1-65535:1-65535/udp",
            "[::1]:80:80",
            "0-0:0-0",
            "data:/data",
            "/x:/y:ro",
            "1m30s",
            "1.5g",
            "-1",
            "999999999999999999999g",
            "service:db",
            "container:x",
            "host",
            "default",
            "io.resin.x=1",
            "\"a b\" 'c' \\",
            "é\"",
            "/dev/a:/dev/b:rwm",
            "10.0.0.0/8",
            "NONE",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4).prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let known = "id name class is_host releases services networks volumes image image_id environment labels running contract composition \
        ports expose depends_on network_mode healthcheck test interval retries mem_limit memswap_limit shm_size cpus cpu_quota ulimits \
        sysctls command entrypoint devices extra_hosts tmpfs restart stop_grace_period logging driver options ipam config subnet type \
        source target published tmpfs size volume nocopy aliases ipv4_address condition soft hard main db data default u c0ffee";
    let known: Vec<String> = known.split_whitespace().map(str::to_owned).collect();
    prop_oneof![4 => prop::sample::select(known), 1 => "\\PC{0,8}"]
}

/// Puts a value somewhere into the document: at each level the walk goes down or changes what is there.
fn mutate(at: &mut Value, walk: &[(u8, String)], value: Value) {
    let Some(((turn, key), rest)) = walk.split_first() else {
        *at = value;
        return;
    };
    match at {
        Value::Object(members) if *turn < 40 || members.is_empty() => drop(members.insert(key.clone(), value)),
        Value::Object(members) => {
            let index = usize::from(*turn) % members.len();
            mutate(members.values_mut().nth(index).unwrap(), rest, value);
        }
        Value::Array(items) if *turn >= 40 && !items.is_empty() => {
            let index = usize::from(*turn) % items.len();
            mutate(&mut items[index], rest, value);
        }
        _ => *at = value,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_never_panic(
        mutations in prop::collection::vec((prop::collection::vec((any::<u8>(), key()), 1..10), value()), 0..6),
    ) {
        let mut document = document();
        for (walk, value) in mutations {
            mutate(&mut document["dev"], &walk, value);
        }
        if let Ok(target) = parse(&document, "dev") {
            prop_assert_eq!(parse(&document, "dev").unwrap(), target.clone());
            for refused in target.refused.values() {
                prop_assert!(!refused.offences.is_empty());
            }
            for app in target.apps.values() {
                let Some(release) = &app.release else { continue };
                for service in release.services.values() {
                    specify(app, release, service, &Facts::default(), None);
                }
            }
        }
    }

    #[test]
    fn services_never_panic(composition in prop::collection::vec((key(), value()), 0..12)) {
        let mut document = document();
        let composition: Map<String, Value> = composition.into_iter().collect();
        document.pointer_mut("/dev/apps/u/releases/c0ffee/services/main").unwrap()["composition"] = composition.into();
        let target = parse(&document, "dev").unwrap();
        prop_assert_eq!(target.apps.len() + target.refused.len(), 1);
    }

    #[test]
    fn anything_at_all_never_panics(value in value()) {
        let _ = parse(&value, "dev");
        let _ = parse(&json!({ "dev": value.clone() }), "dev");
        let _ = parse(&json!({"dev": {"name": "n", "config": {}, "apps": value}}), "dev");
    }
}
