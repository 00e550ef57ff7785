//! A real engine as the demo sees it from outside: is it there, is it free, what did the agent make, and away with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::Method;
use serde_json::{Value, json};

use crate::sandbox::fleet::{APP_ID, APP_UUID, VOLUME};
use crate::sandbox::program::Machine;
use crate::sandbox::socket::{Answer, encode, request};

/// Where engines usually listen.
const USUAL: [&str; 2] = ["/var/run/balena-engine.sock", "/var/run/docker.sock"];

/// Objects any agent made.
const SUPERVISED: [&str; 2] = ["io.balena.supervised", "io.resin.supervised"];

/// The label that holds the scope.
const SCOPE: &str = "io.holdfast.scope";

const CALL_LIMIT: Duration = Duration::from_secs(60);

/// How long an engine may take to say that it is there.
const GREETING_LIMIT: Duration = Duration::from_secs(5);

/// An engine that answered.
#[derive(Clone, Debug)]
pub struct Docker {
    socket: PathBuf,
    /// For example `Docker 20.10.24`.
    pub name: String,
    /// What its containers run on.
    pub machine: Machine,
}

/// A kind of object with how it is listed and removed.
struct Kind {
    noun: &'static str,
    list: &'static str,
    /// Field of the list's answer that holds the entries; empty when the answer is the list.
    within: &'static str,
    id: &'static str,
    remove: fn(&str) -> String,
}

const KINDS: [Kind; 3] = [
    Kind {
        noun: "container",
        list: "/containers/json?all=1&filters=",
        within: "",
        id: "Id",
        remove: |id| format!("/containers/{id}?force=1&v=1"),
    },
    Kind { noun: "network", list: "/networks?filters=", within: "", id: "Id", remove: |id| format!("/networks/{id}") },
    Kind { noun: "volume", list: "/volumes?filters=", within: "Volumes", id: "Name", remove: |id| format!("/volumes/{id}") },
];

/// Paths of the sockets to try, best first.
///
/// # Errors
/// When `DOCKER_HOST` names something that is no unix socket.
pub fn sockets() -> Result<Vec<PathBuf>> {
    match std::env::var("DOCKER_HOST") {
        Ok(address) if !address.is_empty() => match address.strip_prefix("unix://") {
            Some(path) => Ok(vec![path.into()]),
            None => bail!("DOCKER_HOST is \"{address}\"; the demo works with a unix:// socket only"),
        },
        _ => Ok(USUAL.map(PathBuf::from).into()),
    }
}

impl Docker {
    /// Asks who is there.
    ///
    /// # Errors
    /// When nobody answers, or on a machine the embedded program does not exist for.
    pub async fn connect(socket: &Path) -> Result<Docker> {
        let answer = request(socket, Method::GET, "/version", GREETING_LIMIT).await?;
        if answer.status != 200 {
            bail!("{} answered {}: {}", socket.display(), answer.status, answer.message());
        }
        let version = answer.json();
        let arch = version["Arch"].as_str().unwrap_or_default();
        let machine = Machine::from_name(arch).with_context(|| format!("no embedded program for the architecture \"{arch}\""))?;
        let product =
            version["Components"][0]["Name"].as_str().map_or("Docker", |name| if name == "Engine" { "Docker" } else { name });
        let name = format!("{product} {}", version["Version"].as_str().unwrap_or("of an unknown version"));
        Ok(Docker { socket: socket.to_owned(), name, machine })
    }

