//! [`Shared`]: a session's state, for its streams and its task.

use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::state::State;
use crate::{Config, Ended};

/// What is shared.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) state: Mutex<State>,
    /// A stream waits to be accepted, or the session has ended.
    pub(crate) changed: Notify,
}

impl Shared {
    pub(crate) fn new(config: Config, is_client: bool) -> Arc<Self> {
        Arc::new(Self { config, state: Mutex::new(State::new(config, is_client)), changed: Notify::new() })
    }

    /// Ends the session.
    pub(crate) fn finish(&self, ended: Ended) {
        let mut woken = Vec::new();
        self.state.lock().finish(ended, &mut woken);
        self.changed.notify_waiters();
        woken.into_iter().for_each(Waker::wake);
    }

    /// Changes the state, and wakes the session's task if it is to do something about it.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let outcome = change(&mut state);
        let waker = state.unpark();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        outcome
    }
}
