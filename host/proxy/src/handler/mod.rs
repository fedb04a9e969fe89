//! What speaks a client's protocol: reads what it wants, asks the modules, connects, answers.

use std::io;
use std::sync::Arc;

use drawspan_modules::{Admission, Authenticator, Bypass};
use drawspan_wire::http1::HeadError;
use drawspan_wire::relay::RelayError;
use drawspan_wire::socks::SocksError;
use tokio_util::sync::CancellationToken;

use crate::listener::{AcceptError, BindError, DnsQuestion, TunDevice, UdpSession};
use crate::{ClientCounters, Conn, DialError, Router, Shaper};

mod announce;
mod auto;
mod bind;
mod datagrams;
mod dns;
mod exchange;
mod forward;
mod frames;
mod handshake;
pub mod http;
mod record;
mod relay;
mod router;
mod session;
mod sniff;
mod socks;
mod tun;
mod tunnel;
mod udp;
mod web;

pub use auto::Auto;
pub use dns::{Dns, DnsSettings, DnsTtl};
pub use forward::{Forward, ForwardSettings};
pub use record::HandlerRecorder;
pub use relay::{Relay, RelaySettings};
pub use router::{Discovery, PacketEntrypoint, PacketRouter, Routers};
pub use sniff::Sniffing;
pub use socks::{Socks4, Socks5, Socks5Settings};
pub use tun::{Tun, TunHandlerSettings};
pub use tunnel::{Entrypoint, EntrypointSettings, TunnelError, TunnelServer, TunnelSettings, Tunnels};
pub use udp::Udp;
pub use web::{Files, Page, Web, WebSettings};

/// A handler of one of the kinds that there are.
pub enum Handler {
    /// The HTTP proxy.
    Http(http::Http),
    /// The SOCKS4 and SOCKS4a proxy.
    Socks4(Socks4),
    /// The SOCKS5 proxy.
    Socks5(Socks5),
    /// All three at one port.
    Auto(Box<Auto>),
    /// GOST's own proxy protocol.
    Relay(Relay),
    /// To who registered for it, by the tunnel's id.
    Tunnel(TunnelServer),
    /// The same by the host that a visitor names.
    Entrypoint(Entrypoint),
    /// IP packets between clients.
    Router(Box<PacketRouter>),
    /// To targets of the config.
    Forward(Forward),
    /// The same for datagrams.
    Udp(Udp),
    /// Answers questions by DNS.
    Dns(Dns),
    /// Files or metrics of the gateway itself.
    Web(Web),
    /// A network interface's packets.
    Tun(Tun),
}

impl Handler {
    /// Serves one connection until it ends.
    ///
    /// When `drain` is cancelled a connection that waits for a request is closed at once; a request that has begun, and a
    /// tunnel, go on. Dropping the future cuts them off.
    ///
    /// # Errors
    /// If something failed; what a client could be told, it was told. Refusals are not errors.
    pub async fn handle(&self, conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        match self {
            Self::Http(http) => http.handle(conn, drain).await,
            Self::Socks4(socks) => socks.handle(conn, drain).await,
            Self::Socks5(socks) => socks.handle(conn, drain).await,
            Self::Auto(auto) => auto.handle(conn, drain).await,
            Self::Relay(relay) => relay.handle(conn, drain).await,
            Self::Tunnel(tunnel) => tunnel.handle(conn, drain).await,
            Self::Entrypoint(entrypoint) => entrypoint.handle(conn, drain).await,
            Self::Router(router) => router.handle(conn, drain).await,
            Self::Forward(forward) => forward.handle(conn, drain).await,
            // Boxed: what it needs must not be carried along by the connections of others.
            Self::Web(web) => Box::pin(web.handle(conn, drain)).await,
            Self::Udp(_) | Self::Dns(_) | Self::Tun(_) => Err(HandlerError::WrongNetwork),
        }
    }

