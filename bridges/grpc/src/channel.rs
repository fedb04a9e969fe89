//! [`Channel`]: one HTTP/2 connection to a plugin server, made when first needed and again after it was lost.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use drawspan_bridge_transport::Connector;
use drawspan_wit::{CallError, ErrorKind, chain};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::body::Body;
use tower_service::Service;

/// The pause after a first failed attempt to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause. GOST: goes up to 120 s, and a server that came back isn't seen for so long.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Channel {
    connector: Connector,
    /// Read on every call; written by whoever holds `attempts`.
    current: RwLock<Option<SendRequest<Body>>>,
    /// Held while connecting, so that concurrent calls wait for one attempt.
    attempts: Mutex<Option<Failure>>,
}

/// The last attempt to connect failed. Until the pause is over, calls fail at once with the same reason.
struct Failure {
    reason: String,
    pause: Duration,
    retry_at: Instant,
}

impl Channel {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, current: RwLock::new(None), attempts: Mutex::new(None) }
    }

    /// The connection, or a new one.
    pub(crate) async fn ready(&self) -> Result<Ready, CallError> {
        if let Some(ready) = self.connected() {
            return Ok(ready);
        }
        let mut failure = self.attempts.lock().await;
        if let Some(ready) = self.connected() {
            return Ok(ready);
        }
        if let Some(failure) = &*failure
            && Instant::now() < failure.retry_at
        {
            return Err(CallError::new(ErrorKind::Unavailable, failure.reason.clone()));
        }
        match self.connect().await {
            Ok(sender) => {
                *failure = None;
                *self.current.write() = Some(sender.clone());
                Ok(Ready(sender))
            }
            Err(reason) => {
                let pause = failure.as_ref().map_or(FIRST_PAUSE, |last| (last.pause * 8 / 5).min(LONGEST_PAUSE));
                *failure = Some(Failure { reason: reason.clone(), pause, retry_at: Instant::now() + pause });
                Err(CallError::new(ErrorKind::Unavailable, reason))
            }
        }
    }

    fn connected(&self) -> Option<Ready> {
        self.current.read().as_ref().filter(|sender| !sender.is_closed()).cloned().map(Ready)
    }

    async fn connect(&self) -> Result<SendRequest<Body>, String> {
        let stream = self.connector.connect().await.map_err(|error| error.to_string())?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(stream)
            .await
            .map_err(|error| chain(&error))?;
        // Ends by itself when the last sender is dropped or the connection is lost.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// A connection to send one request on, as tonic's client wants it.
#[derive(Clone)]
pub(crate) struct Ready(SendRequest<Body>);

impl Service<http::Request<Body>> for Ready {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
