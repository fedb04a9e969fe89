//! [`Auto`]: several protocols at one port, told apart by the first byte.

use std::time::Duration;

use drawspan_wire::socks::{v4, v5};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::http::Http;
use super::{HandlerError, Socks4, Socks5};
use crate::Conn;

/// Speaks whatever the client speaks: SOCKS4, SOCKS5, or else HTTP.
pub struct Auto {
    http: Http,
    socks4: Socks4,
    socks5: Socks5,
    read_timeout: Duration,
}

impl Auto {
    /// A handler that leaves connections to these. A client's first byte has to arrive within `read_timeout`.
    ///
    /// GOST: waits for it for ever.
    #[must_use]
    pub fn new(http: Http, socks4: Socks4, socks5: Socks5, read_timeout: Duration) -> Self {
        Self { http, socks4, socks5, read_timeout }
    }

    /// As [`Handler::handle`](super::Handler::handle).
    pub(crate) async fn handle(&self, mut conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        if conn.stream.received.is_empty() {
            tokio::select! {
                biased;
                filled = timeout(self.read_timeout, conn.stream.fill()) => match filled {
                    Ok(Ok(1..)) => {}
                    Ok(Ok(0)) | Err(_) => return Ok(()),
                    Ok(Err(error)) => return Err(HandlerError::Client(error)),
                },
                () = drain.cancelled() => return Ok(()),
            }
        }
        match conn.stream.received.first() {
            Some(&v4::VERSION) => self.socks4.handle(conn, drain).await,
            Some(&v5::VERSION) => self.socks5.handle(conn, drain).await,
            _ => self.http.handle(conn, drain).await,
        }
    }
}
