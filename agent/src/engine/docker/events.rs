//! The engine's events, reduced to "look again".

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptions;
use futures_util::{StreamExt, stream};

use super::Shared;
use super::recognise::{is_other_supervisor, is_volume_name};
use crate::engine::{EngineEvent, Events, Result};

/// What happens to containers without changing anything the agent looks at; health checks cause most of it.
const NOISE: [&str; 9] = ["exec_create", "exec_start", "exec_die", "exec_detach", "exec", "exec_died", "attach", "resize", "top"];

/// What happens to volumes and images and changes what there is.
const CHANGES: [&str; 9] = ["create", "destroy", "remove", "delete", "pull", "tag", "untag", "load", "import"];

/// Events from now on. The request itself is sent at the first poll, so the engine is asked for everything since this second.
pub(super) async fn events(shared: Arc<Shared>) -> Result<Events> {
    let connected = shared.link.connected().await?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let kinds = ["container", "network", "volume", "image"].map(str::to_owned).to_vec();
    let filters = Some(HashMap::from([("type".to_owned(), kinds)]));
    let raw = connected.client.events(Some(EventsOptions { since: Some(now_s.to_string()), until: None, filters })).boxed();
    let reduced = stream::unfold(Some((raw, shared)), |open| async move {
        let (mut raw, shared) = open?;
        loop {
            match raw.next().await {
                Some(Ok(event)) if shared.note(&event) => return Some((EngineEvent::Changed, Some((raw, shared)))),
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    log::debug!("the stream of engine events broke: {error}");
                    break;
                }
                None => break,
            }
        }
        // Without events nothing that was kept can be trusted, and the engine may come back as another one.
        shared.cache.clear();
        shared.link.forget().await;
        Some((EngineEvent::Closed, None))
    });
    Ok(Box::pin(reduced))
}

impl Shared {
    /// Takes in one event; whether it is worth another look.
    fn note(&self, event: &EventMessage) -> bool {
        let action = event.action.as_deref().unwrap_or_default();
        let action = action.split(':').next().unwrap_or_default();
        let empty = HashMap::new();
        let actor = event.actor.as_ref();
        let about = actor.and_then(|actor| actor.attributes.as_ref()).unwrap_or(&empty);
        let id = actor.and_then(|actor| actor.id.as_deref()).unwrap_or_default();
        let name = about.get("name").map(String::as_str).unwrap_or_default();
        match event.typ {
            Some(EventMessageTypeEnum::CONTAINER) => self.note_container(action, id, name, about),
            Some(EventMessageTypeEnum::NETWORK) => {
                let container = about.get("container");
                container.inspect(|id| self.cache.touch(id));
                // Every start and stop in a built-in network comes here as well.
                !matches!(name, "bridge" | "host" | "none") || container.is_some_and(|id| self.cache.knows(id))
            }
            Some(EventMessageTypeEnum::VOLUME) => CHANGES.contains(&action) && is_volume_name(id),
            Some(EventMessageTypeEnum::IMAGE) => CHANGES.contains(&action),
            _ => false,
        }
    }

    fn note_container(&self, action: &str, id: &str, name: &str, about: &HashMap<String, String>) -> bool {
        if NOISE.contains(&action) {
            return false;
        }
        // A container's labels come along among its event's attributes.
        let image = about.get("image").map(String::as_str).unwrap_or_default();
        let ours = self.scope.is_our_container(about) || self.cache.knows(id);
        if ours {
            self.cache.touch(id);
        }
        ours || is_other_supervisor(name, image)
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    fn shared() -> Shared {
        Shared::new(vec!["unix:///nowhere".parse().unwrap()], None)
    }

    fn event(kind: EventMessageTypeEnum, action: &str, id: &str, about: &[(&str, &str)]) -> EventMessage {
        let attributes = about.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let actor = EventActor { id: Some(id.into()), attributes: Some(attributes) };
        EventMessage { typ: Some(kind), action: Some(action.into()), actor: Some(actor), ..EventMessage::default() }
    }

    #[test]
    fn only_what_concerns_us_wakes() {
        use EventMessageTypeEnum::{CONTAINER, IMAGE, NETWORK, VOLUME};
        let ours: &[(&str, &str)] = &[("io.balena.supervised", "true"), ("name", "main_1_2_x")];
        for (event, wakes) in [
            (event(CONTAINER, "die", "c1", ours), true),
            (event(CONTAINER, "health_status: healthy", "c1", ours), true),
            (event(CONTAINER, "exec_create: wget -q x", "c1", ours), false),
            (event(CONTAINER, "die", "c2", &[("name", "postgres")]), false),
            (event(CONTAINER, "start", "c3", &[("name", "balena_supervisor")]), true),
            (event(NETWORK, "connect", "n1", &[("name", "bridge"), ("container", "c9")]), false),
            (event(NETWORK, "create", "n1", &[("name", "u_default")]), true),
            (event(VOLUME, "destroy", "5_data", &[]), true),
            (event(VOLUME, "mount", "5_data", &[]), false),
            (event(VOLUME, "create", "0a1b2c", &[]), false),
            (event(IMAGE, "delete", "sha256:1", &[]), true),
            (event(IMAGE, "push", "sha256:1", &[]), false),
        ] {
            assert_eq!(shared().note(&event), wakes, "{event:?}");
        }
    }

    #[test]
    fn what_happened_to_a_container_is_looked_at_again() {
        let shared = shared();
        shared.cache.keep_container("c1", 1, shared.cache.now(), None);
        shared.note(&event(EventMessageTypeEnum::NETWORK, "disconnect", "n1", &[("name", "u_x"), ("container", "c1")]));
        assert!(shared.cache.container("c1", 1).is_none());
    }

    #[tokio::test]
    async fn without_an_engine_there_are_no_events() {
        assert!(events(Arc::new(shared())).await.err().is_some_and(|error| error.is_unreachable()));
    }
}
