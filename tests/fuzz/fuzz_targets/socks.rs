//! SOCKS messages: read without a panic, at the same byte wherever the bytes are cut, and written as they were read.

#![no_main]

use drawspan_wire::socks::{Address, Datagram, Frame, MAX_MESSAGE, Parsed, v4, v5};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(request) = found(bytes, v4::Request::parse) {
        assert_eq!(found(&request.encode().unwrap(), v4::Request::parse), Some(request.clone()));
        check(&request.address);
    }
    found(bytes, v4::parse_reply);
    if let Some(methods) = found(bytes, v5::parse_greeting) {
        assert_eq!(found(&v5::greeting(&methods), v5::parse_greeting), Some(methods));
    }
    found(bytes, v5::Method::parse_selection);
    found(bytes, v5::parse_password_reply);
    if let Some(credentials) = found(bytes, v5::parse_password) {
        assert_eq!(found(&v5::password(&credentials).unwrap(), v5::parse_password), Some(credentials));
    }
    if let Some(request) = found(bytes, v5::Request::parse) {
        check(&request.address);
        assert!(found(&request.encode().unwrap(), v5::Request::parse).is_some());
    }
    found(bytes, v5::Reply::parse);
    if let Some(frame) = found(bytes, Frame::parse) {
        check(&frame.address);
        let mut out = Vec::new();
        frame.encode(&mut out).unwrap();
        assert!(out.len() <= Frame::MAX_HEAD);
    }
    if let Ok(datagram) = Datagram::parse(bytes) {
        check(&datagram.address);
        assert!(bytes.ends_with(datagram.data));
    }
});

/// The message at the start of `bytes`; no prefix of it is a message or an error.
fn found<T>(bytes: &[u8], parse: impl Fn(&[u8]) -> Parsed<T>) -> Option<T> {
    let Ok(Some((message, length))) = parse(bytes) else {
        assert!(bytes.len() < MAX_MESSAGE || parse(bytes).is_err(), "wants more than its bound");
        return None;
    };
    assert!(length <= bytes.len().min(MAX_MESSAGE));
    for end in [0, length / 2, length - 1] {
        assert!(matches!(parse(&bytes[..end]), Ok(None)), "a message within a message");
    }
    Some(message)
}

fn check(address: &Address) {
    if let Ok(target) = address.host_port() {
        assert_eq!(Address::from(&target).host_port(), Ok(target.clone()));
        assert!(!target.host.is_empty() && target.host.is_ascii());
        assert!(!target.host.contains([' ', '\r', '\n', '\0', '/', '@']), "{target} would break a request");
    }
}
