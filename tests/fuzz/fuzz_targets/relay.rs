//! Relay messages: read without a panic, at the same byte wherever the bytes are cut, and written as they were read.

#![no_main]

use drawspan_wire::relay::{MAX_MESSAGE, Parsed, Request, Response, datagram};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(request) = found(bytes, Request::parse) {
        assert_eq!(found(&request.encode().unwrap(), Request::parse), Some(request));
    }
    if let Some(response) = found(bytes, Response::parse) {
        assert_eq!(found(&response.encode().unwrap(), Response::parse), Some(response));
    }
    assert_eq!(datagram(bytes).is_some(), bytes.len() >= 2);
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
