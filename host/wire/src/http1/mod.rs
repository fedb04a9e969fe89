//! HTTP/1.0 and HTTP/1.1 messages (RFC 9110, RFC 9112), as a proxy sees them.
//!
//! A message is found by [`HeadScanner`], read by [`RequestHead`] or [`ResponseHead`], and its body is delimited by
//! [`BodyLength`] and [`BodyScanner`], so that body bytes can be passed on as they are, framing and trailers included.
//! Whatever two implementations might read differently is an error: request smuggling lives on leniency.

mod basic;
mod body;
mod chunked;
mod head;
mod headers;
mod scanner;
mod target;

pub use basic::Credentials;
pub use body::{BodyLength, BodyScanner, FramingError};
pub use chunked::{ChunkError, ChunkScanner, MAX_CHUNK_LINE, MAX_TRAILERS};
pub use head::{HeadError, RequestHead, ResponseHead, Version};
pub use headers::{Header, Headers};
pub use scanner::{HeadScanner, MAX_HEAD};
pub use target::{GOST_TARGETS, HostPort, RequestTarget, TargetError, is_dns_name, named_host, origin_form, url_host};

/// Headers of one message; a message with more is refused.
pub const MAX_HEADERS: usize = 128;
