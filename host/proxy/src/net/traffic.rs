//! [`Traffic`] and [`Activity`]: how many bytes moved, and when the last of them did.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long the other direction of a pipe may be silent once one has ended.
///
/// GOST: 10 s after one direction has ended the other is cut off, even in the middle of a download. Here it may go on as
/// long as bytes move.
const HALF_CLOSED_IDLE: Duration = Duration::from_secs(60);

/// Bytes of one connection, as the client's side sees them. Shared: it may be read while the connection goes on.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes from the client.
    pub input: AtomicU64,
    /// Bytes to the client.
    pub output: AtomicU64,
}

impl Traffic {
    /// Bytes from and to the client so far.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.input.load(Relaxed), self.output.load(Relaxed))
    }
}

/// When bytes last moved in any direction of an exchange.
#[derive(Debug)]
pub(crate) struct Activity {
    start: Instant,
    /// Nanoseconds since `start`.
    last: AtomicU64,
    half_closed: AtomicBool,
    changed: Notify,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
            half_closed: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// One of two directions has ended.
    pub(crate) fn half_close(&self) {
        self.touch();
        self.half_closed.store(true, Relaxed);
        self.changed.notify_one();
    }

    /// Resolves when no byte has moved for `limit` (`None`: never), or for a minute after a half-close.
    pub(crate) async fn idle(&self, limit: Option<Duration>) {
        loop {
            let half_closed = self.half_closed.load(Relaxed);
            let limit = match limit {
                Some(limit) if half_closed => Some(limit.min(HALF_CLOSED_IDLE)),
                None if half_closed => Some(HALF_CLOSED_IDLE),
                limit => limit,
            };
            let Some(limit) = limit else {
                self.changed.notified().await;
                continue;
            };
            let deadline = self.start + Duration::from_nanos(self.last.load(Relaxed)) + limit;
            if Instant::now() >= deadline {
                return;
            }
            tokio::select! {
                () = sleep_until(deadline) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn touch(&self) {
        self.last.store(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// Where the bytes of one direction are counted.
#[derive(Clone, Copy)]
pub(crate) struct Flow<'a> {
    pub(crate) counter: &'a AtomicU64,
    pub(crate) activity: &'a Activity,
}

impl Flow<'_> {
    pub(crate) fn moved(self, bytes: usize) {
        self.counter.fetch_add(bytes as u64, Relaxed);
        self.activity.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idleness_starts_anew_with_every_byte() {
        let traffic = Traffic::default();
        let activity = Activity::new();
        let flow = Flow { counter: &traffic.input, activity: &activity };
        let limit = Duration::from_secs(10);
        let busy = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(8)).await;
                flow.moved(1);
            }
        };
        let start = Instant::now();
        tokio::join!(busy, activity.idle(Some(limit)));
        assert_eq!(start.elapsed(), Duration::from_secs(50));
        assert_eq!(traffic.totals(), (5, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_close_starts_a_limit_where_there_is_none() {
        let activity = Activity::new();
        let start = Instant::now();
        let closing = async {
            tokio::time::sleep(Duration::from_secs(1000)).await;
            activity.half_close();
        };
        tokio::join!(closing, activity.idle(None));
        assert_eq!(start.elapsed(), Duration::from_secs(1000) + HALF_CLOSED_IDLE);
    }
}
