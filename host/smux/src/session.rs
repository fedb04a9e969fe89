//! [`Session`]: a connection that carries streams.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::driver::Driver;
use crate::shared::Shared;
use crate::{Config, ConfigError, Ended, Stream};

/// A connection that carries streams. Both ends may open some.
///
/// Dropping it ends its streams and closes the connection, behind what was written to them; that takes five seconds at most.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
}

impl Session {
    /// The session at the end that made the connection `io`: its streams have odd numbers. Must be called within a runtime.
    ///
    /// # Errors
    /// If it can't be as configured.
    pub fn client(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        config: Config,
    ) -> Result<Self, ConfigError> {
        Self::start(io, config, true)
    }

    /// The session at the other end.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn server(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        config: Config,
    ) -> Result<Self, ConfigError> {
        Self::start(io, config, false)
    }

    fn start(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        config: Config,
        is_client: bool,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let shared = Shared::new(config, is_client);
        tokio::spawn(Driver::new(io, Arc::clone(&shared)).run());
        Ok(Self { shared })
    }

    /// Opens a stream. The peer hears of it with its first bytes, or before.
    ///
    /// # Errors
    /// If the session has ended, or has had as many streams as there are numbers.
    pub fn open(&self) -> Result<Stream, Ended> {
        let id = self.shared.update(|state| state.open())?;
        Ok(Stream::new(Arc::clone(&self.shared), id))
    }

    /// The next stream that the peer opens; `None` when the session has ended. Dropping the future loses none.
    pub async fn accept(&self) -> Option<Stream> {
        loop {
            let changed = self.shared.changed.notified();
            {
                let mut state = self.shared.state.lock();
                if let Some(id) = state.accepts.pop_front() {
                    return Some(Stream::new(Arc::clone(&self.shared), id));
                }
                if state.ended.is_some() {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Why the session has ended; `None` while it hasn't.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.shared.state.lock().ended.clone()
    }

    /// Waits until the session has ended.
    pub async fn closed(&self) -> Ended {
        loop {
            let changed = self.shared.changed.notified();
            if let Some(ended) = self.ended() {
                return ended;
            }
            changed.await;
        }
    }

    /// Streams that there are, those included whose end isn't sent yet.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.shared.state.lock().len()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.finish(Ended::Dropped);
        let unaccepted = std::mem::take(&mut self.shared.state.lock().accepts);
        unaccepted.into_iter().for_each(|id| self.shared.update(|state| state.release(id)));
    }
}
