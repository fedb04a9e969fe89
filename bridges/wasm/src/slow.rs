//! [`SlowLane`]: where guest code goes that doesn't finish at once.

mod pace;
mod priority;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinHandle};

pub(crate) use pace::Pace;

/// Threads of low priority. A call starts on its caller's thread; if it is still running when its first slice is over, it
/// goes on here, so that long guest code never takes time from the threads that serve connections.
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

    /// Runs `work` to its end, here if it isn't over at once; what is then run is what `moved` makes of it. Dropping the returned
    /// future stops the work at its next yield, wherever it is.
    pub(crate) async fn run<T: Send + 'static, W: Future<Output = T> + Send + 'static, F>(
        &self,
        work: W,
        moved: impl FnOnce(Pin<Box<W>>) -> F,
    ) -> Result<T, JoinError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut work = Box::pin(work);
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
            return Ok(output);
        }
        self.run_here(moved(work)).await
    }

    /// Runs all of `work` here. Dropping the returned future stops the work at its next yield.
    pub(crate) async fn run_here<T: Send + 'static>(
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
