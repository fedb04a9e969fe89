//! [`Limits`]: bandwidth, shared by whatever it is set for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// How far a flow may run ahead of its rate. Short, so that what moved in some seconds is true to the rate.
///
/// GOST: a second's worth of bytes.
const BURST: Duration = Duration::from_millis(100);

/// No limit.
const UNLIMITED: u64 = u64::MAX;

/// Bandwidth in both directions: of a service, of a client, of one connection.
#[derive(Debug)]
pub struct Limits {
    /// From the client.
    pub(crate) upload: Bucket,
    /// To the client.
    pub(crate) download: Bucket,
}

impl Limits {
    /// Bytes per second; `None` is no limit, zero lets nothing pass.
    #[must_use]
    pub fn new(upload: Option<u64>, download: Option<u64>) -> Self {
        let limits = Self { upload: Bucket::new(), download: Bucket::new() };
        limits.set(upload, download);
        limits
    }

    /// Other rates from now on.
    pub fn set(&self, upload: Option<u64>, download: Option<u64>) {
        self.upload.rate.store(upload.unwrap_or(UNLIMITED), Relaxed);
        self.download.rate.store(download.unwrap_or(UNLIMITED), Relaxed);
    }
}

/// A token bucket (as GCRA: it remembers when what was taken so far is paid for).
#[derive(Debug)]
pub(crate) struct Bucket {
    start: Instant,
    /// Bytes per second.
    rate: AtomicU64,
    /// Nanoseconds since `start`.
    paid: AtomicU64,
}

impl Bucket {
    fn new() -> Self {
        Self { start: Instant::now(), rate: AtomicU64::new(UNLIMITED), paid: AtomicU64::new(0) }
    }

    /// How many bytes should move at once, so that they move evenly.
    pub(crate) fn portion(&self) -> usize {
        match self.rate.load(Relaxed) {
            UNLIMITED => usize::MAX,
            rate => usize::try_from(rate / 20).unwrap_or(usize::MAX).max(1),
        }
    }

    /// Takes what `bytes` cost, and says how long to wait before any more may move.
    pub(crate) fn take(&self, bytes: usize) -> Duration {
        let rate = self.rate.load(Relaxed);
        if rate == UNLIMITED {
            return Duration::ZERO;
        }
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let cost = u64::try_from(bytes as u128 * 1_000_000_000 / u128::from(rate.max(1))).unwrap_or(u64::MAX);
        let burst = BURST.as_nanos() as u64;
        let pay = |paid: u64| Some(paid.max(now.saturating_sub(burst)).saturating_add(cost));
        // The update can't fail: `pay` always has a result.
        let paid = self.paid.fetch_update(Relaxed, Relaxed, pay).ok().and_then(pay).unwrap_or(now);
        Duration::from_nanos(paid.saturating_sub(now))
    }

    /// Whether nothing may pass at all.
    pub(crate) fn is_shut(&self) -> bool {
        self.rate.load(Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_true_to_the_rate() {
        for rate in [10, 1000, 100_000, 3_000_000] {
            let limits = Limits::new(Some(rate), None);
            assert_eq!(limits.download.portion(), usize::MAX);
            assert_eq!(limits.download.take(usize::MAX), Duration::ZERO);
            let (start, mut moved) = (Instant::now(), 0);
            while start.elapsed() < Duration::from_secs(5) {
                let portion = limits.upload.portion().min(64 * 1024);
                moved += portion as u64;
                tokio::time::sleep(limits.upload.take(portion)).await;
            }
            let expected = rate * 5;
            assert!(moved.abs_diff(expected) * 20 <= expected, "{moved} of {expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_shared_and_can_change() {
        let limits = Limits::new(None, Some(1000));
        assert_eq!(limits.download.take(1000), Duration::from_secs(1));
        assert_eq!(limits.download.take(1000), Duration::from_secs(2));
        limits.set(None, Some(0));
        assert!(limits.download.is_shut() && !limits.upload.is_shut());
        limits.set(None, None);
        assert_eq!(limits.download.take(1), Duration::ZERO);
    }
}
