//! The SOCKS proxies (RFC 1928, RFC 1929; GOST reference, dataplane 6).

mod associate;
mod bind;
mod client;
mod v4;
mod v5;

#[cfg(test)]
mod tests;

use drawspan_modules::ClientId;
use drawspan_wire::http1::HostPort;
use tokio_util::sync::CancellationToken;

pub use self::v4::Socks4;
pub use self::v5::{Socks5, Socks5Settings};

use self::client::Client;
use super::session::{Asked, Session};
use super::{HandlerError, HandlerParts, sniff};
use crate::net::Buffered;

/// What a handshake may lead to: both ends of a tunnel.
struct Tunnel {
    client: Buffered,
    upstream: Buffered,
    asked: Asked,
    /// What it carries may be looked into: not what somebody else begins.
    sniffed: bool,
}

impl Tunnel {
    async fn run(self, session: &Session<'_>, drain: &CancellationToken) -> Result<(), HandlerError> {
        let Self { client, upstream, asked, sniffed } = self;
        if let Some(sniffing) = session.parts.sniffing.filter(|_| sniffed) {
            return Box::pin(sniff::tunnel(session, client, upstream, asked, None, sniffing, drain)).await;
        }
        session.tunnel(client, upstream, asked, None).await;
        Ok(())
    }
}

/// What a client was let in as.
struct Grant {
    user: Vec<u8>,
    client_id: ClientId,
}

impl Grant {
    /// Of anyone, where nobody is asked for.
    fn anonymous() -> Self {
        Self { user: Vec::new(), client_id: String::new().into() }
    }

    /// Asks the authenticator, if there is one; `None` if it refuses.
    async fn ask(parts: &HandlerParts, session: &Session<'_>, user: Vec<u8>, password: &[u8]) -> Option<Self> {
        let client_id = match &parts.authenticator {
            Some(authenticator) => authenticator.authenticate(&session.info, &user, password).await?,
            None => String::new().into(),
        };
        Some(Self { user, client_id })
    }

    fn asked(self, target: HostPort) -> Asked {
        let user = (!self.user.is_empty()).then(|| String::from_utf8_lossy(&self.user).into_owned());
        Asked { target, user, client_id: self.client_id }
    }
}
