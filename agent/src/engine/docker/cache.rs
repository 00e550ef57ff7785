//! What earlier looks at the engine found, so that a look where nothing changed costs four lists and no inspection.
//!
//! A kept container is used again only while its entry in the engine's list is the same and nothing is known to have
//! happened to it since it was inspected. Everything here follows from the engine and may be forgotten at any time.

use std::collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard::models::ContainerSummary;
use holdfast_plan::container::ImageConfig;
use holdfast_plan::current::Container;

/// Most containers with news between two looks; beyond that everything is forgotten instead of listed.
const MOST_TOUCHED: usize = 1024;

/// A point in the order of what the cache was told. Not a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// What is kept between looks.
#[derive(Default)]
pub(super) struct Cache {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    now: Moment,
    /// Findings from before this are not taken in any more.
    cleared: Moment,
    containers: BTreeMap<String, Kept>,
    touched: BTreeMap<String, Moment>,
    images: BTreeMap<String, Arc<ImageConfig>>,
}

struct Kept {
    fingerprint: u64,
    found: Moment,
    /// `None` for a container that cannot be one of ours although its labels say so.
    container: Option<Container>,
}

impl Inner {
    fn tick(&mut self) -> Moment {
        self.now.0 += 1;
        self.now
    }

    fn clear(&mut self) {
        self.cleared = self.tick();
        self.containers.clear();
        self.touched.clear();
        self.images.clear();
    }
}

impl Cache {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change below leaves the content whole, so a panic elsewhere is no reason to stop.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything, also what is being looked up right now.
    pub fn clear(&self) {
        self.inner().clear();
    }

    /// Something happened to a container: the next look inspects it.
    pub fn touch(&self, id: &str) {
        let mut inner = self.inner();
        let now = inner.tick();
        inner.touched.insert(id.to_owned(), now);
        if inner.touched.len() > MOST_TOUCHED {
            inner.clear();
        }
    }

    /// Whether a container was there in the last look.
    pub fn knows(&self, id: &str) -> bool {
        self.inner().containers.contains_key(id)
    }

    /// The moment before a lookup begins; what is found is only as fresh as that.
    pub fn now(&self) -> Moment {
        self.inner().now
    }

    /// What is known of a container with this fingerprint; the outer `None` means that it has to be inspected.
    pub fn container(&self, id: &str, fingerprint: u64) -> Option<Option<Container>> {
        let inner = self.inner();
        let kept = inner.containers.get(id)?;
        let stale = inner.touched.get(id).is_some_and(|touched| *touched > kept.found);
        (!stale && kept.fingerprint == fingerprint).then(|| kept.container.clone())
    }

    /// Keeps the result of an inspection that began at `found`.
    pub fn keep_container(&self, id: &str, fingerprint: u64, found: Moment, container: Option<Container>) {
        let mut inner = self.inner();
        if found >= inner.cleared {
            inner.containers.insert(id.to_owned(), Kept { fingerprint, found, container });
        }
    }

    /// How long a known container has to stop, seconds.
    pub fn stop_grace_period_s(&self, id: &str) -> Option<i64> {
        let inner = self.inner();
        inner.containers.get(id)?.container.as_ref().map(|container| container.spec.options.stop_grace_period_s)
    }

    /// The defaults of an image. They never change: an image's id is the digest of its configuration.
    pub fn image(&self, id: &str) -> Option<Arc<ImageConfig>> {
        self.inner().images.get(id).cloned()
    }

    /// Keeps the defaults of an image.
    pub fn keep_image(&self, id: &str, config: Arc<ImageConfig>) {
        self.inner().images.insert(id.to_owned(), config);
    }

    /// Drops everything that belongs to containers which are gone.
    pub fn retain(&self, containers: &BTreeSet<&str>, images: &BTreeSet<&str>) {
        let mut inner = self.inner();
        inner.containers.retain(|id, _| containers.contains(id.as_str()));
        inner.touched.retain(|id, _| containers.contains(id.as_str()));
        inner.images.retain(|id, _| images.contains(id.as_str()));
    }
}

