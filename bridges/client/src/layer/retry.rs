//! [`Retry`]: a failure that passes isn't noticed.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use drawspan_wit::{Call, CallError, ErrorKind, Plugin, Refusal};

/// The longest pause before the second attempt; it doubles from attempt to attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Asks again after a failure that may pass, if the call may be repeated. The deadline around it bounds all attempts.
pub(crate) struct Retry<P> {
    inner: P,
    retries: u32,
}

impl<P> Retry<P> {
    /// `retries` is the number of attempts after the first.
    pub(crate) const fn new(inner: P, retries: u32) -> Self {
        Self { inner, retries }
    }
}

impl<C: Call, P: Plugin<C>> Plugin<C> for Retry<P> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let mut left = if C::LEAVE.repeat { self.retries } else { 0 };
        let mut pause = FIRST_PAUSE;
        loop {
            match self.inner.call(Arc::clone(&call)).await {
                Err(error) if left > 0 && may_pass(&error) => {
                    tokio::time::sleep(jittered(pause)).await;
                    left -= 1;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                result => return result,
            }
        }
    }
}

/// A refusal or a bad reply would only be repeated, and an overload made worse; but what a plugin lacks may be there soon.
fn may_pass(error: &CallError) -> bool {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Trapped => true,
        ErrorKind::Refused => error.refusal() == Some(Refusal::Unavailable),
        ErrorKind::Deadline | ErrorKind::Overloaded | ErrorKind::BadReply => false,
    }
}

/// Between half and the whole of `pause`, so that those who failed together don't come back together.
fn jittered(pause: Duration) -> Duration {
    // Each `RandomState` has other keys; that is chance enough here.
    let random = RandomState::new().hash_one(()) >> 32;
    pause.mul_f64(0.5 + 0.5 * random as f64 / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
