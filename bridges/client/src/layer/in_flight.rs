//! [`InFlight`]: bounds the calls at a time.

use std::sync::Arc;

use drawspan_wit::{Call, CallError, ErrorKind, Plugin};
use tokio::sync::Semaphore;

/// Lets so many calls through at a time; one more fails at once, so that a slow plugin can't pile up work.
pub(crate) struct InFlight<P> {
    inner: P,
    room: Semaphore,
    limit: usize,
}

impl<P> InFlight<P> {
    pub(crate) fn new(inner: P, limit: usize) -> Self {
        Self { inner, room: Semaphore::new(limit), limit }
    }
}

impl<C: Call, P: Plugin<C>> Plugin<C> for InFlight<P> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let Ok(_room) = self.room.try_acquire() else {
            let reason = format!("{} calls are in flight already; raise `concurrency` if it can take more", self.limit);
            return Err(CallError::new(ErrorKind::Overloaded, reason));
        };
        self.inner.call(call).await
    }
}
