//! Which clients are connected, and whose connection is closed when there are too many.
//!
//! Nobody is kept out by those who only hold connections: room is made by closing the one that has waited longest for its
//! next request or for its body, of the address that has most of them. A known client's request is never broken off once it
//! is there as a whole.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinSet};

/// What a connection is at.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// Its client has shown a key that is known, or came through the unix socket.
    known: AtomicBool,
    /// Requests under way: one, or none.
    requests: AtomicUsize,
    /// The request's body is still on its way: nothing has been done yet.
    receiving: AtomicBool,
    /// Some of an answer waits until the client takes it.
    writing: AtomicBool,
    freed: Arc<Notify>,
}

impl Presence {
    /// A request begins; it ends when what is returned is dropped, with the last of its answer.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.receiving.store(false, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// Whether the client of the latest request is known.
    pub fn know(&self, known: bool) {
        self.known.store(known, Ordering::Relaxed);
    }

    /// Whether a request's body is still on its way.
    pub fn receiving(&self, waits: bool) {
        if !self.receiving.swap(waits, Ordering::Relaxed) && waits {
            self.freed.notify_one();
        }
    }

    /// Whether an answer waits for its client.
    pub fn writing(&self, waits: bool) {
        if self.writing.swap(waits, Ordering::Relaxed) && !waits {
            self.freed.notify_one();
        }
    }

    /// Strangers may be sent away at any time: all they can ask for is a word or two.
    fn may_be_closed(&self) -> bool {
        let idle = self.requests.load(Ordering::Relaxed) == 0 && !self.writing.load(Ordering::Relaxed);
        idle || self.receiving.load(Ordering::Relaxed) || !self.known.load(Ordering::Relaxed)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Presence>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

struct Row {
    id: Id,
    abort: AbortHandle,
    presence: Arc<Presence>,
    remote: Option<IpAddr>,
}

/// The connections of one listener, or of several that share their room.
pub(super) struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first.
    rows: Vec<Row>,
    most: usize,
    freed: Arc<Notify>,
}

impl Connections {
    pub fn new(most: usize) -> Connections {
        Connections { tasks: JoinSet::new(), rows: Vec::new(), most, freed: Arc::default() }
    }

    /// Whether one more can be taken, at the expense of another if need be.
    pub fn have_room(&self) -> bool {
        self.rows.len() < self.most || self.rows.iter().any(|row| row.presence.may_be_closed())
    }

    /// Waits until one of them ends or comes to rest; never while there are none.
    pub async fn changed(&mut self) {
        tokio::select! {
            Some(ended) = self.tasks.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                self.rows.retain(|row| row.id != id);
            }
            () = self.freed.notified() => {}
        }
    }

    /// Makes room for one from this address; `None` when it has too many already and all of them are busy. One address gets
    /// half of the room at most, so that it cannot keep the others out with requests that take long.
    pub fn admit(&mut self, remote: Option<IpAddr>) -> Option<Arc<Presence>> {
        let from = |row: &Row, remote| row.remote == remote;
        let remote = remote.map(network);
        let own = self.rows.iter().filter(|row| from(row, remote)).count();
        if remote.is_some() && own >= self.most.div_ceil(2) {
            self.close(|row| from(row, remote))?;
        } else if self.rows.len() >= self.most {
            let crowd = |row: &Row| self.rows.iter().filter(|other| other.remote == row.remote).count();
            let largest = self.rows.iter().filter(|row| row.presence.may_be_closed()).map(crowd).max()?;
            let crowded = self.rows.iter().find(|row| row.presence.may_be_closed() && crowd(row) == largest)?.id;
            self.close(|row| row.id == crowded)?;
        }
        Some(Arc::new(Presence { freed: self.freed.clone(), ..Presence::default() }))
    }

    /// Closes the oldest of these that may be closed.
    fn close(&mut self, which: impl Fn(&Row) -> bool) -> Option<()> {
        let at = self.rows.iter().position(|row| which(row) && row.presence.may_be_closed())?;
        self.rows.remove(at).abort.abort();
        Some(())
    }

