//! [`Cache`]: answers that are remembered.

use std::sync::Arc;
use std::time::Duration;

use drawspan_wire::dns::{Answer, Query};
use tokio::time::Instant;

/// Bytes of the answers that are remembered; what is used least goes first.
const SIZE: u64 = 32 << 20;

/// Bytes that an answer takes beside its own.
const OVERHEAD: usize = 256;

/// Answers by [`Query::key`].
pub(super) struct Cache(moka::sync::Cache<Vec<u8>, Kept>);

/// A remembered answer.
#[derive(Clone)]
pub(super) struct Kept {
    answer: Arc<Answer>,
    since: Instant,
    until: Instant,
}

pub(super) enum Found {
    Fresh(Kept),
    Expired(Kept),
}

impl Kept {
    /// The reply to `query`.
    pub(super) fn reply(&self, query: &Query) -> Vec<u8> {
        let age = u32::try_from(self.since.elapsed().as_secs()).unwrap_or(u32::MAX);
        self.answer.reply(query, Some(age))
    }
}

impl Default for Cache {
    fn default() -> Self {
        let weight =
            |key: &Vec<u8>, kept: &Kept| u32::try_from(key.len() + kept.answer.size() + OVERHEAD).unwrap_or(u32::MAX);
        Self(moka::sync::Cache::builder().weigher(weight).max_capacity(SIZE).build())
    }
}

impl Cache {
    pub(super) fn get(&self, key: &[u8]) -> Option<Found> {
        let kept = self.0.get(key)?;
        // As GOST has it: what is good for less than a second isn't any more.
        match kept.until.saturating_duration_since(Instant::now()) >= Duration::from_secs(1) {
            true => Some(Found::Fresh(kept)),
            false => Some(Found::Expired(kept)),
        }
    }

    pub(super) fn keep(&self, key: Vec<u8>, answer: Answer, ttl: Duration) {
        let now = Instant::now();
        // Far enough, where the sum can't be told.
        let until = now.checked_add(ttl).unwrap_or(now + Duration::from_secs(1 << 31));
        self.0.insert(key, Kept { answer: Arc::new(answer), since: now, until });
    }

    /// An expired answer is taken for good for that much longer.
    pub(super) fn defer(&self, key: Vec<u8>, time: Duration) {
        if let Some(kept) = self.0.get(&key) {
            self.0.insert(key, Kept { until: Instant::now() + time, ..kept });
        }
    }
}
