//! Bounded waiting.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for what should happen at once; the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Awaits `future` for at most [`PATIENCE`]; panics with `what` if that isn't enough.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Repeats `attempt` until it yields something, for at most `patience`; panics with `what` if it never does.
pub async fn eventually<T, F>(what: &str, patience: Duration, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain for {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
