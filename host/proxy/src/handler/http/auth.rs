//! [`Grant`]: that a client may use the proxy, and which one it is.

use drawspan_modules::ClientId;
use drawspan_wire::http1::{Credentials, HostPort, RequestHead};

use super::{Asked, Http, Session};

/// What a connection's client was let in with.
pub(super) struct Grant {
    client_id: ClientId,
    user: Option<String>,
    /// The bytes of its `Proxy-Authorization`, if it sent one.
    authorization: Option<Box<[u8]>>,
}

impl Grant {
    pub(super) fn asked(&self, address: &HostPort) -> Asked {
        Asked { target: address.clone(), user: self.user.clone(), client_id: self.client_id.clone() }
    }

    /// Whether it covers a request with these credentials. Without any it does: clients may send them once.
    fn covers(&self, authorization: Option<&[u8]>) -> bool {
        authorization.is_none() || authorization == self.authorization.as_deref()
    }
}

impl Http {
    /// The grant for a request, or `None` if it is to be refused; then the connection's grant is gone.
    ///
    /// A client is asked about once per connection, and again when it comes with other credentials.
    /// GOST: whoever sent the first request is taken to have sent all of them.
    pub(super) async fn authenticate<'g>(
        &self,
        session: &Session<'_>,
        head: &RequestHead<'_>,
        grant: &'g mut Option<Grant>,
    ) -> Option<&'g Grant> {
        let authorization = head.headers.get("proxy-authorization");
        if !grant.as_ref().is_some_and(|grant| grant.covers(authorization)) {
            let Credentials { username, password } = authorization.and_then(Credentials::parse).unwrap_or_default();
            *grant = match &self.parts.authenticator {
                None => Some(ClientId::from(String::new())),
                Some(authenticator) => authenticator.authenticate(&session.info, &username, &password).await,
            }
            .map(|client_id| Grant {
                client_id,
                user: (!username.is_empty()).then(|| String::from_utf8_lossy(&username).into_owned()),
                authorization: authorization.map(Into::into),
            });
        }
        grant.as_ref()
    }
}
