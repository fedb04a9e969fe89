//! [`Hop`]: which node carries a request.

use std::sync::Arc;

use drawspan_wit::hop::HopRequest;
use drawspan_wit::{BoxPlugin, CallError, Plugin};

use crate::{Addr, ClientId, Target};

/// Chooses the node that carries a request over one hop. Cheap to clone.
#[derive(Clone)]
pub struct Hop {
    plugin: BoxPlugin<HopRequest>,
}

impl Hop {
    /// Asks `plugin`.
    #[must_use]
    pub fn new(plugin: BoxPlugin<HopRequest>) -> Self {
        Self { plugin }
    }

    /// Of `target` only what isn't empty is known: nearly nothing for a forwarder, which looks for one.
    ///
    /// The node's JSON text, or `None` for no node: the route then ends before this hop.
    ///
    /// # Errors
    /// When nobody can tell: the dial fails. GOST: goes on without a node, which on the first hop means directly.
    pub async fn select(
        &self,
        target: &Target,
        client: Option<&ClientId>,
        source: Option<&Addr>,
    ) -> Result<Option<String>, CallError> {
        let request = HopRequest {
            network: known(&target.network),
            target_address: known(&target.address),
            host: target.host.clone(),
            path: target.path.clone(),
            client_id: client.and_then(ClientId::known),
            source_address: source.map(Addr::to_string),
        };
        self.plugin.call(Arc::new(request)).await
    }
}

fn known(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
