//! [`FailSafe`]: what a failure means.

use std::sync::Arc;

use drawspan_wit::{Call, CallError, OnError, Plugin};

/// Turns a failure into the module's answer, by the failure table ([`Call::on_failure`]) and the operator's `onError`.
pub(crate) struct FailSafe<P> {
    pub(crate) inner: P,
    on_error: Option<OnError>,
}

impl<P> FailSafe<P> {
    pub(crate) const fn new(inner: P, on_error: Option<OnError>) -> Self {
        Self { inner, on_error }
    }
}

impl<C: Call, P: Plugin<C>> Plugin<C> for FailSafe<P> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        match self.inner.call(Arc::clone(&call)).await {
            Err(error) => call.on_failure(self.on_error, error.kind()).ok_or(error),
            reply => reply,
        }
    }
}
