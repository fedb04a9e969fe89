//! [`PacketRouter`]: passes IP packets between the clients of one router (GOST reference, dataplane 3.4).
//!
//! Clients trust each other as far as they know the router's id: as in GOST, a packet's source may be anything, and a client
//! may call itself what another one does. An ingress ties names to ids; an authenticator says who may come at all.

mod associate;
mod entrypoint;
mod outbox;
mod routes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::{Ingress, Router};
use drawspan_wire::relay::{Command, Request, Response, Status};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use entrypoint::PacketEntrypoint;
pub use routes::Discovery;

use super::handshake::{Client, Grant};
use super::session::Session;
use super::{HandlerError, HandlerParts};
use crate::Conn;
use entrypoint::Clients;
use routes::Routes;

/// Speaks the relay protocol with clients, and carries their packets.
pub struct PacketRouter {
    parts: HandlerParts,
    ingress: Option<Ingress>,
    routes: Routes,
    discovery: Option<Discovery>,
    clients: Arc<Clients>,
    read_timeout: Duration,
}

/// Who knows the routes.
#[derive(Clone, Default)]
pub struct Routers {
    /// Of the router with that id, asked first.
    pub by_id: HashMap<Uuid, Router>,
    /// `router`: of all.
    pub common: Option<Router>,
    /// `router.cache`: answers are good for so long; `None`: each packet is asked about.
    pub cache: Option<Duration>,
}

impl PacketRouter {
    /// A handler that asks `parts`; who names a host must have the router's id that `ingress` knows for it. A client has
    /// `read_timeout` for its request.
    #[must_use]
    pub fn new(
        parts: HandlerParts,
        ingress: Option<Ingress>,
        routers: Routers,
        discovery: Option<Discovery>,
        read_timeout: Duration,
    ) -> Self {
        let routes = Routes::new(routers);
        Self { parts, ingress, routes, discovery, clients: Arc::default(), read_timeout }
    }

    /// Where other gateways pass on packets for the clients of this one.
    #[must_use]
    pub fn entrypoint(&self) -> PacketEntrypoint {
        PacketEntrypoint::new(Arc::clone(&self.clients))
    }

    /// As [`Handler::handle`](super::Handler::handle); when `drain` is cancelled a client's packets end.
    pub(crate) async fn handle(&self, conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        let (session, conn) = Session::start(conn, "router", &self.parts);
        let Some(mut client) = Client::begin(&session, conn, self.read_timeout, &drain).await? else { return Ok(()) };
        let request = client.receive(Request::parse).await?;
        let (command, network) = (request.command, request.network());
        let mut features = request.features;
        let user = features.user.take().unwrap_or_default();
        session.note(|record| {
            record.network = network.as_str();
            record.client_id = String::from_utf8_lossy(&user.username).into_owned();
        });
        if Grant::ask(&self.parts, &session, user.username, &user.password).await.is_none() {
            return client.refuse(&Response::bare(Status::UNAUTHORIZED)).await;
        }
        if command != Command::Associate {
            client.refuse(&Response::bare(Status::BAD_REQUEST)).await?;
            return Err(HandlerError::BadRequest(format!("relay {command:?} isn't a router's")));
        }
        Box::pin(self.associate(client, network, features, &drain)).await
    }
}
