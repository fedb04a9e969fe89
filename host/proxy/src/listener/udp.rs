//! [`UdpListener`]: clients' datagrams, by where they come from.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use drawspan_modules::Addr;
use drawspan_wire::socks::Address;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::tcp::{classify, locate};
use super::{AcceptError, Accepted, BindError, Transport};
use crate::net::{Datagrams, Udp, eof};

/// Bytes that wait to be passed on, of all clients together; datagrams beyond are dropped. Senders' addresses can be forged,
/// so that what is allowed to each of them bounds nothing.
const ROOM: usize = 64 << 20;

/// What a [`UdpListener`] does with clients (GOST reference, config 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpSettings {
    /// `keepalive`: a session goes on after all of its datagrams were answered.
    pub keepalive: bool,
    /// `ttl`: how long a session may be silent.
    pub ttl: Duration,
    /// `readQueueSize`: datagrams of a client that wait to be passed on; more are dropped.
    pub read_queue: usize,
    /// `backlog`: sessions that wait to be admitted; datagrams of more clients are dropped.
    pub backlog: usize,
}

/// Receives datagrams; those of one client are a session.
#[derive(Debug)]
pub struct UdpListener {
    inbox: Inbox,
    local: SocketAddr,
    hub: Arc<Hub>,
}

/// Where datagrams come from.
#[derive(Debug)]
enum Inbox {
    Socket(Arc<Udp>),
    /// A task passes them between a connection and the sessions.
    Frames {
        accepted: tokio::sync::Mutex<mpsc::Receiver<UdpSession>>,
        _pump: AbortOnDropHandle<()>,
    },
}

/// Where answers go to.
#[derive(Debug, Clone)]
enum Outbox {
    Socket(Arc<Udp>),
    Frames(mpsc::Sender<(Bytes, SocketAddr)>),
}

/// The sessions that there are, and what may wait for them.
#[derive(Debug)]
struct Hub {
    settings: UdpSettings,
    sessions: Mutex<HashMap<SocketAddr, Queue>>,
    backlog: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// A datagram that waits, and the room that it takes.
type Waiting = (Bytes, OwnedSemaphorePermit);

/// What was received for a session.
#[derive(Debug)]
struct Queue {
    datagrams: mpsc::Sender<Waiting>,
    has_overflowed: bool,
}

/// A client's datagrams. It ends when it is dropped; another one from there begins a new one.
#[derive(Debug)]
pub struct UdpSession {
    received: Received,
    replies: Replies,
    waiting: Option<OwnedSemaphorePermit>,
}

/// A client's datagrams to us.
#[derive(Debug)]
pub(crate) struct Received(mpsc::Receiver<Waiting>);

/// Our datagrams to a client.
#[derive(Debug)]
pub(crate) struct Replies {
    outbox: Outbox,
    client: SocketAddr,
    hub: Arc<Hub>,
    /// Its place among the sessions may be another's.
    is_retired: AtomicBool,
}

impl UdpListener {
    /// Receives at `address`, written as for [`TcpListener::bind`](super::TcpListener::bind).
    ///
    /// # Errors
    /// If that is impossible.
    pub async fn bind(address: &str, settings: UdpSettings) -> Result<Self, BindError> {
        let open = |address| {
            let socket = Udp::open(address, |_| Ok(()))?;
            let local = socket.local_addr()?;
            Ok((socket, local))
        };
        let (socket, local) = locate(address).await?.bind(open)?;
        Ok(Self { inbox: Inbox::Socket(Arc::new(socket)), local, hub: Arc::new(Hub::new(settings)) })
    }

    /// Receives what somebody else receives at `local`, and passes on in `datagrams`.
    pub(crate) fn over(datagrams: Datagrams, local: SocketAddr, settings: UdpSettings) -> Self {
        let hub = Arc::new(Hub::new(settings));
        let (arrived, accepted) = mpsc::channel(settings.backlog);
        let pump = tokio::spawn(pump(datagrams, Arc::clone(&hub), arrived));
        let inbox = Inbox::Frames { accepted: accepted.into(), _pump: AbortOnDropHandle::new(pump) };
        Self { inbox, local, hub }
    }

