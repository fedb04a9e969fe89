//! [`Nameservers`]: several in a row.

use std::net::IpAddr;
use std::sync::Arc;

use drawspan_modules::ClientId;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::{CallError, ErrorKind, Plugin};

use crate::Nameserver;
use crate::message;

/// Asks one nameserver after the other until one knows addresses.
pub struct Nameservers(Vec<Nameserver>);

impl Nameservers {
    /// Asked in this order.
    #[must_use]
    pub fn new(nameservers: Vec<Nameserver>) -> Self {
        Self(nameservers)
    }
}

impl Plugin<ResolveRequest> for Nameservers {
    /// Nothing when a nameserver says that there is nothing; an address is its own.
    async fn call(&self, call: Arc<ResolveRequest>) -> Result<Vec<String>, CallError> {
        if call.host.parse::<IpAddr>().is_ok() {
            return Ok(vec![call.host.clone()]);
        }
        let name = message::name(&call.host).map_err(|error| CallError::new(ErrorKind::Refused, error))?;
        let client = ClientId::from(call.client_id.clone().unwrap_or_default());
        let mut outcome = Err(CallError::new(ErrorKind::Unavailable, "there is no nameserver"));
        for nameserver in &self.0 {
            match nameserver.lookup(&name, call.family, &client).await {
                Ok(addresses) if !addresses.is_empty() => return Ok(addresses.iter().map(IpAddr::to_string).collect()),
                Ok(_) => outcome = Ok(Vec::new()),
                Err(reason) => {
                    tracing::debug!(kind = "resolver", host = call.host, "{nameserver}: {reason}");
                    if outcome.is_err() {
                        outcome = Err(CallError::new(ErrorKind::Unavailable, format!("{nameserver}: {reason}")));
                    }
                }
            }
        }
        outcome
    }
}
