//! CONNECT: to what the client names, or to a forwarder's targets.

use std::io;
use std::path::Path;

use drawspan_modules::Target;
use drawspan_wire::http1::HostPort;
use drawspan_wire::relay::{Network, Response, Status};
use drawspan_wire::socks::Address;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Client, Grant, HandlerError, Hop, Relay, Session, Tunnel, fail};
use crate::handler::datagrams::relay_to;
use crate::handler::session::Asked;
use crate::handler::{forward, udp};
use crate::net::{Buffered, Datagrams};
use crate::router::{DialReason, Seen, UdpUpstream};

impl Relay {
    pub(super) async fn connect(
        &self,
        client: Client<'_>,
        grant: Grant,
        network: Network,
        address: Option<Address>,
    ) -> Result<Option<Tunnel>, HandlerError> {
        let Some(address) = address else {
            let error = HandlerError::BadRequest("the relay request names no target".to_owned());
            return fail(client, Status::BAD_REQUEST, error).await;
        };
        if let Network::Unix = network {
            return self.connect_unix(client, grant, &address).await;
        }
        let target = match address.host_port() {
            Ok(target) => target,
            Err(error) => return fail(client, Status::NETWORK_UNREACHABLE, error).await,
        };
        let asked = grant.asked(target);
        if client.session.refuses(&asked, network.as_str()).await {
            client.refuse(&Response::bare(Status::FORBIDDEN)).await?;
            return Ok(None);
        }
        match network {
            Network::Tcp => match client.session.dial(&asked).await {
                Ok(upstream) => self.tunnel(client, upstream.conn, asked).await,
                Err(error) => fail(client, Status::NETWORK_UNREACHABLE, error).await,
            },
            Network::Udp => match client.session.dial_udp(&asked).await {
                Ok(upstream) => self.tunnel_udp(client, upstream, asked, address).await,
                Err(error) => fail(client, Status::NETWORK_UNREACHABLE, error).await,
            },
            Network::Ip | Network::Serial | Network::Unix => {
                let error = HandlerError::BadRequest(format!("a relay to {} is not supported", network.as_str()));
                fail(client, Status::NETWORK_UNREACHABLE, error).await
            }
        }
    }

    /// To a socket of this machine, whatever chain there is: the host of `address` is its path.
    async fn connect_unix(
        &self,
        client: Client<'_>,
        grant: Grant,
        address: &Address,
    ) -> Result<Option<Tunnel>, HandlerError> {
        let path = match address {
            Address::Name(path, _) => String::from_utf8_lossy(path).into_owned(),
            Address::Ip(address) => address.ip().to_string(),
        };
        let asked = grant.asked(HostPort { host: path.clone(), port: 0 });
        let target = Target { network: "unix".to_owned(), address: path.clone(), ..Target::default() };
        if client.session.bypasses(&asked, target).await {
            client.refuse(&Response::bare(Status::FORBIDDEN)).await?;
            return Ok(None);
        }
        let dialled = timeout(self.parts.router.dial_timeout, UnixStream::connect(Path::new(&path))).await;
        let dialled = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        client.session.note(|record| {
            asked.note(record);
            match &dialled {
                Ok(_) => record.dst.clone_from(&path),
                Err(error) => record.err = error.to_string(),
            }
        });
        match dialled {
            Ok(stream) => self.tunnel(client, Buffered::new(stream), asked).await,
            Err(error) => {
                let error = HandlerError::Upstream { target: path, reason: error.to_string() };
                fail(client, Status::NETWORK_UNREACHABLE, error).await
            }
        }
    }

    /// To one of the targets of `hop`, whatever the client asks for. No bypass is asked: they are the operator's own.
    pub(super) async fn forward(
        &self,
        client: Client<'_>,
        grant: Grant,
        hop: &Hop,
        network: Network,
    ) -> Result<Option<Tunnel>, HandlerError> {
        let session = client.session;
        if let Network::Udp = network {
            return match udp::connect(session, hop, grant).await {
                Ok((upstream, asked)) => {
                    let address = upstream.target.clone();
                    self.tunnel_udp(client, upstream, asked, address).await
                }
                Err(error) => {
                    let status = match error.reason {
                        DialReason::NoNode | DialReason::Hop { .. } => Status::SERVICE_UNAVAILABLE,
                        _ => Status::HOST_UNREACHABLE,
                    };
                    fail(client, status, error).await
                }
            };
        }
        let node = match forward::choose(session, hop, &grant, &Seen::default()).await {
            Ok(node) => node,
            Err(error) => return fail(client, Status::SERVICE_UNAVAILABLE, error).await,
        };
        match forward::connect(session, &node, grant, 0, None).await {
            Ok((upstream, asked)) => self.tunnel(client, upstream.conn, asked).await,
            Err(error) => fail(client, Status::HOST_UNREACHABLE, error).await,
        }
    }

    /// Answers that all is well. GOST: unless `nodelay` is set, holds that answer until the target speaks.
    async fn tunnel(
        &self,
        client: Client<'_>,
        upstream: Buffered,
        asked: Asked,
    ) -> Result<Option<Tunnel>, HandlerError> {
        client.send(&Response::bare(Status::OK)).await?;
        let idle = self.settings.idle_timeout;
        Ok(Some(Tunnel { client: client.conn, upstream, asked, sniffed: true, idle }))
    }

    /// The same for datagrams, which are passed on until the client ends.
    async fn tunnel_udp(
        &self,
        client: Client<'_>,
        upstream: UdpUpstream,
        asked: Asked,
        address: Address,
    ) -> Result<Option<Tunnel>, HandlerError> {
        client.send(&Response::bare(Status::OK)).await?;
        let session: &Session<'_> = client.session;
        let mut datagrams = Datagrams::Single(client.conn, address);
        relay_to(session, asked, &mut datagrams, upstream, self.settings.idle_timeout).await?;
        Ok(None)
    }
}
