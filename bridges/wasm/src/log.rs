//! [`GuestLog`]: what a component prints becomes the gateway's log lines.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Lines kept per second; the rest is counted.
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// A longer line is cut into several.
const LINE: usize = 4096;

/// One plugin's log, shared by its instances.
pub(crate) struct GuestLog {
    plugin: Arc<str>,
    rate: DefaultDirectRateLimiter,
    dropped: AtomicU64,
}

impl GuestLog {
    pub(crate) fn new(plugin: &Arc<str>) -> Self {
        Self {
            plugin: Arc::clone(plugin),
            rate: RateLimiter::direct(Quota::per_second(LINES_PER_SECOND)),
            dropped: AtomicU64::new(0),
        }
    }

    pub(crate) fn line(&self, level: Level, line: &str) {
        if self.rate.check().is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let line: &str = &line.chars().take(LINE).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(kind = "plugin", plugin = %self.plugin, dropped, "the plugin logs more than {LINES_PER_SECOND} lines a second");
        }
        match level {
            Level::ERROR => tracing::error!(kind = "plugin", plugin = %self.plugin, "{line}"),
            Level::WARN => tracing::warn!(kind = "plugin", plugin = %self.plugin, "{line}"),
            Level::INFO => tracing::info!(kind = "plugin", plugin = %self.plugin, "{line}"),
            Level::DEBUG => tracing::debug!(kind = "plugin", plugin = %self.plugin, "{line}"),
            Level::TRACE => tracing::trace!(kind = "plugin", plugin = %self.plugin, "{line}"),
        }
    }
}

/// An instance's stdout or stderr.
#[derive(Clone)]
pub(crate) struct LogStream {
    log: Arc<GuestLog>,
    partial: Vec<u8>,
}

impl LogStream {
    pub(crate) fn new(log: &Arc<GuestLog>) -> Self {
        Self { log: Arc::clone(log), partial: Vec::new() }
    }

    fn take(&mut self) {
        let line = std::mem::take(&mut self.partial);
        self.log.line(Level::INFO, &String::from_utf8_lossy(&line));
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        if !self.partial.is_empty() {
            self.take();
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    /// For WASI 0.3, which isn't linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for byte in bytes {
            match byte {
                b'\n' => self.take(),
                byte => self.partial.push(byte),
            }
            if self.partial.len() == LINE {
                self.take();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}
