//! [`Fallback`]: another plugin for when this one is away.

use std::sync::Arc;

use drawspan_wit::{Call, CallError, ErrorKind, Plugin};
use prometheus_client::metrics::counter::Counter;

/// Asks a second plugin when the first can't be reached. After any other failure it doesn't: a client may be able to cause
/// those, and must not choose who judges it. What a bridge calls unavailable is what none can cause, where that matters.
pub(crate) struct Fallback<P, F> {
    inner: P,
    /// The second plugin, and how often it was asked.
    fallback: Option<(F, Counter)>,
}

impl<P, F> Fallback<P, F> {
    pub(crate) const fn new(inner: P, fallback: Option<(F, Counter)>) -> Self {
        Self { inner, fallback }
    }
}

impl<C: Call, P: Plugin<C>, F: Plugin<C>> Plugin<C> for Fallback<P, F> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let Some((fallback, asked)) = &self.fallback else {
            return self.inner.call(call).await;
        };
        match self.inner.call(Arc::clone(&call)).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                asked.inc();
                fallback.call(call).await
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests;
