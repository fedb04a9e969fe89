//! [`LogLimit`]: what goes wrong all the time doesn't flood the log.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Lines written at once, and then one a second.
const BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Bounds the log lines of one kind and plugin.
pub(crate) struct LogLimit {
    limiter: DefaultDirectRateLimiter,
    unlogged: AtomicU64,
}

impl LogLimit {
    pub(crate) fn new() -> Self {
        let quota = Quota::per_second(NonZeroU32::MIN).allow_burst(BURST);
        Self { limiter: RateLimiter::direct(quota), unlogged: AtomicU64::new(0) }
    }

    /// Lets `write` write its line, with the number of those left out since the last if there are any; or leaves it out.
    pub(crate) fn line(&self, write: impl FnOnce(Option<u64>)) {
        match self.limiter.check() {
            Ok(()) => write(Some(self.unlogged.swap(0, Ordering::Relaxed)).filter(|count| *count > 0)),
            Err(_) => {
                self.unlogged.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
