//! What a gRPC plugin server answers, the first byte being the call: read without a panic, and what was read can be said again.

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
    let Ok(reply) = C::Response::decode(message) else { return };
    let Ok(reply) = C::decode(reply) else { return };
    assert!(C::decode(C::encode_reply(reply.clone())).is_ok_and(|again| again == reply));
}
