//! [`Selector`]: one of several nodes, or chains (GOST reference, config 5.2).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::marker::{FailFilter, Marker};

/// How one of several candidates that would do is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// In turn.
    #[default]
    Round,
    /// At random, by weight.
    Random,
    /// The first.
    Fifo,
    /// The same for the same client.
    Hash,
}

/// Chooses among candidates, and avoids those that failed.
#[derive(Debug, Default)]
pub struct Selector {
    strategy: Strategy,
    next: AtomicUsize,
}

/// What a selector looks at.
pub(crate) trait Candidate {
    fn marker(&self) -> &Marker;
    fn fail_filter(&self) -> FailFilter;
    fn weight(&self) -> u32;
    fn is_backup(&self) -> bool;
    /// Those of a higher priority go first, whatever the strategy.
    fn priority(&self) -> i64;
}

impl Selector {
    /// With that strategy.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, next: AtomicUsize::new(0) }
    }

    /// One of `candidates`, or `None` if there is none. `key` is what the hash strategy goes by.
    ///
    /// One candidate is taken as it is. When all have failed it is the one whose failure is longest ago.
    /// GOST: stable takes none then, and the target is connected to directly.
    pub(crate) fn select<T: Candidate>(&self, mut candidates: Vec<T>, key: &str) -> Option<T> {
        if candidates.len() < 2 {
            return candidates.pop();
        }
        let (mut live, failed): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|candidate| !candidate.marker().is_failed(candidate.fail_filter()));
        if live.is_empty() {
            return failed.into_iter().min_by_key(|candidate| candidate.marker().last_failure());
        }
        // A backup is for when nothing else is left, however high its priority.
        if !live.iter().all(Candidate::is_backup) {
            live.retain(|candidate| !candidate.is_backup());
        }
        let highest = live.iter().map(Candidate::priority).max()?;
        live.retain(|candidate| candidate.priority() == highest);
        let chosen = self.choose(&live, key);
        Some(live.swap_remove(chosen))
    }

    /// An index of `candidates`, which aren't empty.
    fn choose<T: Candidate>(&self, candidates: &[T], key: &str) -> usize {
        match self.strategy {
            _ if candidates.len() == 1 => 0,
            Strategy::Fifo => 0,
            Strategy::Round => self.next.fetch_add(1, Relaxed) % candidates.len(),
            Strategy::Hash => crc32fast::hash(key.as_bytes()) as usize % candidates.len(),
            Strategy::Random => weighted(candidates.iter().map(Candidate::weight)).unwrap_or(0),
        }
    }
}

/// The place of one of those weights, at random by them, 0 counting as 1; `None` if there is none.
pub(crate) fn weighted(weights: impl Iterator<Item = u32> + Clone) -> Option<usize> {
    let weights = weights.map(|weight| u64::from(weight.max(1)));
    let mut left = random().checked_rem(weights.clone().sum())?;
    let reached = |weight: u64| {
        let here = left < weight;
        left = left.wrapping_sub(weight);
        here
    };
    weights.map(reached).position(|here| here)
}

/// For spreading load; nobody gains from guessing it.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Node {
        id: u32,
        marker: Marker,
        weight: u32,
        backup: bool,
        priority: i64,
    }

    impl Candidate for &Node {
        fn marker(&self) -> &Marker {
            &self.marker
        }
        fn fail_filter(&self) -> FailFilter {
            FailFilter::default()
        }
        fn weight(&self) -> u32 {
            self.weight
        }
        fn is_backup(&self) -> bool {
            self.backup
        }
        fn priority(&self) -> i64 {
            self.priority
        }
    }

    fn nodes(count: u32) -> Vec<Node> {
        (0..count).map(|id| Node { id, ..Node::default() }).collect()
    }

    fn pick(selector: &Selector, nodes: &[Node], key: &str) -> u32 {
        selector.select(nodes.iter().collect(), key).unwrap().id
    }

    #[test]
    fn strategies() {
        let mut three = nodes(3);
        let round = Selector::new(Strategy::Round);
        assert_eq!((0..6).map(|_| pick(&round, &three, "")).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
        let fifo = Selector::new(Strategy::Fifo);
        assert_eq!((0..3).map(|_| pick(&fifo, &three, "")).collect::<Vec<_>>(), [0, 0, 0]);
        let hash = Selector::new(Strategy::Hash);
        for key in ["alice", "bob", "192.0.2.7"] {
            assert_eq!(pick(&hash, &three, key), crc32fast::hash(key.as_bytes()) % 3);
        }
        three[1].weight = 8;
        let random = Selector::new(Strategy::Random);
        let mut counts = HashMap::new();
        for _ in 0..1000 {
            *counts.entry(pick(&random, &three, "")).or_insert(0) += 1;
        }
        // 800 expected; off by 100 is eight standard deviations.
        assert!((700..900).contains(&counts[&1]), "{counts:?}");
        assert!(round.select(Vec::<&Node>::new(), "").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn failed_ones_are_avoided_for_a_while() {
        let three = nodes(3);
        let fifo = Selector::new(Strategy::Fifo);
        three[0].marker.failed();
        assert_eq!(pick(&fifo, &three, ""), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        three[1].marker.failed();
        tokio::time::advance(Duration::from_secs(1)).await;
        three[2].marker.failed();
        assert_eq!(pick(&fifo, &three, ""), 0, "the one that failed longest ago");
        three[2].marker.succeeded();
        assert_eq!(pick(&fifo, &three, ""), 2);
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(pick(&fifo, &three, ""), 0, "forgotten after ten seconds");
    }

    #[test]
    fn backups_wait_and_priority_rules() {
        let mut three = nodes(3);
        let fifo = Selector::new(Strategy::Fifo);
        three[0].backup = true;
        three[0].priority = 9;
        three[2].priority = 1;
        assert_eq!(pick(&fifo, &three, ""), 2);
        three[2].marker.failed();
        assert_eq!(pick(&fifo, &three, ""), 1);
        three[1].marker.failed();
        assert_eq!(pick(&fifo, &three, ""), 0);
    }
}
