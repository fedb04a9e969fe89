//! [`Server`]: a DNS server, and how questions get there and answers back.

mod https;

use std::fmt;
use std::io;
use std::time::Duration;

use drawspan_modules::{Addr, ClientId, ConnInfo};
use drawspan_wire::dns::{Answer, is_truncated};
use drawspan_wire::http1::HostPort;
use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::https::Https;
pub use self::https::HttpsTarget;
pub(crate) use self::https::MEDIA_TYPE;
use crate::net::Buffered;
use crate::tls::TlsClient;
use crate::{DialError, Router, Upstream, Wanted};

/// Questions that a server is asked at a time over UDP; each has a socket.
const ROOM: usize = 512;

/// How a DNS server is spoken to.
pub enum Transport {
    /// Plain DNS over UDP; over TCP what is too long for a datagram.
    Udp(HostPort),
    /// Plain DNS over TCP.
    Tcp(HostPort),
    /// DNS over TLS (RFC 7858).
    Tls(HostPort, TlsClient),
    /// DNS over HTTPS (RFC 8484), by POST.
    Https(HttpsTarget),
}

/// A DNS server and the way there.
pub struct Server {
    kind: Kind,
    /// For one exchange.
    timeout: Duration,
    router: Router,
    room: Semaphore,
}

enum Kind {
    Udp(HostPort),
    Tcp(HostPort),
    Tls(HostPort, TlsClient),
    Https(Box<Https>),
}

/// An answer, and how it came.
#[derive(Debug)]
pub struct Answered {
    /// What the server says.
    pub answer: Answer,
    /// For records: `node@addr > target`; empty over HTTPS, where questions share connections.
    pub route: String,
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// There is no way to it.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection failed.
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    /// It said nothing in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// More than that wait for it already.
    #[error("{ROOM} questions wait for it already")]
    Overloaded,
    /// What it said isn't the answer.
    #[error("the server answered another question, or what can't be read")]
    Nonsense,
    /// It refused the request.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The request failed.
    #[error("{0}")]
    Http(String),
}

impl Server {
    /// Reached by `router`, with that time for each question, connecting included.
    #[must_use]
    pub fn new(transport: Transport, timeout: Duration, router: Router) -> Self {
        let kind = match transport {
            Transport::Udp(at) => Kind::Udp(at),
            Transport::Tcp(at) => Kind::Tcp(at),
            Transport::Tls(at, tls) => Kind::Tls(at, tls),
            Transport::Https(target) => Kind::Https(Box::new(Https::new(target, router.clone()))),
        };
        Self { kind, timeout, router, room: Semaphore::new(ROOM) }
    }

    /// The time for each question.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks once. The first two bytes of `question` must be hard to guess: who guesses them can answer in the server's
    /// place. Dropping the future gives up.
    ///
    /// # Errors
    /// When no answer comes in time, whatever it says.
    pub async fn ask(&self, question: &[u8], client: &ClientId, info: &ConnInfo) -> Result<Answered, AskError> {
        let answer = async {
            match &self.kind {
                Kind::Udp(target) => self.datagram(question, &Wanted { network: "udp", target, client, info }).await,
                Kind::Tcp(target) => self.stream(None, question, target, client, info).await,
                Kind::Tls(target, tls) => self.stream(Some(tls), question, target, client, info).await,
                Kind::Https(https) => {
                    let message = https.post(question).await?;
                    let answer = Answer::parse(&message, question).ok_or(AskError::Nonsense)?;
                    Ok(Answered { answer, route: String::new() })
                }
            }
        };
        timeout(self.timeout, answer).await.unwrap_or(Err(AskError::TimedOut(self.timeout)))
    }

    /// From a port of its own, so that who can't see the question can't answer it. Whatever else comes is passed over.
    async fn datagram(&self, question: &[u8], wanted: &Wanted<'_>) -> Result<Answered, AskError> {
        let _room = self.room.try_acquire().map_err(|_| AskError::Overloaded)?;
        let mut upstream = self.router.connect_udp(wanted).await?;
        upstream.datagrams.heed_errors();
        let (mut from, to) = upstream.datagrams.split();
        to.send(&upstream.target, question).await?;
        let mut message = Vec::new();
        loop {
            from.receive(&mut message).await?;
            // Some cut off within a record.
            if is_truncated(&message) && message.get(..2) == question.get(..2) {
                break;
            }
            if let Some(answer) = Answer::parse(&message, question) {
                return Ok(Answered { answer, route: upstream.route });
            }
        }
        // GOST: passes on what it got.
        drop(upstream.datagrams);
        self.stream(None, question, wanted.target, wanted.client, wanted.info).await
    }

    /// One message each way, with its length before it.
    async fn stream(
        &self,
        tls: Option<&TlsClient>,
        question: &[u8],
        target: &HostPort,
        client: &ClientId,
        info: &ConnInfo,
    ) -> Result<Answered, AskError> {
        let Upstream { mut conn, route } = self.router.dial(&Wanted { network: "tcp", target, client, info }).await?;
        if let Some(tls) = tls {
            conn = Buffered::new(tls.connect(conn).await?);
        }
        let length = u16::try_from(question.len()).map_err(io::Error::other)?;
        conn.stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
        let head = conn.read_exactly(2).await?;
        let message = conn.read_exactly(u16::from_be_bytes([head[0], head[1]]).into()).await?;
        let answer = Answer::parse(&message, question).ok_or(AskError::Nonsense)?;
        Ok(Answered { answer, route })
    }
}

/// As a URL, without what may be secret.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Udp(at) => write!(f, "udp://{at}"),
            Kind::Tcp(at) => write!(f, "tcp://{at}"),
            Kind::Tls(at, _) => write!(f, "tls://{at}"),
            Kind::Https(https) => https.fmt(f),
        }
    }
}

/// For what no client's connection is behind.
#[must_use]
pub fn nobody() -> ConnInfo {
    let (client, local) = (Addr::unnamed(), Addr::unnamed());
    ConnInfo { service: "".into(), sid: "".into(), client, local, certificate: None }
}