    /// The address that is received at, with the port that the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits for a client that has no session yet. On a socket of our own, meanwhile, and only then, others get their
    /// datagrams. Dropping the future loses none.
    ///
    /// # Errors
    /// As [`Listener::accept`](super::Listener::accept).
    pub async fn accept(&self) -> Result<Accepted, AcceptError> {
        let session = match &self.inbox {
            Inbox::Socket(socket) => {
                let outbox = Outbox::Socket(Arc::clone(socket));
                socket.receive(|data, client| self.hub.deliver(data, client, &outbox)).await.map_err(classify)?
            }
            Inbox::Frames { accepted, .. } => {
                let session = accepted.lock().await.recv().await;
                session.ok_or_else(|| AcceptError::Temporary(eof()))?
            }
        };
        let client = Addr::from(session.replies.client);
        Ok(Accepted { transport: Transport::Udp(session), client, local: self.local.into() })
    }
}

/// Passes datagrams between those that come in a connection and the sessions, until it ends.
async fn pump(mut datagrams: Datagrams, hub: Arc<Hub>, arrived: mpsc::Sender<UdpSession>) {
    let (answers, mut answered) = mpsc::channel(hub.settings.read_queue);
    let outbox = Outbox::Frames(answers);
    let (mut receiver, sender) = datagrams.split();
    let receiving = async {
        let mut data = Vec::new();
        loop {
            let (client, _) = receiver.receive(&mut data).await?;
            let Address::Ip(client) = client else { continue };
            if let Some(session) = hub.deliver(&data, client, &outbox)
                && arrived.send(session).await.is_err()
            {
                return Ok(());
            }
        }
    };
    let sending = async {
        while let Some((data, client)) = answered.recv().await {
            sender.send(&client.into(), &data).await?;
        }
        Ok(())
    };
    let outcome: io::Result<()> = tokio::select! {
        outcome = receiving => outcome,
        outcome = sending => outcome,
    };
    if let Err(error) = outcome {
        tracing::debug!("datagrams from elsewhere: {error}");
    }
}

impl Hub {
    fn new(settings: UdpSettings) -> Self {
        let (backlog, room) = (Semaphore::new(settings.backlog), Semaphore::new(ROOM));
        Self { settings, sessions: Mutex::default(), backlog: Arc::new(backlog), room: Arc::new(room) }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SocketAddr, Queue>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a datagram into its session's queue; the session, if there was none.
    fn deliver(self: &Arc<Self>, data: &[u8], client: SocketAddr, outbox: &Outbox) -> Option<UdpSession> {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(length) else {
            tracing::debug!("a datagram of {client} is dropped: {ROOM} bytes wait already");
            return None;
        };
        let data = (Bytes::copy_from_slice(data), room);
        let mut sessions = self.sessions();
        if let Some(queue) = sessions.get_mut(&client) {
            if queue.datagrams.try_send(data).is_err() && !std::mem::replace(&mut queue.has_overflowed, true) {
                let length = self.settings.read_queue;
                tracing::warn!(
                    "{client} sends faster than its datagrams are passed on: beyond {length} they are dropped"
                );
            }
            return None;
        }
        let Ok(waiting) = Arc::clone(&self.backlog).try_acquire_owned() else {
            tracing::debug!("a datagram of {client} is dropped: {} clients wait already", self.settings.backlog);
            return None;
        };
        let (queue, received) = mpsc::channel(self.settings.read_queue);
        // There is room: the queue is new.
        let _ = queue.try_send(data);
        sessions.insert(client, Queue { datagrams: queue, has_overflowed: false });
        let replies =
            Replies { outbox: outbox.clone(), client, hub: Arc::clone(self), is_retired: AtomicBool::new(false) };
        Some(UdpSession { received: Received(received), replies, waiting: Some(waiting) })
    }
}

/// Its sessions go on to what they have received, and no further.
impl Drop for UdpListener {
    fn drop(&mut self) {
        self.hub.sessions().clear();
    }
}

impl UdpSession {
    /// No more one of those that wait.
    pub(crate) fn admitted(&mut self) {
        self.waiting = None;
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.replies.hub.settings.ttl
    }

    /// Both directions, for use at the same time.
    pub(crate) fn split(&mut self) -> (&mut Received, &Replies) {
        (&mut self.received, &self.replies)
    }
}

impl Received {
    /// The next datagram; `None` when no more can come. Dropping the future loses none.
    pub(crate) async fn receive(&mut self) -> Option<Bytes> {
        self.0.recv().await.map(|(data, _room)| data)
    }
}

impl Replies {
    pub(crate) async fn send(&self, data: &[u8]) {
        match &self.outbox {
            Outbox::Socket(socket) => socket.send(data, self.client).await,
            // When nobody takes it any more it is lost, as datagrams are.
            Outbox::Frames(frames) => drop(frames.send((Bytes::copy_from_slice(data), self.client)).await),
        }
    }

    /// From now on, datagrams from there begin another session.
    pub(crate) fn retire(&self) {
        if !self.is_retired.swap(true, Relaxed) {
            self.hub.sessions().remove(&self.client);
        }
    }

