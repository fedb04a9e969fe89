//! [`give_back`]: memory for connections that are gone.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

/// Fewer connections than this hold too little to care.
const MANY: usize = 1000;
/// How often connections are counted.
const LOOK: Duration = Duration::from_secs(1);
/// Not more often than this, since it takes milliseconds.
const PAUSE: Duration = Duration::from_secs(10);

/// Has the system get back what the allocator keeps, whenever half of many connections are gone; for ever. The allocator would
/// keep the memory of the most connections that there ever were.
pub(crate) async fn give_back(connections: &TaskTracker) {
    let (mut most, mut given_back) = (0, None::<Instant>);
    loop {
        sleep(LOOK).await;
        let now = connections.len();
        // Those of a pause, too.
        most = most.max(now);
        let pauses = given_back.is_some_and(|at| at.elapsed() < PAUSE);
        if most >= MANY && now <= most / 2 && !pauses {
            // Failing costs memory, nothing else.
            let _ = tokio::task::spawn_blocking(trim).await;
            (most, given_back) = (now, Some(Instant::now()));
        }
    }
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "only the allocator itself can do it")]
fn trim() {
    // SAFETY: it may be called at any time, by any thread.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give back what is free.
#[cfg(not(target_env = "gnu"))]
fn trim() {}