    /// Serves one that was admitted.
    pub fn spawn(&mut self, remote: Option<IpAddr>, presence: Arc<Presence>, serving: impl Future<Output = ()> + Send + 'static) {
        let abort = self.tasks.spawn(serving);
        self.rows.push(Row { id: abort.id(), abort, presence, remote: remote.map(network) });
    }

    /// Lets all of them end within a time; returns how many did not.
    pub async fn drain(mut self, time: Duration) -> usize {
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        match tokio::time::timeout(time, ended).await {
            Ok(()) => 0,
            Err(_) => self.tasks.len(),
        }
    }
}

/// What counts as one address: of version 6, whoever has one has the 2^64 beside it.
fn network(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        version_4 => version_4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));
    const B: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));
    const C: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3)));

    /// Connects, and says whether there was room.
    fn connect(connections: &mut Connections, remote: Option<IpAddr>) -> Option<Arc<Presence>> {
        let presence = connections.admit(remote)?;
        connections.spawn(remote, presence.clone(), std::future::pending());
        Some(presence)
    }

    fn remotes(connections: &Connections) -> Vec<Option<IpAddr>> {
        connections.rows.iter().map(|row| row.remote).collect()
    }

    #[tokio::test]
    async fn who_waits_longest_makes_room_first_and_who_is_served_never() {
        let mut connections = Connections::new(2);
        let first = connect(&mut connections, None).unwrap();
        first.know(true);
        let request = first.begin();
        let second = connect(&mut connections, None).unwrap();
        let third = connect(&mut connections, None).unwrap();
        assert!(connections.rows.iter().any(|row| Arc::ptr_eq(&row.presence, &first)), "it is being served");
        assert!(!connections.rows.iter().any(|row| Arc::ptr_eq(&row.presence, &second)));
        third.know(true);
        third.writing(true);
        assert!(!connections.have_room() && connections.admit(None).is_none(), "both are busy");
        drop(request);
        assert!(connections.have_room());
        let _request = first.begin();
        assert!(!connections.have_room());
        first.receiving(true);
        assert!(connections.have_room(), "what has not come yet cannot be broken off");
        connections.changed().await;
        assert!(connect(&mut connections, None).is_some());
    }

    #[tokio::test]
    async fn a_flood_from_one_address_closes_its_own() {
        let mut connections = Connections::new(6);
        connect(&mut connections, B).unwrap();
        connect(&mut connections, C).unwrap();
        for _ in 0..1000 {
            connect(&mut connections, A).unwrap();
        }
        assert_eq!(remotes(&connections), [B, C, A, A, A]);
        connect(&mut connections, B).unwrap();
        connect(&mut connections, C).unwrap();
        assert_eq!(remotes(&connections), [B, C, A, A, B, C], "the one that has most gives way");
    }

    #[tokio::test]
    async fn one_address_that_is_served_all_the_time_gets_half() {
        let mut connections = Connections::new(4);
        let mut requests = Vec::new();
        for _ in 0..2 {
            let presence = connect(&mut connections, A).unwrap();
            presence.know(true);
            requests.push(presence.begin());
        }
        assert!(connect(&mut connections, A).is_none());
        assert!(connect(&mut connections, B).is_some());
    }

    #[tokio::test]
    async fn a_stranger_who_does_not_read_is_sent_away() {
        let mut connections = Connections::new(1);
        let stranger = connect(&mut connections, A).unwrap();
        stranger.writing(true);
        let _request = stranger.begin();
        assert!(connections.have_room() && connect(&mut connections, B).is_some());
        assert_eq!(remotes(&connections), [B]);
    }

    #[test]
    fn addresses_that_one_machine_has() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!((of("10.0.0.7").as_str(), of("::ffff:10.0.0.7").as_str()), ("10.0.0.7", "10.0.0.7"));
        assert_eq!(of("fd00:1:2:3:4:5:6:7"), "fd00:1:2:3::");
    }
}
