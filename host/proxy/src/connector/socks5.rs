//! [`Socks5`]: SOCKS5 with GOST's methods and commands (GOST reference, dataplane 6).

use std::net::IpAddr;
use std::time::Duration;

use drawspan_smux::{Config, Version};
use drawspan_wire::http1::{Credentials, HostPort};
use drawspan_wire::socks::Address;
use drawspan_wire::socks::v5::{self, Command, Method, Reply, Request, Status};
use tokio::time::Instant;

use super::{ConnectError, receive, within};
use crate::Direct;
use crate::listener::{Bound, UdpSettings};
use crate::net::{Buffered, Datagrams, Relayed, Stream};
use crate::tls::TlsClient;

/// For the name of a relay, where it has one.
const RELAY_TIME: Duration = Duration::from_secs(15);

/// Asks a SOCKS5 proxy.
#[derive(Clone)]
pub struct Socks5 {
    /// User name and password.
    pub auth: Option<(String, String)>,
    /// For GOST's methods with TLS; without it they aren't offered (`notls`).
    pub tls: Option<TlsClient>,
    /// `relay: udp`: datagrams go beside the connection, as the standard has it, and not within it.
    pub udp_relay: bool,
    /// `udp.timeout`: how long a relay beside the connection may be silent; `None`: for ever.
    pub udp_timeout: Option<Duration>,
    /// `mux.*`: how connections that the proxy accepts for us share one.
    pub mux: Config,
    /// For each exchange; `None`: as long as the dial may take.
    pub timeout: Option<Duration>,
}

impl Default for Socks5 {
    fn default() -> Self {
        let mux = Config::new(Version::V1);
        Self { auth: None, tls: None, udp_relay: false, udp_timeout: None, mux, timeout: None }
    }
}

impl Socks5 {
    pub(super) async fn connect(&self, conn: Buffered, target: &HostPort) -> Result<Buffered, ConnectError> {
        let asking = self.ask(conn, Command::CONNECT, target.into());
        within(self.timeout, asking).await.map(|(conn, _)| conn)
    }

    pub(super) async fn associate(&self, conn: Buffered, direct: &Direct) -> Result<Datagrams, ConnectError> {
        let command = if self.udp_relay { Command::UDP_ASSOCIATE } else { Command::UDP_TUNNEL };
        let asking = self.ask(conn, command, Address::UNSPECIFIED);
        let (conn, address) = within(self.timeout, asking).await?;
        if !self.udp_relay {
            return Ok(Datagrams::Framed(conn));
        }
        let relay = locate(&conn.stream, &address)?;
        let (socket, relay) = direct.connect_udp(&relay, Instant::now() + RELAY_TIME).await?;
        Ok(Datagrams::Relayed(Relayed::client(socket, relay, conn, self.udp_timeout)))
    }

    /// Has connections, or datagrams, accepted at `address`.
    pub(super) async fn bind(
        &self,
        conn: Buffered,
        address: Address,
        udp: Option<UdpSettings>,
    ) -> Result<Bound, ConnectError> {
        let command = if udp.is_some() { Command::UDP_TUNNEL } else { Command::MUX_BIND };
        let (conn, here) = within(self.timeout, self.ask(conn, command, address)).await?;
        super::bound(conn, Some(here), udp, self.mux, |bytes| {
            let Some((Reply { status, address }, length)) = Reply::parse(bytes).map_err(|it| it.to_string())? else {
                return Ok(None);
            };
            if status == Status::SUCCEEDED { Ok(Some((Some(address), length))) } else { Err(status.to_string()) }
        })
    }

    /// The connection after a request was granted, and the address in the answer.
    async fn ask(
        &self,
        conn: Buffered,
        command: Command,
        address: Address,
    ) -> Result<(Buffered, Address), ConnectError> {
        let mut conn = self.authenticate(conn).await?;
        let request = Request { command, address }.encode().map_err(ConnectError::Request)?;
        conn.stream.write_all(&request).await?;
        match receive(&mut conn, Reply::parse).await? {
            Reply { status: Status::SUCCEEDED, address } => Ok((conn, address)),
            Reply { status, .. } => Err(ConnectError::Refused(status.to_string())),
        }
    }

    async fn authenticate(&self, mut conn: Buffered) -> Result<Buffered, ConnectError> {
        conn.stream.write_all(&v5::greeting(&self.methods())).await?;
        let method = receive(&mut conn, Method::parse_selection).await?;
        // A server of GOST may choose what wasn't offered: a password without being asked for one.
        match (method, &self.tls, &self.auth) {
            (Method::NONE, _, _) => return Ok(conn),
            (Method::PASSWORD, _, Some(_)) => {}
            (Method::TLS, Some(_), _) | (Method::TLS_PASSWORD, Some(_), Some(_)) => {}
            (Method::PASSWORD | Method::TLS_PASSWORD, _, None) => {
                return Err(ConnectError::Refused("a user name and a password are wanted".to_owned()));
            }
            (Method::NONE_ACCEPTABLE, _, _) => {
                return Err(ConnectError::Refused("no acceptable authentication method".to_owned()));
            }
            (other, _, _) => {
                return Err(ConnectError::Broken(format!("authentication method {other} wasn't offered")));
            }
        }
        if let (true, Some(tls)) = (method.is_tls(), &self.tls) {
            conn = Buffered::new(tls.connect(conn).await?);
        }
        if let (true, Some((username, password))) = (method.wants_password(), &self.auth) {
            let (username, password) = (username.clone().into_bytes(), password.clone().into_bytes());
            let message = v5::password(&Credentials { username, password }).map_err(ConnectError::Request)?;
            conn.stream.write_all(&message).await?;
            if !receive(&mut conn, v5::parse_password_reply).await? {
                return Err(ConnectError::Refused("wrong user name or password".to_owned()));
            }
        }
        Ok(conn)
    }

    /// What is offered, in GOST's order.
    fn methods(&self) -> Vec<Method> {
        let offers = [
            (Method::NONE, true),
            (Method::PASSWORD, self.auth.is_some()),
            (Method::TLS, self.tls.is_some()),
            (Method::TLS_PASSWORD, self.tls.is_some() && self.auth.is_some()),
        ];
        offers.into_iter().filter(|(_, offered)| *offered).map(|(method, _)| method).collect()
    }
}

/// Where a relay is: a server that doesn't know its own address means the one that it was reached at.
fn locate(control: &Stream, address: &Address) -> Result<HostPort, ConnectError> {
    let relay = address.host_port().map_err(|_| ConnectError::Broken("the relay's address is not one".to_owned()))?;
    match control.peer_addr().ip() {
        Some(ip) if relay.host.parse::<IpAddr>().is_ok_and(|host| host.is_unspecified()) => {
            Ok(HostPort { host: ip.to_string(), ..relay })
        }
        _ => Ok(relay),
    }
}
