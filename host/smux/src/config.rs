//! [`Config`]: what both ends agree upon, and what each allows itself.

use std::time::Duration;

use drawspan_wire::smux::Version;

/// How a session behaves. Both ends need the same `version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Which smux.
    pub version: Version,
    /// When the peer is told that we live, and when it counts as dead; `None`: neither.
    pub keepalive: Option<Keepalive>,
    /// Bytes of a frame that we send, from 1 to 65535.
    pub max_frame: u16,
    /// Bytes that wait to be read in all streams together; beyond, the peer isn't read from.
    pub receive_buffer: u32,
    /// Bytes that the peer may send on a stream before they are read (version 2). At most `receive_buffer`.
    pub stream_buffer: u32,
}

/// Signs of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// How often the peer gets one.
    pub interval: Duration,
    /// After so long without any byte from it the session is over. At least `interval`.
    pub timeout: Duration,
}

/// Why a session can't be as it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It would wait for nothing.
    #[error("the keepalive interval must be above 0")]
    Interval,
    /// The peer would be dead before it could say otherwise.
    #[error("the keepalive timeout must not be below the interval")]
    Timeout,
    /// Nothing could be sent.
    #[error("the frame size must be above 0")]
    Frame,
    /// Nothing could be received.
    #[error("the buffer of a stream must be above 0, and at most the receive buffer, which must be below 2 GiB")]
    Buffer,
}

impl Config {
    /// GOST's defaults: a sign of life every 10 s, dead after 30 s, frames of 32 KiB, 4 MiB in all, 64 KiB a stream.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        let keepalive = Keepalive { interval: Duration::from_secs(10), timeout: Duration::from_secs(30) };
        Self {
            version,
            keepalive: Some(keepalive),
            max_frame: 32 * 1024,
            receive_buffer: 4 << 20,
            stream_buffer: 64 << 10,
        }
    }

    /// Whether a session can be like this.
    ///
    /// # Errors
    /// If a value is outside of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(Keepalive { interval, timeout }) = self.keepalive {
            if interval.is_zero() {
                return Err(ConfigError::Interval);
            }
            if timeout < interval {
                return Err(ConfigError::Timeout);
            }
        }
        if self.max_frame == 0 {
            return Err(ConfigError::Frame);
        }
        let (stream, all) = (self.stream_buffer, self.receive_buffer);
        if stream == 0 || stream > all || i32::try_from(all).is_err() {
            return Err(ConfigError::Buffer);
        }
        Ok(())
    }
}
