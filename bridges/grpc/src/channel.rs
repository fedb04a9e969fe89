//! [`Channel`]: the HTTP/2 connections to a plugin server, made when first needed and again after they were lost.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use drawspan_bridge_transport::{ConnectError, Connector};
use drawspan_wit::{CallError, Module, chain};
use h2::client::{Builder, SendRequest};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The pause after a first failed attempt to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause. GOST: goes up to 120 s, and a server that came back isn't seen for so long.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of replies that a server may send ahead, for one call and for all; what was read makes room for more.
const CALL_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Bytes of headers that a reply may have.
const MAX_HEADERS: u32 = 16 << 10;

/// Connections to a server: the threads that make calls take turns to choose theirs. Of a connection `h2` keeps everything under one
/// lock, for which two threads wait more than a second connection costs: a tenth of the CPU time.
const CONNECTIONS: usize = 2;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The thread's number.
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

pub(crate) struct Channel {
    connector: Connector,
    /// Read on every call; written by whoever holds `attempts`.
    connections: [RwLock<Option<SendRequest<Bytes>>>; CONNECTIONS],
    /// Held while connecting, so that concurrent calls wait for one attempt. One for all connections: where a server is away for
    /// one thread it is for all, and where it is back, too.
    attempts: Mutex<Option<Failure>>,
}

/// The last attempt to connect failed. Until the pause is over, calls fail at once for the same reason.
struct Failure {
    error: ConnectError,
    pause: Duration,
    retry_at: Instant,
}

impl Failure {
    fn of(&self, module: Module) -> CallError {
        CallError::new(self.error.kind(module), self.error.to_string())
    }
}

impl Channel {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, connections: Default::default(), attempts: Mutex::new(None) }
    }

    /// This thread's connection, or a new one, for a call of `module`.
    pub(crate) async fn ready(&self, module: Module) -> Result<SendRequest<Bytes>, CallError> {
        let current = &self.connections[THREAD.with(|number| number % CONNECTIONS)];
        if let Some(sender) = connected(current).await {
            return Ok(sender);
        }
        let mut failure = self.attempts.lock().await;
        if let Some(sender) = connected(current).await {
            return Ok(sender);
        }
        if let Some(failure) = &*failure
            && Instant::now() < failure.retry_at
        {
            return Err(failure.of(module));
        }
        match self.connect().await {
            Ok(sender) => {
                *failure = None;
                *current.write() = Some(sender.clone());
                Ok(sender)
            }
            Err(error) => {
                let pause = failure.as_ref().map_or(FIRST_PAUSE, |last| (last.pause * 8 / 5).min(LONGEST_PAUSE));
                Err(failure.insert(Failure { error, pause, retry_at: Instant::now() + pause }).of(module))
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Bytes>, ConnectError> {
        let stream = self.connector.connect().await?;
        let (sender, mut connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(CALL_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            .handshake(stream.into_tokio())
            .await
            .map_err(|error| ConnectError::Lost(chain(&error)))?;
        // Ends by itself when the last sender is dropped or the connection is lost; the calls under way say how. When it is
        // woken, all others that can go on do so first: their questions are written together, and what was answered
        // meanwhile is read together. With many calls in flight that is a third of the CPU time.
        let mut has_waited = false;
        tokio::spawn(poll_fn(move |cx| {
            has_waited = !has_waited;
            if has_waited {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Pin::new(&mut connection).poll(cx)
        }));
        Ok(sender)
    }
}

/// The connection, unless it was lost or its server said goodbye. Doesn't wait: a clone has sent nothing yet.
async fn connected(current: &RwLock<Option<SendRequest<Bytes>>>) -> Option<SendRequest<Bytes>> {
    let sender = current.read().clone()?;
    sender.ready().await.ok()
}
