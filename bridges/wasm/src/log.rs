//! [`GuestLog`]: what a component prints becomes the gateway's log lines.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::io::AsyncWrite;
use tokio::runtime::Handle;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// A longer line is cut into several.
const LINE: usize = 4096;
/// How often a plugin's flood is reported.
const PERIOD: Duration = Duration::from_secs(1);

/// One plugin's log, shared by its instances.
pub(crate) struct GuestLog {
    plugin: Arc<str>,
    per_second: NonZeroU32,
    rate: DefaultDirectRateLimiter,
    dropped: Arc<AtomicU64>,
}

impl GuestLog {
    /// Keeps so many lines a second; the rest is counted.
    pub(crate) fn new(plugin: &Arc<str>, per_second: NonZeroU32) -> Self {
        Self {
            plugin: Arc::clone(plugin),
            per_second,
            rate: RateLimiter::direct(Quota::per_second(per_second)),
            dropped: Arc::default(),
        }
    }

    pub(crate) fn line(&self, level: Level, line: &str) {
        if self.rate.check().is_err() {
            return self.drop_one();
        }
        let line: &str = &line.chars().take(LINE).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        match level {
            Level::ERROR => tracing::error!(kind = "plugin", plugin = %self.plugin, "{line}"),
            Level::WARN => tracing::warn!(kind = "plugin", plugin = %self.plugin, "{line}"),
            Level::INFO => tracing::info!(kind = "plugin", plugin = %self.plugin, "{line}"),
            Level::DEBUG => tracing::debug!(kind = "plugin", plugin = %self.plugin, "{line}"),
            Level::TRACE => tracing::trace!(kind = "plugin", plugin = %self.plugin, "{line}"),
        }
    }

    /// Counts a line, and sees to it that the count is told when the period is over, even if no line follows.
    fn drop_one(&self) {
        if self.dropped.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let (plugin, per_second, dropped) = (Arc::clone(&self.plugin), self.per_second, Arc::clone(&self.dropped));
        let tell = move || {
            let dropped = dropped.swap(0, Ordering::Relaxed);
            tracing::warn!(kind = "plugin", %plugin, dropped, "{dropped} lines dropped: more than {per_second} a second (log)");
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(PERIOD).await;
                tell();
            })),
            Err(_) => tell(),
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
