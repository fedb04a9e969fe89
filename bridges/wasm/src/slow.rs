//! [`SlowLane`]: where guest code goes that doesn't finish at once.

mod credit;
mod pace;
mod priority;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinHandle};

pub(crate) use credit::{Account, Credit};
pub(crate) use pace::Pace;

/// Threads of low priority. A call starts on its caller's thread and goes on there while its plugin has [`Credit`]; then it goes on
/// here, so that long guest code never takes time from the threads that serve connections.
pub(crate) struct SlowLane(Option<Runtime>);

impl SlowLane {
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.div_ceil(2))
            .thread_name("wasm-slow")
            .enable_all()
            .on_thread_start(low_priority)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs `work` to its end: on the caller's thread while `account` allows it, then here; what is run here is what `moved` makes of
    /// it. Dropping the returned future stops the work at its next yield, wherever it is.
    pub(crate) async fn run<T: Send + 'static, W: Future<Output = T> + Send + 'static, F>(
        &self,
        work: W,
        account: Option<&mut Account<'_>>,
        moved: impl FnOnce(Pin<Box<W>>) -> F,
    ) -> Result<T, JoinError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut work = Box::pin(work);
        if let Some(account) = account {
            let done = poll_fn(|cx| {
                let begun = account.has_yielded().then(thread_time);
                match work.as_mut().poll(cx) {
                    Poll::Ready(output) => Poll::Ready(Some(output)),
                    Poll::Pending if account.spend(begun.map(|begun| thread_time().saturating_sub(begun))) => {
                        Poll::Pending
                    }
                    Poll::Pending => Poll::Ready(None),
                }
            });
            if let Some(output) = done.await {
                return Ok(output);
            }
        }
        self.run_here(moved(work)).await
    }

    /// Runs all of `work` here. Dropping the returned future stops the work at its next yield.
    async fn run_here<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        match self.spawn(work) {
            Some(task) => {
                let mut task = AbortOnDrop(task);
                pin!(&mut task.0).await
            }
            // Only while the engine is being dropped; nobody waits for an answer then.
            None => std::future::pending().await,
        }
    }

    /// Runs `work` here without anyone waiting for it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        self.0.as_ref().map(|runtime| runtime.spawn(work))
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// How long the calling thread has computed. Waiting, also for a core, doesn't count.
fn thread_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// Where the class can't be had, at least the nice value of the calling thread is the lowest. Failing costs fairness, nothing else.
fn low_priority() {
    if priority::lowest().is_err() {
        let _ = rustix::process::nice(19);
    }
}

/// A task that ends with its owner, at its next await.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
