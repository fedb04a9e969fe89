//! [`Rewriter`]: HTTP bodies.

use std::sync::Arc;

use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::{BoxPlugin, Plugin};

/// Rewrites HTTP bodies. Cheap to clone.
#[derive(Clone)]
pub struct Rewriter {
    plugin: BoxPlugin<RewriteRequest>,
}

impl Rewriter {
    /// Asks `plugin`.
    #[must_use]
    pub fn new(plugin: BoxPlugin<RewriteRequest>) -> Self {
        Self { plugin }
    }

    /// The new body, or `None` to leave it as it is, also when nobody can tell. `metadata` is JSON text (GOST reference,
    /// modules 2.13).
    pub async fn rewrite(&self, body: Vec<u8>, metadata: Option<String>) -> Option<Vec<u8>> {
        self.plugin.call(Arc::new(RewriteRequest { data: body, metadata })).await.ok().flatten()
    }
}
