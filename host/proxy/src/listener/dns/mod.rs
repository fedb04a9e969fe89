//! [`DnsListener`]: questions by DNS, over UDP, TCP, TLS or HTTPS (GOST reference, dataplane 9).
//!
//! Each question is a connection to its service, whatever carried it.

mod https;
mod stream;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drawspan_modules::Addr;
use drawspan_wire::dns::{MAX_QUERY, is_question};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::tcp::{classify, locate};
use super::{AcceptError, Accepted, BindError, TcpListener, Transport};
use crate::net::Udp;
use crate::tls::TlsServer;

/// Questions that are being answered, of all clients together. Datagrams beyond are dropped, connections wait.
const ROOM: usize = 8192;

/// Questions of connections that wait to be accepted.
const QUEUE: usize = 128;

/// What carries questions.
#[derive(Clone)]
pub enum DnsMode {
    /// Plain DNS over UDP.
    Udp,
    /// Connections.
    Streams(DnsStreams),
}

/// Connections that carry questions: DNS over TCP, over TLS (RFC 7858) or, at any path, over HTTPS (RFC 8484).
#[derive(Clone)]
pub struct DnsStreams {
    /// Spoken first.
    pub tls: Option<TlsServer>,
    /// Questions are HTTP requests.
    pub https: bool,
    /// For a handshake, for a message, and of silence.
    pub read_timeout: Duration,
    /// For an answer to be taken.
    pub write_timeout: Duration,
}

/// Receives questions.
pub struct DnsListener(Kind);

enum Kind {
    Datagrams { socket: Arc<Udp>, local: SocketAddr, room: Arc<Semaphore> },
    Streams { listener: TcpListener, questions: Mutex<mpsc::Receiver<Accepted>>, shared: Arc<Shared>, _stop: DropGuard },
}

/// What the connections of a listener share.
struct Shared {
    settings: DnsStreams,
    local: SocketAddr,
    questions: mpsc::Sender<Accepted>,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    /// The listener is gone.
    stop: CancellationToken,
}

/// A message that was received, and the way back for its answer. One that is dropped has none.
#[derive(Debug)]
pub struct DnsQuestion {
    message: Bytes,
    way: Way,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Way {
    Datagram(Arc<Udp>, SocketAddr),
    Frame(mpsc::Sender<Vec<u8>>),
    Response(oneshot::Sender<Vec<u8>>),
}

impl DnsListener {
    /// Receives at `address`, written as for [`TcpListener::bind`]. Connections are served in `tasks`.
    ///
    /// # Errors
    /// If that is impossible.
    pub async fn bind(address: &str, mode: DnsMode, tasks: TaskTracker) -> Result<Self, BindError> {
        let room = Arc::new(Semaphore::new(ROOM));
        let settings = match mode {
            DnsMode::Udp => {
                let open = |address| {
                    let socket = Udp::open(address, |_| Ok(()))?;
                    let local = socket.local_addr()?;
                    Ok((Arc::new(socket), local))
                };
                let (socket, local) = locate(address).await?.bind(open)?;
                return Ok(Self(Kind::Datagrams { socket, local, room }));
            }
            DnsMode::Streams(settings) => settings,
        };
        let listener = TcpListener::bind(address).await?;
        let (local, stop) = (listener.local_addr(), CancellationToken::new());
        let (questions, receiver) = mpsc::channel(QUEUE);
        let shared = Shared { settings, local, questions, room, tasks, stop: stop.clone() };
        let (questions, shared) = (Mutex::new(receiver), Arc::new(shared));
        Ok(Self(Kind::Streams { listener, questions, shared, _stop: stop.drop_guard() }))
    }

    /// The address that is received at, with the port that the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        match &self.0 {
            Kind::Datagrams { local, .. } => *local,
            Kind::Streams { listener, .. } => listener.local_addr(),
        }
    }

    /// `udp` or `tcp`.
    #[must_use]
    pub fn network(&self) -> &'static str {
        match &self.0 {
            Kind::Datagrams { .. } => "udp",
            Kind::Streams { .. } => "tcp",
        }
    }

    /// Waits for the next question; meanwhile, and only then, connections are accepted. Dropping the future loses none.
    ///
    /// # Errors
    /// As [`Listener::accept`](super::Listener::accept).
    pub async fn accept(&self) -> Result<Accepted, AcceptError> {
        match &self.0 {
            Kind::Datagrams { socket, local, room } => {
                let receive = |data: &[u8], client: SocketAddr| {
                    if !is_question(data) {
                        return None;
                    }
                    let Ok(room) = Arc::clone(room).try_acquire_owned() else {
                        tracing::debug!("a question of {client} is dropped: {ROOM} are being answered already");
                        return None;
                    };
                    // More than is read of a question isn't needed to refuse it.
                    let message = Bytes::copy_from_slice(&data[..data.len().min(MAX_QUERY + 1)]);
                    let question = DnsQuestion { message, way: Way::Datagram(Arc::clone(socket), client), _room: room };
                    Some(question.accepted(client.into(), *local))
                };
                socket.receive(receive).await.map_err(classify)
            }
            Kind::Streams { listener, questions, shared, .. } => {
                let mut questions = questions.lock().await;
                loop {
                    tokio::select! {
                        Some(question) = questions.recv() => return Ok(question),
                        conn = listener.accept() => {
                            let Accepted { transport, client, .. } = conn?;
                            if let Transport::Stream(stream) = transport {
                                shared.tasks.spawn(stream::serve(stream, client, Arc::clone(shared)));
                            }
                        }
                    }
                }
            }
        }
    }
}

impl fmt::Debug for DnsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsListener({}/{})", self.local_addr(), self.network())
    }
}

impl Shared {
    /// Hands a message on, when there is room for it; what isn't a question is dropped.
    async fn ask(&self, message: Bytes, way: Way, client: &Addr) {
        if !is_question(&message) {
            return;
        }
        // Neither is ever closed as long as there is a listener; without one, nobody is left to answer.
        if let Ok(room) = Arc::clone(&self.room).acquire_owned().await {
            let question = DnsQuestion { message, way, _room: room };
            let _ = self.questions.send(question.accepted(client.clone(), self.local)).await;
        }
    }
}

impl DnsQuestion {
    fn accepted(self, client: Addr, local: SocketAddr) -> Accepted {
        Accepted { transport: Transport::Dns(self), client, local: local.into() }
    }

    /// What was sent, at most one byte more than [`MAX_QUERY`].
    pub(crate) fn message(&self) -> &[u8] {
        &self.message
    }

    /// `udp` or `tcp`: in a datagram the answer may be too long for the client.
    pub(crate) fn network(&self) -> &'static str {
        match self.way {
            Way::Datagram(..) => "udp",
            Way::Frame(_) | Way::Response(_) => "tcp",
        }
    }

    /// Sends the answer. It is lost if the client has gone away.
    pub(crate) async fn answer(self, reply: Vec<u8>) {
        let Self { way, _room: room, .. } = self;
        // A connection that waits for room doesn't take answers.
        drop(room);
        match way {
            Way::Datagram(socket, client) => socket.send(&reply, client).await,
            Way::Frame(sender) => drop(sender.send(reply).await),
            Way::Response(sender) => drop(sender.send(reply)),
        }
    }
}

#[cfg(test)]
mod tests;
