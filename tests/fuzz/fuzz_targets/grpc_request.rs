//! What a gRPC client of `plugin serve` asks, the first byte being the call: read without a panic, and what was read can be asked
//! again.

#![no_main]

mod calls;

use drawspan_bridge_grpc::GrpcCall;
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    if let Some((pick, message)) = bytes.split_first() {
        with_call!(pick, read(message));
    }
});

fn read<C: GrpcCall>(message: &[u8]) {
    let Ok(request) = C::Request::decode(message) else { return };
    let Ok(request) = C::decode_request(request) else { return };
    assert!(C::decode_request(request.encode()).is_ok_and(|again| again == request));
}
