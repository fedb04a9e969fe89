//! `mux.*` in `metadata`: how streams share a connection.

use std::time::Duration;

use crate::decode::{Context, Object};

/// How streams share a connection. Both ends need the same version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mux {
    /// Of smux (`mux.version`): 1 or 2.
    pub version: u8,
    /// How often the peer gets a sign of life (`mux.keepaliveInterval`, default 10 s), and after how long without one it
    /// counts as dead (`mux.keepaliveTimeout`, default 30 s, at least the interval); none: `mux.keepaliveDisabled`.
    pub keepalive: Option<(Duration, Duration)>,
    /// Bytes of a frame (`mux.maxFrameSize`). Default 32768.
    pub max_frame: u16,
    /// Bytes that wait to be read in all streams (`mux.maxReceiveBuffer`). Default 4 MiB.
    pub receive_buffer: u32,
    /// Bytes that wait to be read in one stream, in version 2 (`mux.maxStreamBuffer`). At most `receive_buffer`.
    pub stream_buffer: u32,
}

const TYPES: [(&str, ()); 1] = [("smux", ())];

/// What `mux.type: yamux` has, which isn't implemented.
pub(crate) const NOT_IMPLEMENTED: [&str; 1] = ["mux.maxStreamWindow"];

impl Mux {
    /// GOST's defaults for relays, SOCKS and most transports.
    pub(crate) const V1: Self = Self {
        version: 1,
        keepalive: Some((Duration::from_secs(10), Duration::from_secs(30))),
        max_frame: 32 * 1024,
        receive_buffer: 4 * 1024 * 1024,
        stream_buffer: 64 * 1024,
    };
    /// The same in version 2.
    pub(crate) const V2: Self = Self { version: 2, ..Self::V1 };
    /// For tunnels.
    pub(crate) const TUNNEL: Self = Self { stream_buffer: 1024 * 1024, ..Self::V2 };
}

/// Reads what differs from `default`. What contradicts itself is an error; GOST: no session works then.
pub(crate) fn decode(metadata: &mut Object<'_>, default: Mux, cx: &mut Context) -> Mux {
    if let Some(item) = metadata.take("mux.type").filter(|item| !item.node.value.is_zero()) {
        item.choice("kind of mux", &TYPES, cx);
    }
    let is_off = metadata.flag("mux.keepaliveDisabled", cx);
    let (interval, timeout) = default.keepalive.unwrap_or_default();
    let interval = metadata.seconds("mux.keepaliveInterval", cx).unwrap_or(interval);
    let timeout = metadata.seconds("mux.keepaliveTimeout", cx).unwrap_or(timeout);
    if !is_off && timeout < interval {
        cx.push(metadata.error("`mux.keepaliveTimeout` must not be below `mux.keepaliveInterval`"));
    }
    let integer = |key, range, default, metadata: &mut Object<'_>, cx: &mut Context| {
        metadata.integer(key, range, cx).unwrap_or(default)
    };
    let most = i32::MAX.unsigned_abs();
    let frame = integer("mux.maxFrameSize", 1..=u16::MAX.into(), default.max_frame.into(), metadata, cx);
    let mux = Mux {
        version: if integer("mux.version", 1..=2, default.version.into(), metadata, cx) == 1 { 1 } else { 2 },
        keepalive: (!is_off).then_some((interval, timeout)),
        max_frame: u16::try_from(frame).unwrap_or(u16::MAX),
        receive_buffer: integer("mux.maxReceiveBuffer", 1..=most, default.receive_buffer, metadata, cx),
        stream_buffer: integer("mux.maxStreamBuffer", 1..=most, default.stream_buffer, metadata, cx),
    };
    if mux.stream_buffer > mux.receive_buffer {
        cx.push(metadata.error("`mux.maxStreamBuffer` must not be above `mux.maxReceiveBuffer`"));
    }
    mux
}
