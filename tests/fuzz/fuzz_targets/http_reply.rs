//! What an HTTP plugin server answers: read without a panic.

#![no_main]

use drawspan_bridge_http::HttpCall;
use drawspan_wit::authenticator::AuthenticationRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = AuthenticationRequest::decode(bytes);
});
