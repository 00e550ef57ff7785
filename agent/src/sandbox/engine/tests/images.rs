//! Images: pulled, tagged, removed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_plan::current::Image;

use super::{engine, image, quiet, spec};
use crate::engine::{Engine, EngineError, Progress};
use crate::registry::Layer;
use crate::sandbox::engine::Entry;

#[tokio::test(start_paused = true)]
async fn pulls_progress_and_can_be_abandoned() {
    let engine = engine();
    engine.catalogue(|c| c.set(&image("slow"), Entry { duration: Duration::from_secs(10), ..Entry::default() }));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let progress: Progress = {
        let seen = seen.clone();
        Arc::new(move |percent| seen.lock().unwrap().push(percent))
    };
    let reference = image("slow");
    let pull = engine.pull(&reference, None, progress.clone());
    assert!(tokio::time::timeout(Duration::from_secs(5), pull).await.is_err());
    assert_eq!(engine.pulls_running(), 0);
    assert!(engine.snapshot().images.is_empty());
    assert!(seen.lock().unwrap().last().is_some_and(|last| (40..60).contains(last)));
    let pulled = engine.pull(&reference, None, progress).await.unwrap();
    assert_eq!(seen.lock().unwrap().last(), Some(&100));
    assert_eq!(pulled.tags, ["slow:latest"]);
}

#[tokio::test(start_paused = true)]
async fn a_tag_moves_and_a_digest_stays() {
    let engine = engine();
    let (one, two) = (format!("r.io/a@sha256:{}", "1".repeat(64)), format!("r.io/a@sha256:{}", "2".repeat(64)));
    let first = engine.pull(&image(&one), None, quiet()).await.unwrap();
    assert_eq!((first.tags, first.digests), (vec!["r.io/a:latest".to_owned()], vec![one.clone()]));
    let second = engine.pull(&image(&two), None, quiet()).await.unwrap();
    let images = engine.observe().await.unwrap().images;
    let of = |id: &str| images.iter().find(|i| i.id == id).unwrap();
    assert!(of(&first.id).tags.is_empty());
    assert_eq!(of(&first.id).digests, std::slice::from_ref(&one));
    assert_eq!(of(&second.id).tags, ["r.io/a:latest"]);
    let mut wanted = spec("main");
    wanted.image = second.id;
    engine.create_container(&wanted).await.unwrap();
    assert!(matches!(engine.remove_image(&image(&two)).await, Err(EngineError::Conflict { .. })));
    engine.remove_image(&image(&one)).await.unwrap();
    engine.remove_image(&image(&one)).await.unwrap();
    assert_eq!(engine.observe().await.unwrap().images.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn pulls_fail_as_ordered() {
    let engine = engine();
    engine.catalogue(|c| {
        c.set(&image("bad"), Entry { failure: Some("toomanyrequests".into()), ..Entry::default() });
        c.set(&image("mine"), Entry { private: true, ..Entry::default() });
    });
    let fails = |result: Result<_, EngineError>| result.unwrap_err().to_string();
    assert!(fails(engine.pull(&image("bad"), None, quiet()).await).contains("toomanyrequests"));
    assert!(fails(engine.pull(&image("mine"), None, quiet()).await).contains("denied"));
    engine.set_disk_free(Some(1_000_000));
    assert!(fails(engine.pull(&image("big"), None, quiet()).await).contains("no space left"));
    engine.catalogue(|c| c.set_others(None));
    assert!(matches!(engine.pull(&image("gone"), None, quiet()).await, Err(EngineError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_nameless_image_goes_by_its_id_unless_it_is_used() {
    let engine = engine();
    engine.add_image(Image { id: "sha256:nameless".into(), ..Image::default() });
    let mut used = spec("main");
    used.image = "sha256:nameless".into();
    let user = engine.create_container(&used).await.unwrap();
    let error = engine.remove_image_by_id("sha256:nameless").await.unwrap_err();
    assert!(matches!(&error, EngineError::Conflict { message, .. } if message.contains(&user[..12])), "{error}");
    engine.remove_container(&user).await.unwrap();
    engine.remove_image_by_id("sha256:nameless").await.unwrap();
    engine.remove_image_by_id("sha256:nameless").await.unwrap();
    assert!(engine.snapshot().images.is_empty());
    let named = engine.pull(&image("alpine"), None, quiet()).await.unwrap();
    assert!(matches!(engine.remove_image_by_id(&named.id).await, Err(EngineError::Conflict { .. })), "it has a tag and a digest");
}

#[tokio::test(start_paused = true)]
async fn layers_are_those_of_all_images() {
    let engine = engine();
    for (name, layers) in [("a", ["base", "a"]), ("b", ["base", "b"])] {
        let layers = layers.map(|id| Layer { diff_id: id.into(), compressed_bytes: 1 }).to_vec();
        engine.catalogue(|c| c.set(&image(name), Entry { layers, ..Entry::default() }));
        engine.pull(&image(name), None, quiet()).await.unwrap();
    }
    assert_eq!(engine.layers().await.unwrap(), ["a", "b", "base"].map(str::to_owned).into());
}
