//! [`Authenticator`]: who may use a service.

use std::sync::Arc;

use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use drawspan_wit::{BoxPlugin, Call, CallError, Plugin};
use ipnet::IpNet;

use crate::ConnInfo;

/// The id that an authenticator gave a client; empty for a client that was let in anonymously.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id for another module's request: an anonymous client has none.
    #[must_use]
    pub fn known(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.to_string())
    }
}

impl From<String> for ClientId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

/// Decides whether a client may use a service. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    plugin: BoxPlugin<AuthenticationRequest>,
    spared: Arc<[IpNet]>,
}

impl Authenticator {
    /// Asks `plugin`.
    #[must_use]
    pub fn new(plugin: BoxPlugin<AuthenticationRequest>) -> Self {
        Self { plugin, spared: Arc::default() }
    }

    /// Clients in these networks are let in anonymously and unasked (`skipauth`).
    #[must_use]
    pub fn sparing(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { spared: networks.into_iter().collect(), ..self }
    }

    /// The client's id, or `None` if it is to be refused.
    ///
    /// Empty `username` and `password` mean that none were presented; the plugin is asked all the same (GOST reference,
    /// modules 2.1). Credentials that aren't UTF-8 are refused unasked: replacing bytes could make two passwords one.
    pub async fn authenticate(&self, conn: &ConnInfo, username: &[u8], password: &[u8]) -> Option<ClientId> {
        if conn.client.ip().is_some_and(|ip| self.spared.iter().any(|network| network.contains(&ip))) {
            return Some(String::new().into());
        }
        let (Ok(username), Ok(password)) = (std::str::from_utf8(username), std::str::from_utf8(password)) else {
            tracing::warn!(
                kind = "auther",
                service = %conn.service,
                sid = %conn.sid,
                client = %conn.client,
                "credentials are not valid UTF-8; denied"
            );
            return None;
        };
        let request = AuthenticationRequest {
            username: username.to_owned(),
            password: password.to_owned(),
            client_address: Some(conn.client.to_string()),
            service: conn.service.to_string(),
            certificate: conn.certificate.as_deref().cloned(),
        };
        match self.plugin.call(Arc::new(request)).await {
            Ok(identity) => identity.map(|identity| identity.client_id.into()),
            // A client of the plugin answers its failures itself, by the failure table; what is left is a refusal.
            Err(_) => None,
        }
    }
}

/// Several authenticators in order: the first that accepts supplies the id, later ones aren't asked (GOST reference,
/// modules 5).
pub struct AnyOf(Vec<BoxPlugin<AuthenticationRequest>>);

impl AnyOf {
    /// Denies everyone when `members` is empty.
    #[must_use]
    pub fn new(members: Vec<BoxPlugin<AuthenticationRequest>>) -> Self {
        Self(members)
    }
}

impl Plugin<AuthenticationRequest> for AnyOf {
    async fn call(
        &self,
        call: Arc<AuthenticationRequest>,
    ) -> Result<<AuthenticationRequest as Call>::Reply, CallError> {
        for member in &self.0 {
            if let Ok(Some(identity)) = member.call(Arc::clone(&call)).await {
                return Ok(Some(identity));
            }
        }
        Ok(None::<Identity>)
    }
}
