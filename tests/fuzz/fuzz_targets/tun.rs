//! Datagrams of a tunnel: IP packets and keepalive messages, read without a panic and written as they were read.

#![no_main]

use drawspan_wire::tun::{Keepalive, MAX_ADDRESSES, Packet, Seen};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if Packet::parse(bytes).is_ok() {
        assert!(bytes.len() >= 20);
        // What is behind a packet changes nothing.
        assert_eq!(Packet::parse(&[bytes, &[0xff; 3]].concat()), Packet::parse(bytes));
    }
    if let Some(keepalive) = Keepalive::parse(bytes) {
        assert!(keepalive.addresses.len() <= MAX_ADDRESSES && keepalive.key.len() <= 16);
        assert_eq!(Keepalive::parse(&keepalive.encode()), Some(keepalive));
    }
    if let Some(seen) = Seen::parse(bytes) {
        assert_eq!(Seen::parse(&seen.encode()), Some(seen));
    }
});
