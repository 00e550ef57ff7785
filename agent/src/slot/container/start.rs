//! How the agent finds itself in the engine, and leaves its replacement to a helper.

use serde_json::{Map, Value, json};

use super::super::error::SlotError;
use super::call::EngineLink;
use super::copy::helper_of;
use super::stage::Called;
use super::{CLOUD, IMAGE, NAME, OF, RESTART, SCHEMA, WISH};

/// What a helper has to know.
#[derive(Clone, Debug)]
pub struct Helper {
    /// The new image; the engine has it.
    pub image: String,
    /// Schema version of the database before.
    pub schema: u32,
    /// Whether the cloud has to be reached.
    pub cloud: bool,
    /// What stands for the device variables that ask for it.
    pub wish: Option<String>,
}

/// The container this process is in, as its engine shows it.
///
/// # Errors
/// When it is in none of this engine's, or the engine does not answer.
pub async fn own_container(link: &EngineLink) -> Result<Value, SlotError> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let nowhere = || SlotError::of("self-update", "this agent is no container of its engine, so it has no image to be replaced");
    let id = id_in(&mounts).ok_or_else(nowhere)?;
    link.get(&format!("/containers/{id}/json")).await?.ok_or_else(nowhere)
}

/// Whether an agent's container is not judged yet: a helper of its own is at work.
pub fn is_new(own: &Value) -> bool {
    own["Name"].as_str().is_some_and(|name| name.ends_with(&Called::New.name("")))
}

/// The id in the path of a file that an engine mounts into each of its containers.
fn id_in(mounts: &str) -> Option<String> {
    let own = mounts.lines().filter(|line| {
        let target = line.split(' ').nth(4);
        ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].iter().any(|file| target == Some(*file))
    });
    let id = |part: &&str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    own.filter_map(|line| line.split(' ').nth(3)?.split('/').find(id)).map(str::to_owned).next()
}

/// Starts a helper that replaces this container. It stops the agent when it is time.
///
/// # Errors
/// What the engine answered; nothing changed then.
pub async fn start_helper(link: &EngineLink, own: &Value, helper: &Helper) -> Result<(), SlotError> {
    let (id, name) = (own["Id"].as_str().unwrap_or_default(), own["Name"].as_str().unwrap_or_default().trim_start_matches('/'));
    let helper_name = format!("{name}-update");
    let new = link.get(&format!("/images/{}/json", helper.image)).await?.unwrap_or_default();
    let earlier = link.get(&format!("/containers/{helper_name}/json")).await?;
    let policy = match &earlier {
        Some(earlier) => before_any_helper(link, earlier, own).await?,
        None => own["HostConfig"]["RestartPolicy"].clone(),
    };
    let program = std::env::current_exe().map_err(|error| SlotError::of("self-update", error))?;
    let labels = Map::from_iter([
        (OF.to_owned(), json!(id)),
        (NAME.to_owned(), json!(name)),
        (IMAGE.to_owned(), json!(helper.image)),
        (RESTART.to_owned(), json!(policy.to_string())),
        (SCHEMA.to_owned(), json!(helper.schema.to_string())),
        (CLOUD.to_owned(), json!(helper.cloud.to_string())),
        (WISH.to_owned(), json!(helper.wish.clone().unwrap_or_default())),
    ]);
    // What an earlier one left: itself, the agent that failed or was replaced, and their images, unless they are of use.
    let agents = [Called::Failed, Called::New, Called::Old].map(|called| called.name(name));
    for left in [helper_name.clone()].iter().chain(&agents) {
        let image = link.get(&format!("/containers/{left}/json")).await?.map(|left| left["Image"].clone());
        // What the one that was replaced has may be in use.
        link.remove(left, *left != agents[2]).await?;
        if let Some(Value::String(image)) = image.filter(|image| *image != own["Image"] && *image != new["Id"]) {
            link.remove_image(&image).await;
        }
    }
    if earlier.is_some() {
        // It may have been at this very change when it was removed.
        link.set_restart(id, &policy).await?;
    }
    let request = helper_of(own, &program.to_string_lossy(), labels);
    let made = link.post(&format!("/containers/create?name={helper_name}"), Some(&request)).await?;
    let made = made.as_ref().and_then(|made| made["Id"].as_str()).unwrap_or(&helper_name);
    link.start(made).await
}

/// When the engine starts this agent by itself, as it was before an earlier helper, which is held up and may be removed then.
///
/// # Errors
/// When that helper has begun to stop this agent: without it nobody would start any agent again.
async fn before_any_helper(link: &EngineLink, earlier: &Value, own: &Value) -> Result<Value, SlotError> {
    let labels = &earlier["Config"]["Labels"];
    let (own_id, id) = (own["Id"].as_str().unwrap_or_default(), earlier["Id"].as_str().unwrap_or_default());
    if labels[OF] != own["Id"] {
        return Ok(own["HostConfig"]["RestartPolicy"].clone());
    }
    // One that does not run cannot be paused, and need not be.
    let paused = link.post(&format!("/containers/{id}/pause"), None).await.is_ok_and(|done| done.is_some());
    let now = link.get(&format!("/containers/{own_id}/json")).await;
    let now = now.map(|now| now.unwrap_or_default()["HostConfig"]["RestartPolicy"].clone());
    let before: Value = labels[RESTART].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let begun = now.as_ref().is_ok_and(|now| now["Name"] == "no" && before["Name"] != "no");
    if paused && (begun || now.is_err()) {
        link.post(&format!("/containers/{id}/unpause"), None).await?;
        now?;
        return Err(SlotError::of(
            "self-update",
            "an earlier helper is about to stop this agent; what becomes of that is seen then",
        ));
    }
    if begun { Ok(before) } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_is_not_judged_yet_is_told_by_its_name() {
        let named = |name: &str| is_new(&json!({ "Name": name }));
        assert!(named("/holdfast-new-agent"));
        assert!(!named("/holdfast") && !named("/holdfast-old-agent") && !is_new(&json!({})));
    }

    #[test]
    fn a_container_is_told_by_what_its_engine_mounts() {
        let id = "0f".repeat(32);
        let docker = format!("1 2 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/sda rw\n");
        let podman = format!("1 2 0:1 /containers/storage/overlay-containers/{id}/userdata/hosts /etc/hosts rw - tmpfs t rw\n");
        let layer = format!("1 2 0:1 / / rw - overlay overlay rw,lowerdir=/x/{id}/fs\n");
        let volume = format!("1 2 8:1 /volumes/{id}/_data /data rw - ext4 /dev/sda rw\n");
        assert_eq!((id_in(&docker), id_in(&podman)), (Some(id.clone()), Some(id)));
        assert_eq!((id_in(&layer), id_in(&volume), id_in("")), (None, None, None));
    }
}
