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
        let answer = tokio::time::timeout(self.after, self.inner.call(call));
        answer.await.unwrap_or_else(|_| Err(missed(self.after)))
    }
}

/// The error of a call that had `time` and no answer.
pub(crate) fn missed(time: Duration) -> CallError {
    let reason = format!("no answer within {time:?}; see what keeps it, or raise `timeout`");
    CallError::new(ErrorKind::Deadline, reason)
}
