//! [`Socks5`]: methods, user and password, and what a request leads to.

use std::time::Duration;

use drawspan_smux::{Config, Version};
use drawspan_wire::socks::v5::{self, Command, Method, Reply, Request, Status};
use drawspan_wire::socks::{Address, SocksError};
use tokio_util::sync::CancellationToken;

use super::{Client, Grant, HandlerError, HandlerParts, Session, Tunnel};
use crate::Conn;
use crate::net::Buffered;
use crate::tls::TlsServer;

/// Speaks SOCKS5 with clients.
pub struct Socks5 {
    pub(super) parts: HandlerParts,
    pub(super) settings: Socks5Settings,
}

/// What can be set (GOST reference, config 7).
#[derive(Clone)]
pub struct Socks5Settings {
    /// For GOST's methods with TLS; without it they aren't chosen (`notls`).
    pub tls: Option<TlsServer>,
    /// `udp`: clients may relay UDP, beside the connection and within it.
    pub udp: bool,
    /// `bind`: clients may have connections and datagrams accepted for them.
    pub bind: bool,
    /// `publicAddr`: the host that clients are told to be reached at; `None` is the address that they connected to.
    pub public_addr: Option<String>,
    /// `mux.*`: how connections that are accepted for a client share its own.
    pub mux: Config,
    /// `comp`: those begin with what the peer says, and not with its address.
    pub compatible: bool,
    /// `readTimeout`: within it a client has to come to its request.
    pub read_timeout: Duration,
}

impl Default for Socks5Settings {
    fn default() -> Self {
        Self {
            tls: None,
            udp: false,
            bind: false,
            public_addr: None,
            mux: Config::new(Version::V1),
            compatible: false,
            read_timeout: Duration::from_secs(15),
        }
    }
}

impl Socks5 {
    /// A handler that asks `parts`.
    #[must_use]
    pub fn new(parts: HandlerParts, settings: Socks5Settings) -> Self {
        Self { parts, settings }
    }

    /// As [`Handler::handle`](crate::handler::Handler::handle).
    pub(crate) async fn handle(&self, conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        let (session, conn) = Session::start(conn, "socks5", &self.parts);
        // Boxed: what the handshake needs must not be carried along by the tunnel.
        if let Some(tunnel) = Box::pin(self.establish(&session, conn, &drain)).await? {
            return tunnel.run(&session, &drain).await;
        }
        Ok(())
    }

    async fn establish(
        &self,
        session: &Session<'_>,
        conn: Buffered,
        drain: &CancellationToken,
    ) -> Result<Option<Tunnel>, HandlerError> {
        let Some(client) = Client::begin(session, conn, self.settings.read_timeout, drain).await? else {
            return Ok(None);
        };
        let Some((mut client, grant)) = self.authenticate(client).await? else {
            return Ok(None);
        };
        let Request { command, address } = client.receive(Request::parse).await?;
        grant.note(session, &address);
        if let Command::UDP_ASSOCIATE | Command::UDP_TUNNEL = command {
            session.note(|record| record.network = "udp");
        }
        let allowed = match command {
            Command::CONNECT => true,
            Command::BIND | Command::MUX_BIND => self.settings.bind,
            Command::UDP_ASSOCIATE => self.settings.udp,
            // With a port, it asks for datagrams from elsewhere.
            Command::UDP_TUNNEL if address.port() == 0 => self.settings.udp,
            Command::UDP_TUNNEL => self.settings.bind,
            _ => true,
        };
        if !allowed {
            tracing::debug!(service = %session.info.service, sid = %session.info.sid, "socks5: {command} is disabled");
            client.refuse(&Reply::bare(Status::NOT_ALLOWED)).await?;
            return Ok(None);
        }
        // A relay beside the connection counts for the client, the connection itself doesn't.
        if command != Command::UDP_ASSOCIATE {
            session.count_for(&grant.client_id);
        }
        match command {
            Command::CONNECT => self.connect(client, grant, &address).await,
            Command::BIND => self.bind(client, grant, &address).await,
            Command::MUX_BIND => self.bind_many(client, grant, &address).await.map(|()| None),
            Command::UDP_ASSOCIATE => self.associate(client, grant, &address).await.map(|()| None),
            Command::UDP_TUNNEL => self.tunnel_udp(client, grant, &address).await.map(|()| None),
            _ => {
                client.refuse(&Reply::bare(Status::UNKNOWN_COMMAND)).await?;
                Err(HandlerError::BadRequest(format!("SOCKS5 {command} is not supported")))
            }
        }
    }

    /// Who the client is; `None` if it was refused. TLS may begin here.
    async fn authenticate<'s>(&self, mut client: Client<'s>) -> Result<Option<(Client<'s>, Grant)>, HandlerError> {
        let offered = client.receive(v5::parse_greeting).await?;
        let (method, tls) = self.select(&offered);
        client.send(&method.selection()).await?;
        if let Some(tls) = tls {
            client = client.secure(tls).await?;
        }
        if !method.wants_password() {
            return Ok(Some((client, Grant::anonymous())));
        }
        let given = client.receive(v5::parse_password).await?;
        let Some(grant) = Grant::ask(&self.parts, client.session, given.username, &given.password).await else {
            client.refuse(&v5::password_reply(false)).await?;
            return Ok(None);
        };
        client.send(&v5::password_reply(true)).await?;
        Ok(Some((client, grant)))
    }

    /// GOST's choice: a password is asked for where there is an authenticator, whether the client offers that or not, and
    /// TLS is used whenever it is offered (GOST reference, dataplane 6).
    fn select(&self, offered: &[Method]) -> (Method, Option<&TlsServer>) {
        let tls = self.settings.tls.as_ref().filter(|_| offered.contains(&Method::TLS));
        let method = match (tls, &self.parts.authenticator) {
            (None, None) => Method::NONE,
            (None, Some(_)) => Method::PASSWORD,
            (Some(_), None) => Method::TLS,
            (Some(_), Some(_)) => Method::TLS_PASSWORD,
        };
        (method, tls)
    }

    async fn connect(
        &self,
        client: Client<'_>,
        grant: Grant,
        address: &Address,
    ) -> Result<Option<Tunnel>, HandlerError> {
        let target = match address.host_port() {
            Ok(target) => target,
            Err(error) => return no_such_host(client, error).await,
        };
        let asked = grant.asked(target);
        if client.session.refuses(&asked, "tcp").await {
            client.refuse(&Reply::bare(Status::NOT_ALLOWED)).await?;
            return Ok(None);
        }
        match client.session.dial(&asked).await {
            Ok(upstream) => {
                client.send(&Reply::bare(Status::SUCCEEDED)).await?;
                Ok(Some(Tunnel { client: client.conn, upstream: upstream.conn, asked, sniffed: true, idle: None }))
            }
            Err(error) => {
                client.refuse(&Reply::bare(Status::NETWORK_UNREACHABLE)).await?;
                Err(error.into())
            }
        }
    }
}

/// Nothing of that name can be connected to.
async fn no_such_host(client: Client<'_>, error: SocksError) -> Result<Option<Tunnel>, HandlerError> {
    client.refuse(&Reply::bare(Status::NETWORK_UNREACHABLE)).await?;
    Err(error.into())
}
