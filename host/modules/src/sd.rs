//! [`ServiceDiscovery`]: who holds a tunnel.

use std::sync::Arc;

use drawspan_wit::service_discovery::{DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest};
use drawspan_wit::{BoxPlugin, Plugin};

pub use drawspan_wit::CallError;
pub use drawspan_wit::service_discovery::Service;

/// A registry in which gateways announce the tunnels that they hold, and find those of others. Cheap to clone.
#[derive(Clone)]
pub struct ServiceDiscovery {
    register: BoxPlugin<RegisterRequest>,
    renew: BoxPlugin<RenewRequest>,
    deregister: BoxPlugin<DeregisterRequest>,
    services: BoxPlugin<GetServicesRequest>,
}

impl ServiceDiscovery {
    /// Asks `plugin`.
    #[must_use]
    pub fn new<P>(plugin: Arc<P>) -> Self
    where
        P: Plugin<RegisterRequest>
            + Plugin<RenewRequest>
            + Plugin<DeregisterRequest>
            + Plugin<GetServicesRequest>
            + 'static,
    {
        Self {
            register: Arc::<P>::clone(&plugin),
            renew: Arc::<P>::clone(&plugin),
            deregister: Arc::<P>::clone(&plugin),
            services: plugin,
        }
    }

    /// Announces a service.
    ///
    /// # Errors
    /// When the plugin did not take it.
    pub async fn register(&self, service: &Service) -> Result<(), CallError> {
        let Service { id, name, node, network, address } = service.clone();
        self.register.call(Arc::new(RegisterRequest { id, name, node, network, address })).await
    }

    /// Prolongs a registration; network and address aren't sent (GOST reference, modules 2.10).
    ///
    /// # Errors
    /// When the plugin did not take it.
    pub async fn renew(&self, service: &Service) -> Result<(), CallError> {
        let Service { id, name, node, .. } = service.clone();
        self.renew.call(Arc::new(RenewRequest { id, name, node })).await
    }

    /// Ends a registration.
    ///
    /// # Errors
    /// When the plugin did not take it.
    pub async fn deregister(&self, service: &Service) -> Result<(), CallError> {
        let Service { id, name, node, .. } = service.clone();
        self.deregister.call(Arc::new(DeregisterRequest { id, name, node })).await
    }

    /// All who registered `name`.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn services(&self, name: &str) -> Result<Vec<Service>, CallError> {
        self.services.call(Arc::new(GetServicesRequest { name: name.to_owned() })).await
    }
}
