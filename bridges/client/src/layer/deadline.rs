//! [`Deadline`]: every call ends.

use std::sync::Arc;
use std::time::Duration;

use drawspan_wit::{Call, CallError, ErrorKind, Plugin};

/// Gives a call so much time, all that it waits for included. GOST: only its HTTP plugins can have a deadline.
pub(crate) struct Deadline<P> {
    inner: P,
    after: Duration,
}

impl<P> Deadline<P> {
    pub(crate) const fn new(inner: P, after: Duration) -> Self {
        Self { inner, after }
    }
}

impl<C: Call, P: Plugin<C>> Plugin<C> for Deadline<P> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        within(self.after, self.inner.call(call)).await.flatten()
    }
}

/// Gives `work` so much time.
pub(crate) async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, CallError> {
    tokio::time::timeout(time, work).await.map_err(|_| {
        let reason = format!("no answer within {time:?}; see what keeps it, or raise `timeout`");
        CallError::new(ErrorKind::Deadline, reason)
    })
}
