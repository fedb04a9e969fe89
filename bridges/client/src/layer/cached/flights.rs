//! [`Flights`]: a question that is being asked isn't asked by others meanwhile.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::Key;

/// The questions that are being asked, each with the room for its outcome `T`.
pub(super) struct Flights<T>(Mutex<HashMap<Key, Aboard<T>>>);

struct Aboard<T> {
    outcome: Arc<OnceCell<T>>,
    callers: usize,
}

impl<T: Clone> Flights<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// The outcome of `ask`, or of that of another caller with the same key. When the caller whose `ask` runs goes away, the
    /// next one's runs.
    pub(super) async fn join(&self, key: Key, ask: impl Future<Output = T>) -> T {
        let seat = self.seat(key);
        seat.outcome.get_or_init(|| ask).await.clone()
    }

    fn seat(&self, key: Key) -> Seat<'_, T> {
        let mut flights = self.0.lock();
        let aboard = flights.entry(key).or_insert_with(|| Aboard { outcome: Arc::default(), callers: 0 });
        aboard.callers += 1;
        Seat { flights: self, key, outcome: Arc::clone(&aboard.outcome) }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// A caller's place, left when dropped. An outcome is for those who are aboard, so the first to leave with it ends the flight;
/// without one, the last.
struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: Key,
    outcome: Arc<OnceCell<T>>,
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock();
        let Entry::Occupied(mut flight) = flights.entry(self.key) else { return };
        // Another flight may have begun since this one ended.
        if !Arc::ptr_eq(&flight.get().outcome, &self.outcome) {
            return;
        }
        flight.get_mut().callers -= 1;
        if flight.get().callers == 0 || self.outcome.initialized() {
            flight.remove();
        }
    }
}
