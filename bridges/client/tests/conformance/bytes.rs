//! Calls whose point is bytes: of every length, in both directions, and longer than anyone takes.

use std::fmt::Debug;
use std::sync::Arc;

use drawspan_plugin_client::PluginCall;
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::{ErrorKind, Plugin};

use crate::bench::{Answer, Bench, MAX_REPLY, MEMORY, Over, Scene};

const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;

/// Not text, and not the same everywhere.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).rev().collect()
}

fn write(data: Vec<u8>) -> Arc<WriteRequest> {
    Arc::new(WriteRequest { data, metadata: Some("{}".into()) })
}

fn rewrite(data: Vec<u8>) -> Arc<RewriteRequest> {
    Arc::new(RewriteRequest { data, metadata: None })
}

/// What a plugin that says `reply` is heard to say, as its failure if it is one.
async fn ask<C: PluginCall + Debug>(
    bench: &Bench,
    over: Over,
    call: &Arc<C>,
    reply: C::Reply,
) -> Result<C::Reply, (ErrorKind, String)> {
    let scene = Scene { asked: (**call).clone(), answer: Answer::Reply(reply) };
    let plugin = bench.bare(over, &scene, MAX_REPLY).await;
    plugin.call(Arc::clone(call)).await.map_err(|error| (error.kind(), error.to_string()))
}

#[tokio::test]
async fn bytes_arrive_as_they_are() {
    let bench = Bench::start().await;
    for over in Over::ALL {
        for length in [0, 1, KIB, MIB] {
            assert_eq!(ask(&bench, over, &write(bytes(length)), ()).await, Ok(()), "{over:?} {length}");
            let (call, other) = (rewrite(bytes(length)), bytes(length + 1));
            for reply in [None, Some(bytes(length)), Some(other)] {
                // gRPC can't tell an empty body from none.
                let heard = reply.clone().filter(|body| over != Over::Grpc || !body.is_empty());
                assert_eq!(ask(&bench, over, &call, reply).await, Ok(heard), "{over:?} {length}");
            }
        }
    }
}

#[tokio::test]
async fn a_reply_beyond_the_limit_is_a_bad_reply() {
    let bench = Bench::start().await;
    let call = rewrite(bytes(1));
    for over in Over::ALL {
        for length in [MAX_REPLY + 1, 3 * MIB] {
            let (kind, reason) = ask(&bench, over, &call, Some(bytes(length))).await.unwrap_err();
            assert_eq!(kind, ErrorKind::BadReply, "{over:?} {reason}");
            assert!(reason.contains(&format!("larger than {MAX_REPLY} bytes (maxReply)")), "{over:?} {reason}");
        }
        assert_eq!(ask(&bench, over, &call, Some(bytes(KIB))).await, Ok(Some(bytes(KIB))), "{over:?}, afterwards");
    }
}

#[tokio::test]
async fn a_request_beyond_the_limit_is_declined() {
    let bench = Bench::start().await;
    // A server takes 4 MiB, and base64 is longer than what it stands for.
    for (over, length, reason) in [
        (Over::Grpc, 4 * MIB, "the server answered ResourceExhausted: a request has 4194304 bytes at most"),
        (Over::Http, 3 * MIB, "the server answered 413 Payload Too Large"),
        (Over::Http, 40 * MIB, "the server answered 413 Payload Too Large"),
    ] {
        let refused = Err((ErrorKind::Refused, reason.to_owned()));
        assert_eq!(ask(&bench, over, &write(bytes(length)), ()).await, refused, "{over:?} {length}");
        // For GOST's sake a server answers that the body stays as it is.
        assert_eq!(ask(&bench, over, &rewrite(bytes(length)), None).await, Ok(None), "{over:?} {length}");
    }
}

#[tokio::test]
async fn a_request_beyond_the_memory_ends_an_instance_and_nothing_else() {
    let bench = Bench::start().await;
    let small = write(bytes(KIB));
    let scene = Scene { asked: (*small).clone(), answer: Answer::Reply(()) };
    let plugin = bench.bare(Over::Wasm, &scene, MAX_REPLY).await;
    let error = plugin.call(write(bytes(MEMORY + 1))).await.unwrap_err();
    assert!(error.to_string().contains("more memory than the 64 MiB of `memory`"), "{error}");
    plugin.call(small).await.unwrap();
}
