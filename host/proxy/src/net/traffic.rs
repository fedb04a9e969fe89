//! [`Traffic`], [`Meters`] and [`Activity`]: how many bytes moved, how many more may, and when the last of them did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::limit::{Bucket, Limits};
use super::{Buffered, counting};

/// How long the other direction of a pipe may be silent once one has ended.
///
/// GOST: 10 s after one direction has ended the other is cut off, even in the middle of a download. Here it may go on as
/// long as bytes move.
const HALF_CLOSED_IDLE: Duration = Duration::from_secs(60);

/// How soon a changed limit is noticed by who waits for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Counters that connections share: those of a service, or of a client of a handler. Observers report them.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections so far.
    pub total_conns: AtomicU64,
    /// Connections now.
    pub current_conns: AtomicU64,
    /// Bytes from clients.
    pub input: AtomicU64,
    /// Bytes to clients.
    pub output: AtomicU64,
    /// Connections that ended with an error.
    pub total_errs: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, direction: Direction, bytes: u64) {
        match direction {
            Direction::Up => self.input.fetch_add(bytes, Relaxed),
            Direction::Down => self.output.fetch_add(bytes, Relaxed),
        };
    }
}

/// A connection that counts as a current one of its client until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Counters>);

impl Counted {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        counters.total_conns.fetch_add(1, Relaxed);
        counters.current_conns.fetch_add(1, Relaxed);
        Self(counters)
    }

    pub(crate) fn count(&self, direction: Direction, bytes: usize) {
        self.0.count(direction, bytes as u64);
    }

    pub(crate) fn failed(&self) {
        self.0.total_errs.fetch_add(1, Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.current_conns.fetch_sub(1, Relaxed);
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client.
    Up,
    /// To the client.
    Down,
}

impl Direction {
    const fn reversed(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// Bytes of one connection, as the client's side sees them. Shared: it may be read while the connection goes on.
#[derive(Debug, Default)]
pub struct Traffic {
    input: AtomicU64,
    output: AtomicU64,
    /// Counted there too.
    shared: Box<[Arc<Counters>]>,
}

impl Traffic {
    /// Counts into `shared` as well.
    #[must_use]
    pub fn of(shared: Box<[Arc<Counters>]>) -> Self {
        Self { shared, ..Self::default() }
    }

    /// Bytes from and to the client so far.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.input.load(Relaxed), self.output.load(Relaxed))
    }

    /// `conn` with its bytes counted for the service, below what is layered over it.
    pub(crate) fn below(&self, conn: Buffered) -> Buffered {
        if self.shared.is_empty() { conn } else { counting(conn, self.shared.clone()) }
    }

    pub(crate) fn count(&self, direction: Direction, bytes: usize) {
        let bytes = bytes as u64;
        match direction {
            Direction::Up => self.input.fetch_add(bytes, Relaxed),
            Direction::Down => self.output.fetch_add(bytes, Relaxed),
        };
        self.shared.iter().for_each(|shared| shared.count(direction, bytes));
    }
}

/// What the bytes of a tunnel or an exchange are counted and limited by.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// The client's counters.
    pub(crate) client: Option<Arc<Counted>>,
    /// All of them apply.
    pub(crate) limits: Vec<Arc<Limits>>,
    /// Those of the other end.
    pub(crate) far: Far,
}

/// What the bytes of a tunnel are counted and limited by for who serves it: from its side they go the other way.
#[derive(Debug, Default)]
pub(crate) struct Far {
    pub(crate) client: Option<Counted>,
    /// All of them apply.
    pub(crate) limits: Vec<Arc<Limits>>,
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

    pub(crate) fn touch(&self) {
        self.last.store(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// One direction of a tunnel or an exchange.
#[derive(Clone, Copy)]
pub(crate) struct Flow<'a> {
    pub(crate) direction: Direction,
    pub(crate) traffic: &'a Traffic,
    pub(crate) meters: &'a Meters,
    pub(crate) activity: &'a Activity,
}

impl<'a> Flow<'a> {
    /// Both directions, up first.
    pub(crate) fn both(traffic: &'a Traffic, meters: &'a Meters, activity: &'a Activity) -> (Self, Self) {
        let up = Self { direction: Direction::Up, traffic, meters, activity };
        (up, Self { direction: Direction::Down, ..up })
    }

    /// How many bytes may be read at once.
    pub(crate) fn portion(self) -> usize {
        self.buckets().map(Bucket::portion).min().unwrap_or(usize::MAX)
    }

    /// Counts bytes that moved, and waits until more may.
    pub(crate) async fn moved(self, bytes: usize) {
        self.count(bytes);
        self.pace(bytes).await;
    }

    /// Counts bytes that moved.
    pub(crate) fn count(self, bytes: usize) {
        self.traffic.count(self.direction, bytes);
        let near = self.meters.client.as_deref().map(|client| (client, self.direction));
        let far = self.meters.far.client.as_ref().map(|client| (client, self.direction.reversed()));
        for (client, direction) in near.into_iter().chain(far) {
            client.count(direction, bytes);
        }
        self.activity.touch();
    }

    /// Waits until more may move than the bytes that did.
    pub(crate) async fn pace(self, bytes: usize) {
        self.renew();
        let pause = self.buckets().map(|bucket| bucket.take(bytes)).max().unwrap_or_default();
        if !pause.is_zero() {
            // In parts: a limit may be raised meanwhile.
            sleep(pause.min(LONGEST_PAUSE)).await;
        }
        while self.buckets().any(Bucket::is_shut) {
            sleep(LONGEST_PAUSE).await;
            self.renew();
        }
    }

    fn renew(self) {
        self.meters.limits.iter().chain(&self.meters.far.limits).for_each(Limits::renew_if_due);
    }

    fn buckets(self) -> impl Iterator<Item = &'a Bucket> {
        let near = self.meters.limits.iter().map(move |limits| (limits, self.direction));
        let far = self.meters.far.limits.iter().map(move |limits| (limits, self.direction.reversed()));
        near.chain(far).map(|(limits, direction)| match direction {
            Direction::Up => &limits.upload,
            Direction::Down => &limits.download,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idleness_starts_anew_with_every_byte() {
        let (traffic, meters, activity) = (Traffic::default(), Meters::default(), Activity::new());
        let (flow, _) = Flow::both(&traffic, &meters, &activity);
        let limit = Duration::from_secs(10);
        let busy = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(8)).await;
                flow.moved(1).await;
            }
        };
        let start = Instant::now();
        tokio::join!(busy, activity.idle(Some(limit)));
        assert_eq!(start.elapsed(), Duration::from_secs(50));
        assert_eq!(traffic.totals(), (5, 0));
    }

    #[tokio::test]
    async fn from_the_far_end_bytes_go_the_other_way() {
        let counters = Arc::new(Counters::default());
        let client = Some(Counted::new(Arc::clone(&counters)));
        let far = Far { client, limits: vec![Arc::new(Limits::new(None, Some(0)))] };
        let (traffic, meters, activity) = (Traffic::default(), Meters { far, ..Meters::default() }, Activity::new());
        let (up, down) = Flow::both(&traffic, &meters, &activity);
        up.count(3);
        down.count(5);
        assert_eq!((counters.input.load(Relaxed), counters.output.load(Relaxed)), (5, 3));
        assert_eq!(traffic.totals(), (3, 5));
        assert!(up.buckets().any(Bucket::is_shut) && !down.buckets().any(Bucket::is_shut));
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
