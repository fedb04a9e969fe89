//! [`Tcp`]: each record on a connection of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use drawspan_wit::recorder::WriteRequest;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Sink;

/// Sends each record to a server on a connection of its own, without framing.
pub struct Tcp {
    host: String,
    port: u16,
    timeout: Duration,
}

impl Tcp {
    /// `timeout` bounds connecting and sending together. Does not connect.
    #[must_use]
    pub fn new(host: String, port: u16, timeout: Duration) -> Self {
        Self { host, port, timeout }
    }
}

impl Sink for Tcp {
    const AT_A_TIME: usize = 16;
    const BATCH: usize = 1;

    async fn keep(&self, records: &[Arc<WriteRequest>]) -> Result<(), String> {
        let Self { host, port, .. } = self;
        for record in records {
            let send = async {
                let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.write_all(&record.data).await?;
                stream.shutdown().await
            };
            let sent = timeout(self.timeout, send).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            sent.map_err(|error| format!("{host}, port {port}: {error}"))?;
        }
        Ok(())
    }
}
