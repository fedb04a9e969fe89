//! [`Sids`]: session ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Base 32 with the extended hex alphabet, lower case, as GOST's ids are written.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// Makes session ids: 20 characters that are unique on this machine and sort by time. 12 bytes: seconds, process, counter.
pub(crate) struct Sids {
    process: u32,
    next: AtomicU32,
}

impl Sids {
    pub(crate) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Two gateways in two containers may have the same process id; their start times differ.
        Self { process: std::process::id() ^ since.subsec_nanos().rotate_left(13), next: AtomicU32::new(0) }
    }

    pub(crate) fn next(&self) -> Arc<str> {
        // Wraps in 2106.
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32;
        let counter = self.next.fetch_add(1, Ordering::Relaxed);
        let bits = (u128::from(seconds) << 64 | u128::from(self.process) << 32 | u128::from(counter)) << 4;
        (0..20).rev().map(|digit| char::from(ALPHABET[(bits >> (digit * 5)) as usize & 31])).collect::<String>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_sorted() {
        let sids = Sids::new();
        let ids: Vec<_> = (0..1000).map(|_| sids.next()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.len() == 20 && id.bytes().all(|b| ALPHABET.contains(&b))), "{ids:?}");
    }
}