    /// Its address for the agent.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    async fn call(&self, method: Method, path: &str) -> Result<Answer> {
        request(&self.socket, method, path, CALL_LIMIT).await
    }

    async fn list(&self, kind: &Kind, label: &str) -> Result<Vec<Value>> {
        let filter = encode(&json!({ "label": [label] }).to_string());
        let answer = self.call(Method::GET, &format!("{}{filter}", kind.list)).await?;
        if answer.status != 200 {
            bail!("the engine does not list its {}s: {}", kind.noun, answer.message());
        }
        let all = answer.json();
        let entries = if kind.within.is_empty() { &all } else { &all[kind.within] };
        Ok(entries.as_array().cloned().unwrap_or_default())
    }

    /// What stands in the way: supervised objects, and objects that already have a name the demo would use.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn occupied(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for kind in &KINDS {
            for label in SUPERVISED {
                found.extend(self.list(kind, label).await?.iter().map(|entry| described(kind, entry)));
            }
        }
        for (noun, path) in
            [("volume", format!("/volumes/{}", volume_name())), ("network", format!("/networks/{APP_UUID}_default"))]
        {
            if self.call(Method::GET, &path).await?.status == 200 {
                found.push(format!("{noun} {}", path.rsplit('/').next().unwrap_or_default()));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Whether the engine can pull this image: an engine in another network namespace has another 127.0.0.1.
    ///
    /// # Errors
    /// With the engine's words when it cannot. An engine that cannot be asked this question passes.
    pub async fn can_reach(&self, image: &str) -> Result<()> {
        let answer = self.call(Method::GET, &format!("/distribution/{image}/json")).await?;
        let unknown_question = answer.status == 404 && !answer.message().contains("manifest");
        if answer.status == 200 || unknown_question { Ok(()) } else { bail!("{}", answer.message()) }
    }

    /// Ids of the containers of a scope by service.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn containers(&self, scope: &str) -> Result<BTreeMap<String, String>> {
        let [kind, ..] = &KINDS;
        let entries = self.list(kind, &format!("{SCOPE}={scope}")).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(entries.iter().map(|entry| (text(&entry["Labels"]["io.balena.service-name"]), text(&entry["Id"]))).collect())
    }

    /// Removes everything of a scope, and the images of a registry. Returns what could not be removed, and why.
    pub async fn clean(&self, scope: &str, registry: &str) -> Vec<String> {
        let mut left = Vec::new();
        for kind in &KINDS {
            match self.list(kind, &format!("{SCOPE}={scope}")).await {
                Ok(entries) => {
                    for entry in entries {
                        self.remove(
                            &described(kind, &entry),
                            &(kind.remove)(entry[kind.id].as_str().unwrap_or_default()),
                            &mut left,
                        )
                        .await;
                    }
                }
                Err(e) => left.push(format!("{e:#}")),
            }
        }
        // Free before the demo began, so whatever has this name by now is the demo's.
        self.remove("volume of the sample fleet", &format!("/volumes/{}", volume_name()), &mut left).await;
        match self.call(Method::GET, "/images/json").await {
            Ok(answer) => {
                for reference in references(&answer.json(), registry) {
                    self.remove(&format!("image {reference}"), &format!("/images/{reference}?force=1"), &mut left).await;
                }
            }
            Err(e) => left.push(format!("{e:#}")),
        }
        left
    }

    async fn remove(&self, what: &str, path: &str, left: &mut Vec<String>) {
        match self.call(Method::DELETE, path).await {
            Ok(answer) if answer.status < 300 || answer.status == 404 => {}
            Ok(answer) => left.push(format!("{what}: {}", answer.message())),
            Err(e) => left.push(format!("{what}: {e:#}")),
        }
    }
}

fn volume_name() -> String {
    format!("{APP_ID}_{VOLUME}")
}

fn described(kind: &Kind, entry: &Value) -> String {
    let name = entry["Names"][0].as_str().or_else(|| entry["Name"].as_str()).or_else(|| entry[kind.id].as_str());
    format!("{} {}", kind.noun, name.unwrap_or("without a name").trim_start_matches('/'))
}

/// References of images that come from this registry: tags first, since a digest goes with its last tag.
fn references(images: &Value, registry: &str) -> Vec<String> {
    let of = |field: &'static str| {
        let lists = images.as_array().into_iter().flatten().filter_map(move |image| image[field].as_array());
        lists.flatten().filter_map(Value::as_str).filter(|text| text.starts_with(&format!("{registry}/"))).map(str::to_owned)
    };
    of("RepoTags").chain(of("RepoDigests")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_registrys_own_references_go() {
        let images = json!([
            { "RepoTags": ["127.0.0.1:5/a:latest", "alpine:3"], "RepoDigests": ["127.0.0.1:5/a@sha256:1"] },
            { "RepoTags": null, "RepoDigests": ["127.0.0.1:55/b@sha256:2"] },
        ]);
        assert_eq!(references(&images, "127.0.0.1:5"), ["127.0.0.1:5/a:latest", "127.0.0.1:5/a@sha256:1"]);
    }

    #[test]
    fn objects_are_named_for_people() {
        assert_eq!(described(&KINDS[0], &json!({ "Id": "1", "Names": ["/web"] })), "container web");
        assert_eq!(described(&KINDS[2], &json!({ "Name": "1_data" })), "volume 1_data");
    }
}
