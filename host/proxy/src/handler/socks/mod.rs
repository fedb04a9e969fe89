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

pub use self::v4::Socks4;
pub use self::v5::{Socks5, Socks5Settings};

use self::client::Client;
use super::session::{Asked, Session};
use super::{HandlerError, HandlerParts};
use crate::net::Buffered;

/// What a handshake may lead to: both ends of a tunnel.
struct Tunnel {
    client: Buffered,
    upstream: Buffered,
    asked: Asked,
}

impl Tunnel {
    async fn run(self, session: &Session<'_>) {
        session.tunnel(self.client, self.upstream, self.asked, None).await;
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
