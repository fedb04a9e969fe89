//! [`Cache`]: answers that are remembered.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::{Name, RecordType};
use tokio::time::Instant;

/// The most answers that are remembered; what is used least goes first.
const SIZE: u64 = 10_000;

/// Answers by name (without case) and type. It may hold expired ones.
pub(crate) struct Cache(moka::sync::Cache<(Name, RecordType), Kept>);

/// A remembered answer.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) addresses: Arc<[IpAddr]>,
    pub(crate) expires: Instant,
}

impl Default for Cache {
    fn default() -> Self {
        Self(moka::sync::Cache::new(SIZE))
    }
}

impl Cache {
    pub(crate) fn get(&self, name: &Name, record_type: RecordType) -> Option<Kept> {
        self.0.get(&(name.clone(), record_type))
    }

    pub(crate) fn keep(&self, name: &Name, record_type: RecordType, kept: Kept) {
        self.0.insert((name.clone(), record_type), kept);
    }
}
