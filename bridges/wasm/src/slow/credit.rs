//! [`Credit`]: what a plugin's calls may compute on the threads of their callers.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::engine::TICK;
use crate::instance::FIRST_SLICE;

/// What a plugin has at most.
const MOST: Duration = Duration::from_millis(20);
/// What is spent comes back in so many times the time: a plugin has a tenth of a core.
const SHARE: u32 = 10;
/// After this time it has some again, however much was spent.
const LONGEST_DEBT: Duration = Duration::from_secs(1);
/// A call that broke, or was given up, costs so many times what it computed: what a client made it do it can have done again.
const PENALTY: u32 = 16;
/// This much of it costs nothing: an honest call may need as much.
const CHEAP: Duration = Duration::from_micros(100);
/// The computing that one plugin's calls may still do with the priority of all others. Threads of the lowest priority get next to
/// nothing on a machine whose cores are all wanted, so honest calls depend on it there; a hostile plugin's have used it up at once.
pub(crate) struct Credit {
    /// When what was spent will have come back.
    back_at: Mutex<Instant>,
}

impl Credit {
    pub(crate) fn new() -> Self {
        Self { back_at: Mutex::new(Instant::now()) }
    }

    /// For one more call, if there is any left.
    pub(crate) fn open(&self) -> Option<Account<'_>> {
        let opened = Instant::now();
        let is_left = *self.back_at.lock() <= opened + MOST * SHARE;
        is_left.then_some(Account { credit: self, opened, spent: None, is_settled: false })
    }

    /// Whether there is some left after that.
    fn spend(&self, spent: Duration) -> bool {
        let now = Instant::now();
        let empty = now + MOST * SHARE;
        let mut back_at = self.back_at.lock();
        *back_at = ((*back_at).max(now) + spent * SHARE).min(empty + LONGEST_DEBT);
        *back_at <= empty
    }
}

/// What one call spends of it. Dropped before it is [settled](Account::settle), as with a call that is given up, it costs a penalty.
pub(crate) struct Account<'a> {
    credit: &'a Credit,
    opened: Instant,
    /// `None` until it yields for the first time: hardly any call does, and to look at the thread's clock takes as long as a small one.
    spent: Option<Duration>,
    is_settled: bool,
}

impl Account<'_> {
    pub(crate) fn has_yielded(&self) -> bool {
        self.spent.is_some()
    }

    /// The call yielded, after computing for so long, `None` at the first time. Whether it may go on here.
    pub(crate) fn spend(&mut self, computed: Option<Duration>) -> bool {
        let computed = computed.unwrap_or_else(|| self.at_first());
        *self.spent.get_or_insert_default() += computed;
        self.credit.spend(computed)
    }

    /// What it computed before it yielded, if it hasn't waited; the thread may have had to wait for a core.
    fn at_first(&self) -> Duration {
        self.opened.elapsed().min(TICK * FIRST_SLICE)
    }

    /// The call did nothing that speaks against it.
    pub(crate) fn settle(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            let all = self.spent.unwrap_or_else(|| self.at_first());
            self.credit.spend(all.saturating_sub(CHEAP) * PENALTY);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SOME: Option<Duration> = Some(Duration::from_millis(5));

    #[tokio::test(start_paused = true)]
    async fn what_is_spent_comes_back() {
        let credit = Credit::new();
        let mut account = credit.open().unwrap();
        assert!((0..4).all(|_| account.spend(SOME)));
        assert!(!account.spend(SOME));
        account.settle();
        assert!(credit.open().is_none());
        advance(Duration::from_millis(49)).await;
        assert!(credit.open().is_none());
        advance(Duration::from_millis(1)).await;
        let mut account = credit.open().unwrap();
        assert!(!account.spend(SOME));
        account.settle();
        // Not more than at the beginning.
        advance(Duration::from_secs(3600)).await;
        let mut account = credit.open().unwrap();
        assert!((0..4).all(|_| account.spend(SOME)));
        assert!(!account.spend(SOME));
        account.settle();
    }

    #[tokio::test(start_paused = true)]
    async fn short_calls_cost_nothing_unless_they_break() {
        let credit = Credit::new();
        for _ in 0..1000 {
            let account = credit.open().unwrap();
            advance(Duration::from_millis(1)).await;
            account.settle();
        }
        for _ in 0..1000 {
            let broken_at_once = credit.open().unwrap();
            advance(CHEAP).await;
            drop(broken_at_once);
        }
        for _ in 0..2 {
            let broken = credit.open().unwrap();
            advance(Duration::from_millis(1)).await;
            drop(broken);
        }
        assert!(credit.open().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_given_up_costs_more_and_no_debt_is_for_ever() {
        let credit = Credit::new();
        for _ in 0..1000 {
            let Some(mut account) = credit.open() else { break };
            assert!(account.spend(SOME));
        }
        assert!(credit.open().is_none());
        advance(Duration::from_millis(200)).await;
        assert!(credit.open().is_none());
        advance(LONGEST_DEBT).await;
        assert!(credit.open().is_some());
    }
}
