//! [`Limits`]: bandwidth, shared by whatever it is set for.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use drawspan_modules::Rates;
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
    renewal: Option<Renewal>,
}

/// Asks for the rates again; `None` when they stay for good.
pub(crate) type Renew = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Option<Rates>> + Send>> + Send + Sync>;

/// Rates that may be others later.
struct Renewal {
    start: Instant,
    every: Duration,
    /// Nanoseconds from `start` to when they are asked for again.
    due: AtomicU64,
    renew: Renew,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every {:?}", self.every)
    }
}

impl Limits {
    /// Bytes per second; `None` is no limit, zero lets nothing pass.
    #[must_use]
    pub fn new(upload: Option<u64>, download: Option<u64>) -> Self {
        let limits = Self { upload: Bucket::new(), download: Bucket::new(), renewal: None };
        limits.set(upload, download);
        limits
    }

    /// With rates that are asked for again, by who uses them, when they are older than `every`.
    pub(crate) fn renewed(upload: Option<u64>, download: Option<u64>, every: Duration, renew: Renew) -> Self {
        let due = AtomicU64::new(nanoseconds(every));
        Self { renewal: Some(Renewal { start: Instant::now(), every, due, renew }), ..Self::new(upload, download) }
    }

    /// Asks for the rates if they are old. Who uses them meanwhile goes on with the old ones.
    pub(crate) fn renew_if_due(self: &Arc<Self>) {
        let Some(renewal) = &self.renewal else { return };
        let (now, due) = (nanoseconds(renewal.start.elapsed()), renewal.due.load(Relaxed));
        let next = now.saturating_add(nanoseconds(renewal.every));
        // One of those who find them old asks.
        if now < due || renewal.due.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            return;
        }
        let (limits, asked) = (Arc::clone(self), (renewal.renew)());
        tokio::spawn(async move {
            if let Some(Rates { upload, download }) = asked.await {
                limits.set(upload, download);
            }
        });
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
        let now = nanoseconds(self.start.elapsed());
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

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
