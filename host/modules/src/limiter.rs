//! [`Limiter`]: bandwidth limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use drawspan_wit::traffic_limiter::{LimitRequest, LimitScope};
use drawspan_wit::{BoxPlugin, Call, OnError, Plugin};

use crate::{Addr, ClientId};

pub use drawspan_wit::traffic_limiter::Rates;

/// Keys whose last rates are remembered. Beyond that, what is forgotten is unlimited only while the plugin fails.
const REMEMBERED: usize = 10_000;

/// Sets bandwidth limits, and remembers the last ones for when its plugin fails. Cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    plugin: BoxPlugin<LimitRequest>,
    on_error: Option<OnError>,
    last: Arc<Mutex<HashMap<LimitRequest, Rates>>>,
}

/// What a limit is wanted for (GOST reference, modules 2.5).
#[derive(Clone, Copy, Debug)]
pub enum Limited<'a> {
    /// One connection.
    Connection {
        /// Where the client connects from.
        source: &'a Addr,
    },
    /// A whole service.
    Service,
    /// All connections of a client.
    Client {
        /// The client; anonymous ones share a limit.
        client: &'a ClientId,
        /// The target of the connection that needs the limit first.
        target: &'a str,
        /// Where that connection comes from.
        source: &'a Addr,
    },
}

impl Limiter {
    /// Asks `plugin`, whose failures are errors: what is known comes before what the failure table says, and that before
    /// anything that looks like an answer. `on_error` is the operator's choice there.
    #[must_use]
    pub fn new(plugin: BoxPlugin<LimitRequest>, on_error: Option<OnError>) -> Self {
        Self { plugin, on_error, last: Arc::default() }
    }

    /// The limits in bytes per second; `None` is no limit. When nobody can tell, the last known ones, else those of the failure
    /// table.
    pub async fn rates(&self, service: &str, network: &str, limited: Limited<'_>) -> Rates {
        let mut request = LimitRequest {
            scope: LimitScope::Service,
            service: service.to_owned(),
            network: network.to_owned(),
            target_address: None,
            client_id: None,
            source_address: None,
        };
        match limited {
            Limited::Service => {}
            Limited::Connection { source } => {
                request.scope = LimitScope::Connection;
                request.source_address = Some(source.to_string());
            }
            Limited::Client { client, target, source } => {
                request.scope = LimitScope::Client;
                request.client_id = client.known();
                request.target_address = Some(target.to_owned());
                request.source_address = Some(source.to_string());
            }
        }
        let request = Arc::new(request);
        let reply = self.plugin.call(Arc::clone(&request)).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(&request);
        match reply {
            Ok(rates) => {
                if last.len() >= REMEMBERED && !last.contains_key(&key) {
                    last.clear();
                }
                last.insert(key, rates);
                rates
            }
            Err(error) => {
                let unknown = || request.on_failure(self.on_error, error.kind());
                last.get(&key).copied().or_else(unknown).unwrap_or(Rates { upload: None, download: None })
            }
        }
    }
}

/// What a limit is shared by: a client's doesn't depend on where it connects from and to.
fn key(request: &LimitRequest) -> LimitRequest {
    match request.scope {
        LimitScope::Client => LimitRequest { target_address: None, source_address: None, ..request.clone() },
        LimitScope::Connection | LimitScope::Service => request.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use drawspan_wit::{CallError, ErrorKind, boxed};

    use super::*;

    struct Flapping(Arc<AtomicBool>);

    impl Plugin<LimitRequest> for Flapping {
        async fn call(&self, _: Arc<LimitRequest>) -> Result<Rates, CallError> {
            if self.0.load(Ordering::Relaxed) {
                Ok(Rates { upload: Some(1), download: None })
            } else {
                Err(CallError::new(ErrorKind::Unavailable, "on purpose"))
            }
        }
    }

    #[tokio::test]
    async fn the_last_rates_stay_while_the_plugin_fails() {
        for (on_error, unknown) in [(None, None), (Some(OnError::Allow), None), (Some(OnError::Deny), Some(0))] {
            let works = Arc::new(AtomicBool::new(true));
            let limiter = Limiter::new(boxed(Flapping(Arc::clone(&works))), on_error);
            let alice = ClientId::from("alice".to_owned());
            let bob = ClientId::from("bob".to_owned());
            let of = async |client: &ClientId, port| {
                let source = &Addr::from(std::net::SocketAddr::from(([192, 0, 2, 7], port)));
                let limited = Limited::Client { client, target: "example.org:443", source };
                limiter.rates("s", "tcp", limited).await.upload
            };
            assert_eq!(of(&alice, 1).await, Some(1));
            works.store(false, Ordering::Relaxed);
            for port in [2, 3] {
                assert_eq!(of(&alice, port).await, Some(1), "{on_error:?}");
                assert_eq!(of(&bob, port).await, unknown, "{on_error:?}");
            }
        }
    }
}
