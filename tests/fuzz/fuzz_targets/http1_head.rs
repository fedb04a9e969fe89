//! The head of a request or response: found and read without a panic, wherever the bytes are cut; a websocket's too.

#![no_main]

use drawspan_wire::http1::{BodyLength, HeadError, HeadScanner, RequestHead, ResponseHead};
use drawspan_wire::websocket;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    if let Some(head) = found(HeadScanner::request(), cut, bytes) {
        match RequestHead::parse(head) {
            Ok(head) => {
                let _ = (BodyLength::of_request(&head), head.keeps_alive());
                if let Ok(key) = websocket::check_request(&head) {
                    assert_eq!(websocket::accept(key).len(), 28);
                }
                for header in head.headers.end_to_end() {
                    assert!(!header.is("connection") && !header.is("proxy-authorization"));
                }
            }
            Err(error) => assert_ne!(error, HeadError::Incomplete, "the scanner saw an end where the parser sees none"),
        }
    }
    if let Some(head) = found(HeadScanner::response(), cut, bytes) {
        match ResponseHead::parse(head) {
            Ok(head) => {
                let _ = (BodyLength::of_response(&head, "GET"), websocket::check_response(&head, b""));
            }
            Err(error) => assert_ne!(error, HeadError::Incomplete, "the scanner saw an end where the parser sees none"),
        }
    }
});

/// The head at the start of `bytes`; the same whether they arrive in one piece or in two.
fn found(mut scanner: HeadScanner, cut: usize, bytes: &[u8]) -> Option<&[u8]> {
    let mut other = scanner.clone();
    let whole = scanner.scan(bytes);
    let pieces = match other.scan(&bytes[..cut % (bytes.len() + 1)]) {
        Ok(None) => other.scan(bytes),
        early => early,
    };
    assert_eq!(whole, pieces);
    whole.ok().flatten().map(|len| &bytes[..len])
}
