//! [`Recorder`]: keeps records.

use std::sync::Arc;

use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::{BoxPlugin, CallError, Plugin};

/// Keeps records of what the gateway did. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    plugin: BoxPlugin<WriteRequest>,
    metadata: Option<String>,
}

impl Recorder {
    /// Asks `plugin`; `metadata` is that of the recorder's entry in the config, as JSON text.
    #[must_use]
    pub fn new(plugin: BoxPlugin<WriteRequest>, metadata: Option<String>) -> Self {
        Self { plugin, metadata }
    }

    /// Writes one record.
    ///
    /// # Errors
    /// When it was not taken; traffic is unaffected.
    pub async fn write(&self, data: Vec<u8>) -> Result<(), CallError> {
        self.plugin.call(Arc::new(WriteRequest { data, metadata: self.metadata.clone() })).await
    }
}
