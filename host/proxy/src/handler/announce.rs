//! What this gateway serves, told to service discovery.

use std::time::Duration;

use drawspan_modules::{Service, ServiceDiscovery};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Registers a service and renews it every `period`, for as long as it is polled.
pub(super) async fn announce(sd: &ServiceDiscovery, service: &Service, period: Duration) {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_known = false;
    loop {
        let told = if is_known { sd.renew(service).await } else { sd.register(service).await };
        is_known = told.is_ok();
        if let Err(error) = told {
            tracing::warn!(kind = "sd", "can't announce {}: {error}", service.name);
        }
        ticks.tick().await;
    }
}

/// Ends a service.
pub(super) async fn withdraw(sd: &ServiceDiscovery, service: &Service) {
    if let Err(error) = sd.deregister(service).await {
        tracing::debug!(kind = "sd", "can't deregister {}: {error}", service.name);
    }
}