    /// Serves a client's datagrams until its session ends; `admission` is asked about each but the first, about which it
    /// was. Dropping the future cuts it off.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    pub async fn handle_datagrams(
        &self,
        conn: Conn<UdpSession>,
        admission: Option<&Admission>,
    ) -> Result<(), HandlerError> {
        match self {
            Self::Udp(udp) => udp.handle(conn, admission).await,
            _ => Err(HandlerError::WrongNetwork),
        }
    }

    /// Answers a question. Dropping the future leaves it without an answer.
    ///
    /// # Errors
    /// As [`handle`](Self::handle), but that the client is told nothing.
    pub async fn handle_question(&self, conn: Conn<DnsQuestion>) -> Result<(), HandlerError> {
        match self {
            Self::Dns(dns) => dns.handle(conn).await,
            _ => Err(HandlerError::WrongNetwork),
        }
    }

    /// Carries a network interface's packets until it is gone, or `drain` is cancelled; `admission` is asked about those who
    /// come to have part in it. Dropping the future cuts it off.
    ///
    /// # Errors
    /// When the interface is gone.
    pub async fn handle_packets(
        &self,
        conn: Conn<TunDevice>,
        admission: Option<&Admission>,
        drain: CancellationToken,
    ) -> Result<(), HandlerError> {
        match self {
            Self::Tun(tun) => tun.handle(conn, admission, drain).await,
            _ => Err(HandlerError::WrongNetwork),
        }
    }
}

/// The modules that a handler asks, given by field: a handler must be able to see that there is none.
#[derive(Clone, Default)]
pub struct HandlerParts {
    /// Who may use the service; everyone if `None`.
    pub authenticator: Option<Authenticator>,
    /// Which targets the service refuses; none if `None`.
    pub bypass: Option<Bypass>,
    /// Bandwidth of each client.
    pub shaper: Option<Shaper>,
    /// Where each client's connections are counted.
    pub clients: Option<Arc<ClientCounters>>,
    /// Is told of each connection and HTTP exchange.
    pub recorder: Option<HandlerRecorder>,
    /// How what is tunnelled or forwarded is looked into; not at all if `None`.
    pub sniffing: Option<Sniffing>,
    /// So many frames a second of each side of a websocket that passes by are recorded; none of them if `None`.
    pub websocket: Option<f64>,
    /// Connects to targets.
    pub router: Router,
}

/// Why a connection ended other than as it should. Refusals are no errors: they are answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The client's connection failed or ended in the middle of something.
    #[error("client: {0}")]
    Client(#[source] io::Error),
    /// The client did not send a request in time.
    #[error("client sent no complete request in time")]
    ClientTimedOut,
    /// What the client sent isn't its protocol; it was closed without a word.
    #[error("client: {0}")]
    NotHttp(#[from] HeadError),
    /// What the client sent isn't SOCKS, or asks for something that can't be.
    #[error("client: {0}")]
    NotSocks(#[from] SocksError),
    /// What the client sent isn't the relay protocol; it was closed without a word.
    #[error("client: {0}")]
    NotRelay(#[from] RelayError),
    /// What the client sent is broken further on.
    #[error("client: {0}")]
    BadRequest(String),
    /// There is no way into the host's tunnel; the client was told.
    #[error("{host}: {reason}")]
    Tunnel {
        /// What the client asked for.
        host: String,
        /// Why.
        #[source]
        reason: TunnelError,
    },
    /// There is no connection to the target; the client was told.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Nothing can be accepted for the client, which was told.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What was to be accepted for the client wasn't; it was told.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// The handler has no use for what the listener accepts: connections or datagrams.
    #[error("the service's listener and handler don't fit together")]
    WrongNetwork,
    /// Datagrams can't be passed on.
    #[error("udp: {0}")]
    Datagrams(#[source] io::Error),
    /// A network interface is gone.
    #[error("interface: {0}")]
    Interface(#[source] io::Error),
    /// The target's connection failed or its response is broken.
    #[error("{target}: {reason}")]
    Upstream {
        /// Where it was connected to.
        target: String,
        /// What went wrong.
        reason: String,
    },
    /// The target sent no response in time.
    #[error("{target}: no response in time")]
    UpstreamTimedOut {
        /// Where it was connected to.
        target: String,
    },
    /// No byte moved for `idleTimeout`.
    #[error("idle for too long")]
    Idle,
}
