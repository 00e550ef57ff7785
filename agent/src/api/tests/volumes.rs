//! The content of volumes and their end, on the simulated engine.

use futures_util::TryStreamExt;
use holdfast_plan::current::{Image, Volume};
use holdfast_plan::policy::Policy;
use holdfast_plan::target::VolumeSpec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pictures::settled;
use super::*;
use crate::engine::Content;
use crate::sandbox::engine::SimEngine;
use crate::sandbox::registry::{File, pack};

fn archive(text: &str) -> Vec<u8> {
    pack(&[File { path: "./file".into(), mode: 0o644, content: text.into() }])
}

/// An engine with a volume of an app that wants none.
async fn engine() -> SimEngine {
    let engine = SimEngine::new(fastrand::Rng::with_seed(7), Arc::new(FixedClock));
    let labels = [("io.balena.supervised".to_owned(), "true".to_owned())].into();
    engine.add_volume(Volume { name: "5_data".into(), spec: VolumeSpec::default(), labels, created_ms: None });
    engine.add_image(Image { id: "sha256:any".into(), ..Image::default() });
    let content: Content = Box::pin(futures_util::stream::iter([Ok(archive("precious").into())]));
    engine.write_volume("5_data", "sha256:any", content).await.unwrap();
    engine
}

async fn content(engine: &SimEngine) -> Vec<u8> {
    let pieces: Vec<bytes::Bytes> = engine.read_volume("5_data", "").await.unwrap().try_collect().await.unwrap();
    pieces.concat()
}

fn given(engine: &SimEngine) -> Given {
    let mut view = settled();
    Arc::make_mut(&mut view.current).engine = engine.snapshot();
    Given { view, engine: Arc::new(engine.clone()), ..Given::default() }
}

/// Asks to have the volume filled; what comes back, status and text.
async fn restore(served: &Served, headers: &str, body: &[u8]) -> (u16, String) {
    let mut stream = tokio::net::UnixStream::connect(&served.socket).await.unwrap();
    let head = format!("PUT /v3/volumes/5_data/archive HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

#[tokio::test]
async fn what_is_no_archive_leaves_the_volume_as_it_was() {
    let engine = engine().await;
    let mut served = given(&engine).serve().await;
    // In the loop's place: whoever asks has the volume.
    let mut requests = std::mem::replace(&mut served.requests, mpsc::channel(1).1);
    let asked = Arc::new(AtomicI64::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        let mut granted = Vec::new();
        while let Some(Request::Hold(request)) = requests.recv().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            granted.push(request.grant());
        }
    });
    let gzip = [&[0x1f, 0x8b, 8, 0][..], &[0x5a; 2000]].concat();
    let cut = &archive("new")[..300];
    let length = |body: &[u8]| format!("content-length: {}\r\n", body.len());
    for (headers, body, held) in [
        ("content-length: 0\r\n".to_owned(), &b""[..], 0),
        ("transfer-encoding: chunked\r\n".to_owned(), b"0\r\n\r\n", 1),
        ("transfer-encoding: chunked\r\n".to_owned(), b"no number\r\n", 2),
        (length(&gzip), &gzip, 3),
        (length(cut), cut, 4),
    ] {
        let (status, answer) = restore(&served, &headers, body).await;
        assert!(status == 422 && answer.contains("volume 5_data is as it was: "), "{headers}: {answer}");
        assert_eq!(content(&engine).await, archive("precious"), "{headers}");
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), held, "{headers}");
    }
    let new = archive("new");
    let (status, answer) = restore(&served, &length(&new), &new).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(content(&engine).await, new);
}

#[tokio::test]
async fn an_agent_that_watches_removes_no_volume() {
    let engine = engine().await;
    let mut watching = given(&engine);
    watching.view.policy = Arc::new(Policy { watch_only: Some("balena_supervisor runs".into()), ..Policy::default() });
    let (status, message) = watching.serve().await.refused("GET", "/v2/cleanup-volumes", "").await;
    assert_eq!((status, message.as_str()), (503, "nothing is removed: balena_supervisor runs"));
    let served = given(&engine).serve().await;
    // It was started since the loop looked.
    engine.set_other_supervisor(Some("balena_supervisor"));
    let (status, message) = served.refused("GET", "/v2/cleanup-volumes", "").await;
    assert!(status == 503 && message.contains("balena_supervisor runs on this engine"), "{message}");
    assert_eq!(engine.snapshot().volumes.len(), 1);
    engine.set_other_supervisor(None);
    served.get("/v2/cleanup-volumes").await;
    assert!(engine.snapshot().volumes.is_empty(), "nothing uses it and nothing wants it");
}
