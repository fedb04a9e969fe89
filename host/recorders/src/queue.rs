//! [`Queue`]: between connections that have something to record and a place that may be slow.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::{CallError, Plugin};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

/// The bytes that may wait; what comes on top is lost.
const MAX_WAITING: usize = 16 << 20;
/// What a waiting record takes beside its data.
const OVERHEAD: usize = 96;
/// Losses are told of no more often.
const TELL: Duration = Duration::from_secs(1);

/// A place that keeps records.
pub trait Sink: Send + Sync + 'static {
    /// Batches on their way at a time; with one of them records keep their order.
    const AT_A_TIME: usize;
    /// The most records in one batch.
    const BATCH: usize;

    /// Keeps those records, at least one.
    ///
    /// # Errors
    /// Why they are lost: lower case, without secrets.
    fn keep(&self, records: &[Arc<WriteRequest>]) -> impl Future<Output = Result<(), String>> + Send;
}

/// Takes records at once and hands them on behind its callers' backs. Records are lost when more than 16 MiB of them wait, and
/// when the place doesn't take them; losses are counted and logged, at most once a second, and are nobody's failure.
pub struct Queue<S: Sink> {
    shared: Arc<Shared<S>>,
    tasks: TaskTracker,
}

struct Shared<S> {
    name: String,
    sink: S,
    waiting: Mutex<Waiting>,
    losses: Mutex<Losses>,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<Arc<WriteRequest>>,
    /// Of those and of those on their way.
    bytes: usize,
    workers: usize,
}

#[derive(Default)]
struct Losses {
    total: u64,
    untold: u64,
    told: Option<Instant>,
}

impl<S: Sink> Queue<S> {
    /// For the recorder of that name. What waits is handed on by tasks of `tasks`, which end when nothing waits.
    #[must_use]
    pub fn new(name: &str, sink: S, tasks: TaskTracker) -> Self {
        let shared = Shared { name: name.to_owned(), sink, waiting: Mutex::default(), losses: Mutex::default() };
        Self { shared: Arc::new(shared), tasks }
    }
}

impl<S: Sink> Plugin<WriteRequest> for Queue<S> {
    async fn call(&self, call: Arc<WriteRequest>) -> Result<(), CallError> {
        let size = size(&call);
        let is_worker_needed = {
            let mut waiting = self.shared.waiting.lock();
            if waiting.bytes + size > MAX_WAITING {
                drop(waiting);
                self.shared.lost(1, "too many records wait");
                return Ok(());
            }
            waiting.bytes += size;
            waiting.records.push_back(call);
            let needed = waiting.workers < S::AT_A_TIME;
            waiting.workers += usize::from(needed);
            needed
        };
        if is_worker_needed {
            self.tasks.spawn(Arc::clone(&self.shared).work());
        }
        Ok(())
    }
}

impl<S: Sink> Shared<S> {
    async fn work(self: Arc<Self>) {
        while let Some(batch) = self.take() {
            if let Err(reason) = self.sink.keep(&batch).await {
                self.lost(batch.len(), &reason);
            }
            self.waiting.lock().bytes -= batch.iter().map(|record| size(record)).sum::<usize>();
        }
    }

    /// The next records; without any, there is one worker less.
    fn take(&self) -> Option<Vec<Arc<WriteRequest>>> {
        let mut waiting = self.waiting.lock();
        let count = waiting.records.len().min(S::BATCH);
        if count == 0 {
            waiting.workers -= 1;
            return None;
        }
        Some(waiting.records.drain(..count).collect())
    }

    fn lost(&self, records: usize, reason: &str) {
        let mut losses = self.losses.lock();
        losses.total += records as u64;
        losses.untold += records as u64;
        if losses.told.is_none_or(|told| told.elapsed() >= TELL) {
            let Losses { total, untold, .. } = *losses;
            tracing::warn!(kind = "recorder", recorder = self.name, lost = untold, total, "records are lost: {reason}");
            *losses = Losses { total, untold: 0, told: Some(Instant::now()) };
        }
    }
}

impl<S> Drop for Shared<S> {
    fn drop(&mut self) {
        let Losses { total, untold, .. } = *self.losses.get_mut();
        if untold > 0 {
            tracing::warn!(kind = "recorder", recorder = self.name, lost = untold, total, "records were lost");
        }
    }
}

fn size(record: &WriteRequest) -> usize {
    record.data.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    /// Keeps a record per permit.
    struct Slow {
        kept: Mutex<Vec<Vec<u8>>>,
        permits: Semaphore,
    }

    impl Sink for &'static Slow {
        const AT_A_TIME: usize = 1;
        const BATCH: usize = 1;

        async fn keep(&self, records: &[Arc<WriteRequest>]) -> Result<(), String> {
            self.permits.acquire().await.map_err(|error| error.to_string())?.forget();
            self.kept.lock().extend(records.iter().map(|record| record.data.clone()));
            Ok(())
        }
    }

    fn slow() -> &'static Slow {
        Box::leak(Box::new(Slow { kept: Mutex::default(), permits: Semaphore::new(0) }))
    }

    #[tokio::test]
    async fn records_wait_up_to_a_bound_and_nobody_waits_for_them() {
        let (slow, tasks) = (slow(), TaskTracker::new());
        let queue = Queue::new("r", slow, tasks.clone());
        let record = |first: u8| {
            let mut data = vec![0; 1 << 20];
            data[0] = first;
            Arc::new(WriteRequest { data, metadata: None })
        };
        for first in 0..20 {
            queue.call(record(first)).await.unwrap();
        }
        slow.permits.add_permits(100);
        tasks.close();
        tasks.wait().await;
        let kept: Vec<_> = slow.kept.lock().iter().map(|data| data[0]).collect();
        assert_eq!(kept, (0..15).collect::<Vec<_>>(), "in order, without what was too much");
        assert_eq!(queue.shared.losses.lock().total, 5);
        // Nothing of the bound is used up now.
        assert_eq!(queue.shared.waiting.lock().bytes, 0);
        queue.call(record(99)).await.unwrap();
        tasks.wait().await;
        assert_eq!(slow.kept.lock().len(), 16);
    }

    #[tokio::test]
    async fn what_the_place_refuses_is_counted() {
        let (slow, tasks) = (slow(), TaskTracker::new());
        slow.permits.close();
        let queue = Queue::new("r", slow, tasks.clone());
        for _ in 0..3 {
            queue.call(Arc::new(WriteRequest { data: b"x".to_vec(), metadata: None })).await.unwrap();
        }
        tasks.close();
        tasks.wait().await;
        let losses = queue.shared.losses.lock();
        assert_eq!((losses.total, losses.untold), (3, 2), "told of at once, and then not again so soon");
    }
}
