//! [`Marker`]: how often something failed lately.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// When something counts as failed (GOST reference, config 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailFilter {
    /// Failures in a row.
    pub max_fails: u32,
    /// How long they are remembered after the last.
    pub fail_timeout: Duration,
}

impl Default for FailFilter {
    fn default() -> Self {
        Self { max_fails: 1, fail_timeout: Duration::from_secs(10) }
    }
}

/// Counts failures in a row.
#[derive(Debug)]
pub(crate) struct Marker {
    start: Instant,
    fails: AtomicU64,
    /// Nanoseconds from `start` to the last failure.
    last: AtomicU64,
}

impl Default for Marker {
    fn default() -> Self {
        Self { start: Instant::now(), fails: AtomicU64::new(0), last: AtomicU64::new(0) }
    }
}

impl Marker {
    pub(crate) fn failed(&self) {
        self.last.store(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.fails.fetch_add(1, Relaxed);
    }

    pub(crate) fn succeeded(&self) {
        self.fails.store(0, Relaxed);
    }

    pub(crate) fn is_failed(&self, filter: FailFilter) -> bool {
        // `maxFails: 0` is the default, as in GOST.
        self.fails.load(Relaxed) >= u64::from(filter.max_fails.max(1))
            && self.last_failure().elapsed() < filter.fail_timeout
    }

    pub(crate) fn last_failure(&self) -> Instant {
        self.start + Duration::from_nanos(self.last.load(Relaxed))
    }
}

/// An attempt that counts as failed unless it is said to have succeeded: also when its time is over and it is dropped.
pub(crate) struct Attempt<'m>(Option<&'m Marker>);

impl<'m> Attempt<'m> {
    pub(crate) fn of(marker: &'m Marker) -> Self {
        Self(Some(marker))
    }

    pub(crate) fn succeeded(mut self) {
        if let Some(marker) = self.0.take() {
            marker.succeeded();
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(marker) = self.0 {
            marker.failed();
        }
    }
}
