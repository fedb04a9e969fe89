//! What an HTTP plugin server answers, the first byte being the call: read without a panic, and what was read can be said again.

#![no_main]

mod calls;

use drawspan_bridge_http::HttpCall;
use http::StatusCode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((pick, body)) = bytes.split_first() {
        with_call!(pick, read(body));
    }
});

fn read<C: HttpCall>(body: &[u8]) {
    let Ok(reply) = C::decode(body) else { return };
    let (status, body) = C::encode_reply(reply.clone());
    assert!(status != StatusCode::OK || C::decode(&body).is_ok_and(|again| again == reply));
}