    /// Whether the session goes on when nothing is to be answered.
    pub(crate) fn is_kept_alive(&self) -> bool {
        self.hub.settings.keepalive
    }
}

impl Drop for UdpSession {
    fn drop(&mut self) {
        self.replies.retire();
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    const SETTINGS: UdpSettings =
        UdpSettings { keepalive: true, ttl: Duration::from_secs(5), read_queue: 2, backlog: 1 };

    async fn client(of: &UdpListener) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(of.local_addr()).await.unwrap();
        socket
    }

    async fn accept(listener: &UdpListener) -> UdpSession {
        match listener.accept().await.unwrap().transport {
            Transport::Udp(session) => session,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn datagrams_beyond_the_queue_are_dropped() {
        let listener = UdpListener::bind("127.0.0.1:0", SETTINGS).await.unwrap();
        let (one, other) = (client(&listener).await, client(&listener).await);
        one.send(b"1").await.unwrap();
        let mut session = accept(&listener).await;
        session.admitted();
        for data in [b"2", b"3", b"4"] {
            one.send(data).await.unwrap();
        }
        other.send(b"x").await.unwrap();
        let mut second = accept(&listener).await;
        assert_eq!(second.received.receive().await.unwrap(), "x");
        assert_eq!(session.received.receive().await.unwrap(), "1");
        assert_eq!(session.received.receive().await.unwrap(), "2");
        assert!(session.received.0.try_recv().is_err());
    }

    #[tokio::test]
    async fn all_clients_share_the_room() {
        let listener = UdpListener::bind("127.0.0.1:0", SETTINGS).await.unwrap();
        let (one, other) = (client(&listener).await, client(&listener).await);
        one.send(b"12345").await.unwrap();
        let mut session = accept(&listener).await;
        session.admitted();
        assert_eq!(listener.hub.room.available_permits(), ROOM - 5);
        let rest = Arc::clone(&listener.hub.room).try_acquire_many_owned((ROOM - 6) as u32).unwrap();
        other.send(b"no room").await.unwrap();
        other.send(b"x").await.unwrap();
        let mut second = accept(&listener).await;
        assert_eq!(second.received.receive().await.unwrap(), "x");
        assert_eq!(session.received.receive().await.unwrap(), "12345");
        drop((session, second, rest));
        assert_eq!(listener.hub.room.available_permits(), ROOM);
    }

    #[tokio::test]
    async fn clients_beyond_the_backlog_wait_for_another_time() {
        let listener = UdpListener::bind("127.0.0.1:0", SETTINGS).await.unwrap();
        let (one, other) = (client(&listener).await, client(&listener).await);
        one.send(b"1").await.unwrap();
        let mut session = accept(&listener).await;
        assert_eq!(session.received.receive().await.unwrap(), "1");
        other.send(b"lost").await.unwrap();
        one.send(b"2").await.unwrap();
        tokio::select! {
            second = listener.accept() => panic!("{second:?}"),
            data = session.received.receive() => assert_eq!(data.unwrap(), "2"),
        }
        session.admitted();
        other.send(b"again").await.unwrap();
        assert_eq!(accept(&listener).await.received.receive().await.unwrap(), "again");
    }

    #[tokio::test]
    async fn a_session_that_has_ended_makes_room_for_another() {
        let listener = UdpListener::bind("127.0.0.1:0", SETTINGS).await.unwrap();
        let client = client(&listener).await;
        for data in ["1", "2"] {
            client.send(data.as_bytes()).await.unwrap();
            let mut session = accept(&listener).await;
            assert_eq!(session.received.receive().await.unwrap(), data);
            session.split().1.send(b"answer").await;
            assert_eq!(client.recv(&mut [0; 16]).await.unwrap(), 6);
            drop(session);
            assert!(listener.hub.sessions().is_empty());
        }
        client.send(b"3").await.unwrap();
        let mut session = accept(&listener).await;
        drop(listener);
        assert_eq!(session.received.receive().await.unwrap(), "3");
        assert_eq!(session.received.receive().await, None);
    }

    #[tokio::test]
    async fn a_wildcard_receives_from_both_families() {
        let listener = UdpListener::bind(":0", SETTINGS).await.unwrap();
        for ip in ["127.0.0.1", "::1"] {
            let socket = UdpSocket::bind((ip, 0)).await.unwrap();
            socket.send_to(b"x", (ip, listener.local_addr().port())).await.unwrap();
            let accepted = listener.accept().await.unwrap();
            assert_eq!(accepted.client, socket.local_addr().unwrap().into());
            let Transport::Udp(mut session) = accepted.transport else { panic!("not UDP") };
            session.split().1.send(b"y").await;
            assert_eq!(socket.recv(&mut [0; 16]).await.unwrap(), 1);
        }
    }
}
