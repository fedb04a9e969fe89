//! What tunnels of IP packets carry (GOST reference, dataplane 9): packets, of which only the addresses matter here, and
//! keepalive messages between them.

mod keepalive;
mod packet;

pub use keepalive::{Keepalive, MAX_ADDRESSES, Seen};
pub use packet::{Packet, PacketError};

/// Bytes of the longest packet.
pub const MAX_PACKET: usize = u16::MAX as usize;
