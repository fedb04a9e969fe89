//! [`Observer`]: receives counters and states.

use std::sync::Arc;

use drawspan_wit::observer::ObserveRequest;
use drawspan_wit::{BoxPlugin, CallError, Plugin};

pub use drawspan_wit::observer::{Event, EventDetail, EventSource, ServiceState, Stats, Status};

/// Receives traffic counters and state changes. Cheap to clone.
#[derive(Clone)]
pub struct Observer {
    plugin: BoxPlugin<ObserveRequest>,
}

impl Observer {
    /// Asks `plugin`.
    #[must_use]
    pub fn new(plugin: BoxPlugin<ObserveRequest>) -> Self {
        Self { plugin }
    }

    /// Delivers a batch; an empty one is never sent.
    ///
    /// # Errors
    /// When it was not taken: the caller sends it again.
    pub async fn observe(&self, events: Vec<Event>) -> Result<(), CallError> {
        if events.is_empty() {
            return Ok(());
        }
        self.plugin.call(Arc::new(ObserveRequest { events })).await
    }
}
