//! Connections from elsewhere for a client, which share its own as streams of smux: the relay's BIND and SOCKS5's
//! multiplexed one (GOST reference, dataplane 3.3 and 6).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use drawspan_modules::Addr;
use drawspan_smux::{Config, Session as Mux};
use drawspan_wire::http1::HostPort;
use drawspan_wire::socks::SocksError;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::HandlerError;
use super::handshake::Grant;
use super::session::Session;
use crate::listener::{AcceptError, BindError, TcpListener};
use crate::net::{Buffered, Stream};

/// After an error that may pass.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells who has connected.
pub(super) type Greeting = fn(SocketAddr) -> Result<Vec<u8>, SocksError>;

/// What is accepted for a client.
pub(super) struct Binding {
    pub(super) listener: TcpListener,
    pub(super) config: Config,
    /// What a connection begins with, if not with what the peer says.
    pub(super) greeting: Option<Greeting>,
    /// Ends a connection that carries no byte for so long.
    pub(super) idle: Option<Duration>,
}

/// Listens where the client wants it; anywhere means on IPv4 and IPv6.
pub(super) async fn listen(session: &Session<'_>, address: &HostPort) -> Result<TcpListener, BindError> {
    let anywhere = address.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    let address = if anywhere { format!(":{}", address.port) } else { address.to_string() };
    let listener = TcpListener::bind(&address).await?;
    session.note(|record| record.src = listener.local_addr().to_string());
    Ok(listener)
}

impl Binding {
    /// Accepts until the client ends its connection, `conn`. We open the streams, so that we are the client of the session.
    pub(super) async fn serve(self, session: &Session<'_>, conn: Buffered, grant: Grant) -> Result<(), HandlerError> {
        let mux = Mux::client(conn.into_stream(), self.config);
        let mux = mux.map_err(|error| HandlerError::BadRequest(error.to_string()))?;
        let mut peers = FuturesUnordered::new();
        loop {
            tokio::select! {
                (stream, peer) = self.accept() => peers.push(self.carry(session, &mux, stream, peer, &grant)),
                Some(()) = peers.next() => {}
                // Those of the client's are nobody's business.
                stream = mux.accept() => if stream.is_none() { break },
            }
        }
        Ok(())
    }

    /// The next connection, however long that takes.
    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept_tcp().await {
                Ok(accepted) => return accepted,
                Err(AcceptError::Temporary(error) | AcceptError::Fatal(error)) => {
                    tracing::error!(%error, "can't accept at {}; trying again in {PAUSE:?}", self.listener.local_addr());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// One connection, to its end.
    async fn carry(&self, session: &Session<'_>, mux: &Mux, stream: TcpStream, peer: SocketAddr, grant: &Grant) {
        let begun = async {
            let mut carried = mux.open()?;
            if let Some(greeting) = self.greeting {
                carried.write_all(&greeting(peer).map_err(std::io::Error::other)?).await?;
            }
            std::io::Result::Ok(carried)
        };
        match begun.await {
            Ok(carried) => {
                let asked = grant.clone().asked(HostPort { host: peer.ip().to_string(), port: peer.port() });
                let client =
                    Stream::layered(carried, Addr::from(self.listener.local_addr()), session.info.client.clone());
                session.tunnel(Buffered::new(client), Buffered::new(stream), asked, self.idle).await;
            }
            Err(error) => tracing::debug!(%peer, "a connection can't be passed on: {error}"),
        }
    }
}