/// What of a list entry tells that the container changed. The age in its status is left out: it grows by itself.
pub(super) fn fingerprint(entry: &ContainerSummary) -> u64 {
    let mut hasher = DefaultHasher::new();
    entry.names.hash(&mut hasher);
    entry.image_id.hash(&mut hasher);
    entry.state.map(|state| state.to_string()).hash(&mut hasher);
    without_age(entry.status.as_deref().unwrap_or_default()).hash(&mut hasher);
    let networks = entry.network_settings.iter().flat_map(|settings| settings.networks.iter().flatten());
    networks.map(|(name, at)| (name, &at.network_id, &at.ip_address)).collect::<BTreeSet<_>>().hash(&mut hasher);
    entry.labels.iter().flatten().collect::<BTreeSet<_>>().hash(&mut hasher);
    hasher.finish()
}

/// `Up 3 minutes (healthy)` without the minutes: the first word and what stands in parentheses.
fn without_age(status: &str) -> Vec<&str> {
    let first = status.split(' ').next();
    let parts = status.split('(').skip(1).filter_map(|part| part.split_once(')').map(|(inside, _)| inside));
    first.into_iter().chain(parts).collect()
}

#[cfg(test)]
mod tests {
    use holdfast_plan::current::ContainerState;

    use super::*;

    fn container(id: &str) -> Container {
        Container {
            id: id.into(),
            app_id: 1,
            app_uuid: None,
            service: "main".into(),
            service_id: None,
            commit: String::new(),
            release_id: None,
            cloud_image_id: None,
            handing_over: false,
            image_id: "sha256:1".into(),
            created_ms: 0,
            started_ms: None,
            finished_ms: None,
            state: ContainerState::Running,
            exit_code: 0,
            error: String::new(),
            health: None,
            restart_count: 0,
            spec: Arc::default(),
            image_config: None,
        }
    }

    #[test]
    fn a_kept_container_serves_until_it_changes() {
        let cache = Cache::default();
        cache.keep_container("a", 1, cache.now(), Some(container("a")));
        assert!(cache.container("a", 1).is_some() && cache.knows("a"));
        assert!(cache.container("a", 2).is_none());
        cache.touch("a");
        assert!(cache.container("a", 1).is_none());
    }

    #[test]
    fn news_during_an_inspection_are_not_lost() {
        let cache = Cache::default();
        let before = cache.now();
        cache.touch("a");
        cache.keep_container("a", 1, before, Some(container("a")));
        assert!(cache.container("a", 1).is_none());
        cache.keep_container("a", 1, cache.now(), Some(container("a")));
        assert!(cache.container("a", 1).is_some());
    }

    #[test]
    fn nothing_comes_back_after_clearing() {
        let cache = Cache::default();
        let before = cache.now();
        cache.clear();
        cache.keep_container("a", 1, before, Some(container("a")));
        assert!(cache.container("a", 1).is_none());
    }

    #[test]
    fn what_is_gone_is_dropped_and_news_are_bounded() {
        let cache = Cache::default();
        cache.keep_image("sha256:1", Arc::default());
        cache.keep_container("a", 1, cache.now(), None);
        for number in 0..=MOST_TOUCHED {
            cache.touch(&number.to_string());
        }
        assert!(cache.inner().touched.len() <= MOST_TOUCHED && !cache.knows("a"));
        cache.keep_container("a", 1, cache.now(), None);
        cache.keep_image("sha256:1", Arc::default());
        cache.touch("b");
        cache.retain(&BTreeSet::new(), &BTreeSet::new());
        let inner = cache.inner();
        assert!(inner.containers.is_empty() && inner.images.is_empty() && inner.touched.is_empty());
    }

    #[test]
    fn ages_do_not_count_as_change() {
        let status = |text: &str| fingerprint(&ContainerSummary { status: Some(text.into()), ..ContainerSummary::default() });
        assert_eq!(status("Up 3 minutes (healthy)"), status("Up About an hour (healthy)"));
        assert_ne!(status("Up 3 minutes (healthy)"), status("Up 3 minutes (unhealthy)"));
        assert_ne!(status("Exited (0) 3 minutes ago"), status("Exited (1) 3 minutes ago"));
        assert_ne!(status("Up 3 minutes"), status("Up 3 minutes (Paused)"));
    }
}
