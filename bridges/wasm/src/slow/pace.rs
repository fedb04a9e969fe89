//! [`Pace`]: how much of a core a plugin's long and broken calls may have.

use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::thread_time;

/// What a call may compute before it is paced. Honest calls hardly ever need so much.
const FREE: Duration = Duration::from_millis(20);
/// A call pauses each time that it has computed for so long.
const SLICE: Duration = Duration::from_millis(1);
/// For each millisecond of paced computing so many pass: a plugin has an eighth of a core for it.
const SHARE: u32 = 8;

/// The time of one plugin's paced calls. A thread of the lowest priority still isn't free of cost for the others: where a core is never
/// idle, each of them that wakes up must first be given it. So an endless loop may not have all the time that is left over.
pub(crate) struct Pace(Mutex<Instant>);

impl Pace {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    /// Runs `work` to its end, with pauses when it is long; when it is `suspect`, it is paced from its beginning.
    pub(crate) async fn keep<T>(self: Arc<Self>, work: impl Future<Output = T>, suspect: bool) -> T {
        let mut work = pin!(work);
        let (mut free, mut due) = (FREE, Duration::ZERO);
        if suspect {
            free = Duration::ZERO;
            let next = self.next(Duration::ZERO);
            // A clock ticks once a millisecond: for less it isn't worth waiting.
            if next > Instant::now() + SLICE * SHARE {
                sleep_until(next).await;
            }
        }
        loop {
            let done = poll_fn(|cx| {
                let begun = thread_time();
                let polled = work.as_mut().poll(cx).map(Some);
                let took = thread_time().saturating_sub(begun);
                due += took.saturating_sub(free);
                free = free.saturating_sub(took);
                if polled.is_pending() && due >= SLICE { Poll::Ready(None) } else { polled }
            });
            let done = done.await;
            let next = self.next(mem::take(&mut due));
            match done {
                Some(output) => return output,
                // What the work waits for may come during the pause, so it is polled after it in any case.
                None => sleep_until(next).await,
            }
        }
    }

    /// When the plugin's paced calls may go on after one of them has computed for so long.
    fn next(&self, computed: Duration) -> Instant {
        let mut next = self.0.lock();
        *next = (*next).max(Instant::now()) + computed * SHARE;
        *next
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use super::*;

    /// Computes for so many times [`SLICE`], and lets others run after each.
    async fn compute(slices: u32) {
        for _ in 0..slices {
            let begun = thread_time();
            while thread_time() - begun < SLICE {}
            tokio::task::yield_now().await;
        }
    }

    /// The clock stands still but for pauses.
    async fn pauses(work: impl Future<Output = ()>) -> Duration {
        let begun = Instant::now();
        work.await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn short_work_has_no_pause_and_long_work_an_eighth_of_the_time() {
        assert_eq!(pauses(Pace::new().keep(compute(5), false)).await, Duration::ZERO);
        assert!(pauses(Pace::new().keep(compute(40), false)).await >= SLICE * SHARE * 15);
    }

    #[tokio::test(start_paused = true)]
    async fn the_long_work_of_one_plugin_shares_its_time() {
        let pace = Pace::new();
        let both = async {
            tokio::join!(Arc::clone(&pace).keep(compute(40), false), pace.keep(compute(40), false));
        };
        assert!(pauses(both).await >= SLICE * SHARE * 30);
    }

    #[tokio::test(start_paused = true)]
    async fn suspect_work_pays_for_what_came_before() {
        let pace = Pace::new();
        let at_once = async {
            let begun = thread_time();
            while thread_time() - begun < SLICE * 5 {}
        };
        assert_eq!(pauses(Arc::clone(&pace).keep(at_once, true)).await, Duration::ZERO);
        assert_eq!(pauses(Arc::clone(&pace).keep(async {}, false)).await, Duration::ZERO);
        assert!(pauses(pace.keep(async {}, true)).await >= SLICE * SHARE * 5);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_waits_is_left_alone() {
        let mut polls = 0;
        let wait = async {
            compute(40).await;
            let mut sleep = pin!(tokio::time::sleep(Duration::from_secs(3600)));
            poll_fn(|cx| {
                polls += 1;
                sleep.as_mut().poll(cx)
            })
            .await;
        };
        Pace::new().keep(wait, false).await;
        assert!(polls <= 4, "polled {polls} times");
    }
}
