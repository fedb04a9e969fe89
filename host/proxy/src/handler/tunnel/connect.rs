//! CONNECT: a visitor that knows a tunnel, or the way past knowing one.

use drawspan_modules::Target;
use drawspan_wire::http1::HostPort;
use drawspan_wire::relay::{Features, Response, Status};
use drawspan_wire::socks::Address;
use uuid::Uuid;

use super::dial::{TunnelError, Visitor, network};
use super::{TunnelServer, Visit};
use crate::handler::HandlerError;
use crate::handler::handshake::{Client, Grant};

impl TunnelServer {
    pub(super) async fn connect(
        &self,
        client: Client<'_>,
        grant: Grant,
        tunnel: Uuid,
        udp: bool,
        features: Features,
    ) -> Result<Option<Visit>, HandlerError> {
        let session = client.session;
        let ends = Ends::of(features);
        let host = ends.target.host_port().ok().filter(|_| !ends.names_none());
        let target = host.clone().unwrap_or_else(|| HostPort { host: String::new(), port: 0 });
        let asked = grant.asked(target);
        let network = network(udp).to_owned();
        let address = host.as_ref().map(ToString::to_string).unwrap_or_default();
        if session.bypasses(&asked, Target { network, address, ..Target::default() }).await {
            client.refuse(&Response::bare(Status::FORBIDDEN)).await?;
            return Ok(None);
        }
        let refused = |reason| HandlerError::Tunnel { host: asked.target.to_string(), reason };
        let tunnel = match self.route(&session.info.service, tunnel, host.as_ref()).await {
            Ok(tunnel) => tunnel,
            Err((status, reason)) => {
                client.refuse(&Response::bare(status)).await?;
                return Err(refused(reason));
            }
        };
        let visitor = Visitor { tunnel, udp, source: ends.source, target: ends.target };
        match self.tunnels.dial(session, &visitor).await {
            Ok(opened) => {
                client.send(&Response::bare(Status::OK)).await?;
                Ok(Some(Visit { client: client.conn, opened, asked }))
            }
            Err(reason) => {
                client.refuse(&Response::bare(Status::SERVICE_UNAVAILABLE)).await?;
                Err(refused(reason))
            }
        }
    }

    /// The tunnel that a visitor gets who named `tunnel` and `host`.
    async fn route(&self, service: &str, tunnel: Uuid, host: Option<&HostPort>) -> Result<Uuid, (Status, TunnelError)> {
        let endpoint = match (&self.ingress, host) {
            (Some(ingress), Some(host)) => ingress.endpoint(&host.host, service).await,
            _ => None,
        };
        let is_public = self.settings.public_id == Some(tunnel);
        match endpoint {
            None if is_public => Err((Status::NETWORK_UNREACHABLE, TunnelError::NoRoute)),
            Some(endpoint) if is_public && endpoint.private => Err((Status::HOST_UNREACHABLE, TunnelError::Private)),
            Some(endpoint) if is_public => Ok(endpoint.tunnel),
            Some(endpoint) if endpoint.tunnel == tunnel => Ok(tunnel),
            _ if self.settings.direct => Ok(tunnel),
            _ => Err((Status::HOST_UNREACHABLE, TunnelError::NoRoute)),
        }
    }
}

/// Where a request comes from and where it wants to go: of one address alone the first.
pub(super) struct Ends {
    pub(super) source: Address,
    pub(super) target: Address,
}

impl Ends {
    const NOWHERE: Address = Address::Name(Vec::new(), 0);

    pub(super) fn of(features: Features) -> Self {
        let [source, target] = match (features.source, features.address) {
            (Some(source), target) => [Some(source), target],
            (None, source) => [source, None],
        };
        Self { source: source.unwrap_or(Self::NOWHERE), target: target.unwrap_or(Self::NOWHERE) }
    }

    /// There is no host, in any of the ways to say so.
    pub(super) fn names_none(&self) -> bool {
        match &self.target {
            Address::Ip(address) => address.ip().is_unspecified(),
            Address::Name(name, _) => name.is_empty(),
        }
    }
}
