//! [`Pool`]: the instances of one plugin.

use std::sync::Arc;

use drawspan_wit::{CallError, ErrorKind};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::instance::{Instance, Template};

/// The instances of one plugin: some idle, the others on loan. The one used last is lent first, so that those which a quiet
/// time doesn't need stay cold.
pub(crate) struct Pool {
    idle: Mutex<Vec<Instance>>,
    room: Arc<Semaphore>,
    size: usize,
    max_calls: u64,
}

/// The right to have one instance, and the instance if an idle one was there.
///
/// It travels with the call: when the call is dropped half-way, so is the instance, and only then is there room for another.
pub(crate) struct Lease {
    pub(crate) instance: Option<Instance>,
    _room: OwnedSemaphorePermit,
}

impl Pool {
    /// At most `size` at a time, each of them for `max_calls` calls (0: no limit).
    pub(crate) fn new(size: usize, max_calls: u64) -> Self {
        Self { idle: Mutex::new(Vec::with_capacity(size)), room: Arc::new(Semaphore::new(size)), size, max_calls }
    }

    /// Waits while all instances are on loan.
    pub(crate) async fn take(&self) -> Result<Lease, CallError> {
        let room = Arc::clone(&self.room);
        let room = match Arc::clone(&room).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                room.acquire_owned().await.map_err(|_| CallError::new(ErrorKind::Unavailable, "the pool is closed"))?
            }
        };
        Ok(Lease { instance: self.idle.lock().pop(), _room: room })
    }

    /// Takes back an instance that is fit for another call. The others are dropped.
    pub(crate) fn give_back(&self, lease: Lease) {
        if let Some(instance) = lease.instance
            && (self.max_calls == 0 || instance.calls < self.max_calls)
        {
            self.idle.lock().push(instance);
        }
    }

    /// Drops the idle instances. Those on loan are dropped with the pool, which nobody takes from any more.
    pub(crate) fn retire(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    /// Starts instances until `wanted` are alive, idle or on loan.
    pub(crate) async fn fill(&self, template: &Template, wanted: usize) -> Result<(), CallError> {
        loop {
            let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { return Ok(()) };
            // Every lease holds a permit, ours included.
            let lent = self.size - self.room.available_permits() - 1;
            if self.idle.lock().len() + lent >= wanted {
                return Ok(());
            }
            let instance = Instance::start(template).await?;
            self.give_back(Lease { instance: Some(instance), _room: room });
        }
    }
}
