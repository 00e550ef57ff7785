//! The sample fleet: one app with three services, in two releases that differ in one of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Name of the app.
pub const APP_NAME: &str = "seashore";

/// Numeric id of the app: large, so that no volume of a real fleet has its name.
pub const APP_ID: u64 = 990_017;

/// Uuid of the app.
pub const APP_UUID: &str = "5ea5401e5ea5401e5ea5401e5ea5401e";

/// The services: `tide` keeps its data in a volume, `beacon` depends on it, `gull` changes with the second release.
pub const SERVICES: [&str; 3] = ["beacon", "gull", "tide"];

/// The service that the second release changes.
pub const CHANGED_SERVICE: &str = "gull";

/// Name of the volume in both releases.
pub const VOLUME: &str = "tide-data";

/// A release of the sample fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleRelease {
    /// What is installed first.
    First,
    /// What it is updated to.
    Second,
}

impl SampleRelease {
    /// The release's commit.
    pub fn commit(self) -> &'static str {
        match self {
            SampleRelease::First => "0000000000000000000000000000f1a5",
            SampleRelease::Second => "00000000000000000000000000005ec0",
        }
    }

    /// Version of a service in this release.
    pub fn version(self, service: &str) -> &'static str {
        if self == SampleRelease::Second && service == CHANGED_SERVICE { "2" } else { "1" }
    }

    fn id(self) -> u64 {
        match self {
            SampleRelease::First => 4001,
            SampleRelease::Second => 4002,
        }
    }
}

/// References of the services' images by service and version.
pub type Images = BTreeMap<(String, String), String>;

/// Every service with every version it has in one of the releases.
pub fn versions() -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<_> =
        [SampleRelease::First, SampleRelease::Second].iter().flat_map(|r| SERVICES.map(|s| (s, r.version(s)))).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The repository of a service's image.
pub fn repository(service: &str) -> String {
    format!("v2/holdfast-demo-{service}")
}

/// The target of a device at this release. A missing image leaves its service out.
pub fn target(uuid: &str, release: SampleRelease, images: &Images) -> Value {
    let services: serde_json::Map<String, Value> = SERVICES
        .iter()
        .enumerate()
        .filter_map(|(number, name)| {
            let version = release.version(name);
            let image = images.get(&((*name).to_owned(), version.to_owned()))?;
            Some(((*name).to_owned(), service(number, name, version, image)))
        })
        .collect();
    json!({ uuid: {
        "name": "rockpool",
        "config": {},
        "apps": { APP_UUID: {
            "id": APP_ID, "name": APP_NAME, "class": "fleet", "is_host": false,
            "releases": { release.commit(): {
                "id": release.id(), "services": services, "networks": { "default": {} }, "volumes": { VOLUME: {} }
            } }
        } }
    } })
}

fn service(number: usize, name: &str, version: &str, image: &str) -> Value {
    let composition = match name {
        "tide" => json!({ "restart": "always", "volumes": [format!("{VOLUME}:/data")] }),
        "beacon" => json!({ "restart": "always", "depends_on": ["tide"] }),
        _ => json!({ "restart": "unless-stopped" }),
    };
    let image_id = 9000 + 10 * number + usize::from(version == "2");
    json!({
        "id": 700 + number, "image_id": image_id, "image": image,
        "environment": { "SAMPLE_SERVICE": name, "SAMPLE_WANTED_VERSION": version }, "labels": {}, "composition": composition
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Images {
        let reference = |s: &str, v: &str| format!("127.0.0.1:5000/{}@sha256:{}", repository(s), v.repeat(64));
        versions().into_iter().map(|(s, v)| ((s.to_owned(), v.to_owned()), reference(s, v))).collect()
    }

    #[test]
    fn the_agent_accepts_all_of_it() {
        for release in [SampleRelease::First, SampleRelease::Second] {
            let parsed = holdfast_plan::target::parse(&target("u", release, &images()), "u").unwrap();
            assert!(parsed.refused.is_empty(), "{:?}", parsed.refused);
            let wanted = parsed.apps[APP_UUID].release.as_ref().unwrap();
            assert_eq!(wanted.services.len(), SERVICES.len());
            assert!(wanted.services.values().all(|service| service.unsupported.is_empty()));
        }
    }

    #[test]
    fn the_releases_differ_in_one_service() {
        let images = images();
        assert_eq!(images.len(), SERVICES.len() + 1);
        let services = |release: SampleRelease| {
            let target = target("u", release, &images);
            target["u"]["apps"][APP_UUID]["releases"][release.commit()]["services"].as_object().cloned().unwrap()
        };
        let (first, second) = (services(SampleRelease::First), services(SampleRelease::Second));
        assert_eq!(first.keys().map(String::as_str).collect::<Vec<_>>(), SERVICES);
        let changed: Vec<&String> = first.keys().filter(|name| first[*name] != second[*name]).collect();
        assert_eq!(changed, [CHANGED_SERVICE]);
    }

    #[test]
    fn commits_and_uuid_are_of_the_usual_form() {
        for text in [APP_UUID, SampleRelease::First.commit(), SampleRelease::Second.commit()] {
            assert!(text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()), "{text}");
        }
    }
}
