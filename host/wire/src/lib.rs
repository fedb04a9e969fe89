//! Byte formats that clients and servers speak: bytes in, values out, no I/O.
//!
//! Every parser here reads what strangers send. None panics, none allocates more than its documented bound, and each can
//! be fed its input in pieces of any size.

mod cursor;
pub mod dns;
pub mod gost_target;
pub mod http1;
pub mod proxy_protocol;
pub mod relay;
pub mod smux;
pub mod sniff;
pub mod socks;
pub mod tls;
pub mod tun;
pub mod websocket;
