//! Where an image's registry answers.

use holdfast_plan::target::ImageRef;
use reqwest::Url;

use super::RegistryError;
use crate::http::is_loopback;

/// The engine's default registry: its names in references, where it answers, and the folder of names without one.
const DEFAULT_NAMES: [&str; 2] = ["docker.io", "index.docker.io"];
const DEFAULT_ADDRESS: &str = "registry-1.docker.io";
const DEFAULT_FOLDER: &str = "library";

/// One repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repository {
    base: Url,
    /// Name without the host.
    pub name: String,
}

impl Repository {
    /// The repository an image lies in. As with the engine, a registry on this machine itself is asked without TLS.
    pub fn of(image: &ImageRef) -> Result<Repository, RegistryError> {
        let host = image.host.as_deref().filter(|host| !DEFAULT_NAMES.contains(host));
        let name = match host {
            None if !image.name.contains('/') => format!("{DEFAULT_FOLDER}/{}", image.name),
            _ => image.name.clone(),
        };
        let host = host.unwrap_or(DEFAULT_ADDRESS);
        let wrong = |why: String| RegistryError::Reference { image: image.to_string(), why };
        let parse = |scheme: &str| {
            let url = Url::parse(&format!("{scheme}://{host}/")).map_err(|error| wrong(error.to_string()))?;
            // A host that brings a user, a path or a query along is not one.
            let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && !host.contains('@');
            if plain { Ok(url) } else { Err(wrong(format!("\"{host}\" is not a host"))) }
        };
        let base = parse("https")?;
        let base = if base.host_str().is_some_and(is_loopback) { parse("http")? } else { base };
        Ok(Repository { base, name })
    }

    /// Address of a manifest, by tag or digest.
    pub fn manifest(&self, reference: &str) -> Url {
        self.below("manifests", reference)
    }

    /// Address of a blob, by digest.
    pub fn blob(&self, digest: &str) -> Url {
        self.below("blobs", digest)
    }

    /// Whether an address belongs to this registry, so that what it hands out may be shown there.
    pub fn is_origin_of(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Whether an address may be called on this registry's word: over TLS, or on this machine for a registry on this machine.
    pub fn may_lead_to(&self, url: &Url) -> bool {
        url.scheme() == "https" || (url.scheme() == "http" && self.is_here() && url.host_str().is_some_and(is_loopback))
    }

    /// Whether the registry runs on this machine.
    pub fn is_here(&self) -> bool {
        self.base.host_str().is_some_and(is_loopback)
    }

    fn below(&self, kind: &str, reference: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().push("v2").extend(self.name.split('/')).extend([kind, reference]);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Repository, RegistryError> {
        Repository::of(&text.parse().unwrap())
    }

    #[test]
    fn addresses_as_the_engine_has_them() {
        for (text, manifest) in [
            ("alpine", "https://registry-1.docker.io/v2/library/alpine/manifests/x"),
            ("docker.io/library/alpine", "https://registry-1.docker.io/v2/library/alpine/manifests/x"),
            ("grafana/loki", "https://registry-1.docker.io/v2/grafana/loki/manifests/x"),
            ("registry2.example.com/v2/ab", "https://registry2.example.com/v2/v2/ab/manifests/x"),
            ("r.example.com:5000/a", "https://r.example.com:5000/v2/a/manifests/x"),
            ("localhost:5000/a", "http://localhost:5000/v2/a/manifests/x"),
            ("127.0.0.9:5000/a/b/c", "http://127.0.0.9:5000/v2/a/b/c/manifests/x"),
        ] {
            assert_eq!(of(text).unwrap().manifest("x").as_str(), manifest, "{text}");
        }
        let hosts = ["user@r.io", "r.io:notaport", "r.io?x", "r.io#x"];
        for host in hosts {
            let image = ImageRef { host: Some(host.into()), name: "a".into(), tag: None, digest: None };
            assert!(Repository::of(&image).is_err(), "{host}");
        }
    }

    #[test]
    fn it_leads_over_tls_or_stays_here() {
        let (away, here) = (of("r.io/a").unwrap(), of("127.0.0.1:5000/a").unwrap());
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(away.may_lead_to(&url("https://cdn.example.com/x")));
        assert!(!away.may_lead_to(&url("http://cdn.example.com/x")));
        assert!(!away.may_lead_to(&url("http://127.0.0.1/x")));
        assert!(here.may_lead_to(&url("http://127.0.0.1:7/x")) && !here.may_lead_to(&url("http://10.0.0.1/x")));
        assert!(!away.may_lead_to(&url("file:///etc/passwd")));
        assert!(away.is_origin_of(&url("https://r.io:443/x")) && !away.is_origin_of(&url("https://r.io:8443/x")));
    }
}
