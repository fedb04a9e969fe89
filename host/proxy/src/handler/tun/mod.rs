//! [`Tun`]: IP packets of an interface, as a client of one server or the server of many clients (GOST reference, dataplane 9).
//!
//! There is no encryption: who can read and change datagrams on their way can do so with packets. A chain may carry them
//! within something that encrypts.

mod client;
mod peers;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::{Admission, Router};
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::{HandlerError, HandlerParts};
use crate::Conn;
use crate::listener::TunDevice;
use crate::router::Hop;

/// Carries an interface's packets.
pub struct Tun {
    parts: HandlerParts,
    hop: Option<Arc<Hop>>,
    router: Option<Router>,
    settings: TunHandlerSettings,
}

/// What can be set (GOST reference, config 7).
#[derive(Debug, Clone)]
pub struct TunHandlerSettings {
    /// `keepalive`: a client tells its server every `ttl` that it is there, and looks for it anew after three of those
    /// without a sign of it.
    pub keepalive: bool,
    /// `ttl`: see there. A server forgets clients that told it so more than once, after three times as long as between two
    /// of those messages without another one; this is the least that it takes to be between them.
    pub ttl: Duration,
    /// `passphrase`: what a client shows. Of a server, what it wants to see if there is no authenticator; GOST: nothing then.
    pub passphrase: Vec<u8>,
    /// `p2p`: a server has one client, whatever its packets' addresses.
    pub p2p: bool,
}

impl Tun {
    /// A client of one of the targets of `hop`, else a server, which finds clients in front of packets' destinations by
    /// `router`.
    #[must_use]
    pub fn new(
        parts: HandlerParts,
        hop: Option<Arc<Hop>>,
        router: Option<Router>,
        settings: TunHandlerSettings,
    ) -> Self {
        Self { parts, hop, router, settings }
    }

    /// Carries packets until the interface is gone or `drain` is cancelled.
    pub(crate) async fn handle(
        &self,
        conn: Conn<TunDevice>,
        admission: Option<&Admission>,
        drain: CancellationToken,
    ) -> Result<(), HandlerError> {
        let (session, device) = Session::start(conn, "tun", &self.parts);
        let carry = async {
            match (&self.hop, device.socket()) {
                (Some(hop), _) => self.visit(&session, &device, hop).await,
                (None, Some(socket)) => self.serve(&session, &device, socket, admission).await,
                (None, None) => return Err(HandlerError::WrongNetwork),
            }
            .map_err(HandlerError::Interface)
        };
        tokio::select! {
            outcome = carry => outcome,
            () = drain.cancelled() => Ok(()),
        }
    }
}
