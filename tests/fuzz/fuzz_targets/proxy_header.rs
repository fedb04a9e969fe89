//! PROXY headers: read without a panic, at the same byte wherever the bytes are cut, and written as they were read.

#![no_main]

use drawspan_wire::proxy_protocol::{Header, MAX_HEADER, Version, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let header = Header::parse(bytes);
    if header == Ok(None) {
        assert!(bytes.len() < MAX_HEADER, "wants more than its bound");
    }
    match Header::parse(&bytes[..cut % (bytes.len() + 1)]) {
        Ok(None) => {}
        early => assert_eq!(early, header),
    }
    if let Ok(Some(header)) = header {
        assert!(header.length <= bytes.len().min(MAX_HEADER));
        for version in [Version::V1, Version::V2] {
            let written = encode(version, header.addresses);
            let read = Header::parse(&written).unwrap().unwrap();
            assert_eq!(read.length, written.len());
            assert_eq!(read.addresses.is_some(), header.addresses.is_some());
        }
    }
});
