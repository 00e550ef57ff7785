//! A flashed device joins its cloud before anything else of the cloud side begins; the rest of the agent does not wait.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::ended;
use crate::cloud::provision::{Ended, PIN_DEVICE, ProvisionLinks, Provisioner};
use crate::cloud::{Arrived, PollLinks, Poller};
use crate::store::{Change, Store};

/// Provisions. When config.json then speaks of another device or cloud, `anew` hears of it.
pub(super) async fn provision(provisioner: Provisioner, links: ProvisionLinks, anew: Arc<Notify>, store: Arc<dyn Store>) {
    let shutdown = links.shutdown.clone();
    match provisioner.run(links).await {
        Ended::Changed => anew.notify_one(),
        Ended::Joined => {
            // The wish was granted, or cannot be. When this is not stored, the next start pins the device once more.
            let granted = Change::Value { name: PIN_DEVICE.to_owned(), value: None };
            if let Err(error) = store.commit(vec![granted]).await {
                log::warn!("it is not stored that this device has joined: {error}");
            }
        }
        Ended::Stopped => {}
    }
    // A part that ends by itself ends the agent.
    ended(shutdown).await;
}

/// What the parts of the cloud side wait at until the device has joined.
#[derive(Clone)]
pub(super) struct Gate {
    pub joined: watch::Receiver<bool>,
    pub shutdown: watch::Receiver<bool>,
}

impl Gate {
    /// Runs a part once the device has joined.
    pub async fn then(mut self, part: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = ended(self.shutdown) => return,
            () = opened(&mut self.joined) => {}
        }
        part.await;
    }

    /// Polls once the device has joined. Who asks for a poll before that asks for haste; what else they ask does not depend
    /// on the cloud and is passed on.
    pub async fn then_poll(mut self, poller: Poller, mut links: PollLinks, hurry: Arc<Notify>, source: String) {
        loop {
            tokio::select! {
                biased;
                () = ended(self.shutdown.clone()) => return,
                () = opened(&mut self.joined) => break,
                asked = links.now.recv() => {
                    hurry.notify_one();
                    let news = Arrived { target: None, source: source.clone(), asked };
                    if news.asked.is_none() || links.arrived.send(news).await.is_err() {
                        return;
                    }
                }
            }
        }
        poller.run(links).await;
    }
}

/// Ends when the device has joined; never when it cannot any more.
async fn opened(joined: &mut watch::Receiver<bool>) {
    if joined.wait_for(|joined| *joined).await.is_err() {
        std::future::pending::<()>().await;
    }
}
