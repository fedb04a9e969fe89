//! What a component's failure becomes when it is served to GOST.

use std::sync::Arc;
use std::time::Duration;

use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::types::PluginError;
use drawspan_wit::{ErrorKind, Module, Plugin};

use crate::bench::{Answer, Bench, MAX_REPLY, Over, Ports, Scene};
use crate::bytes::{MIB, bytes};
use crate::{hop_request, resolve_request};

#[tokio::test]
async fn a_components_failure_is_told_by_status() {
    let bench = Bench::start().await;
    let purpose = || "on purpose".to_owned();
    for (answer, code, status) in [
        (Answer::Error(PluginError::InvalidRequest(purpose())), "InvalidArgument", "400 Bad Request"),
        (Answer::Error(PluginError::Unavailable(purpose())), "Unavailable", "503 Service Unavailable"),
        (Answer::Error(PluginError::Failed(purpose())), "Unknown", "500 Internal Server Error"),
        (Answer::Trap, "Internal", "500 Internal Server Error"),
        (Answer::Spin, "DeadlineExceeded", "504 Gateway Timeout"),
    ] {
        let scene = Scene { asked: resolve_request(), answer };
        let mut settings = bench.settings(Over::Wasm, &scene, MAX_REPLY);
        if matches!(scene.answer, Answer::Spin) {
            settings.timeout = Duration::from_millis(5);
        }
        let (ports, _serving) = Ports::serve(bench.load(settings).await, &[Module::Resolver]).await;
        for (over, told) in [(Over::Grpc, code), (Over::Http, status)] {
            let client = bench.load(bench.at(ports, over, &scene, MAX_REPLY)).await;
            let error = client.call(Arc::new(scene.asked.clone())).await.unwrap_err();
            assert!(error.to_string().starts_with(&format!("the server answered {told}")), "{over:?} {error}");
            // A server that can't be reached may open a door.
            assert_ne!(error.kind(), ErrorKind::Unavailable, "{over:?}");
        }
    }
}

/// To GOST anything else than a node means that it may go without one.
#[tokio::test]
async fn a_hop_that_fails_is_answered_by_a_node_that_nobody_can_dial() {
    let bench = Bench::start().await;
    for answer in
        [Answer::Error(PluginError::Failed("on purpose".into())), Answer::Trap, Answer::Reply(Some("{}".into()))]
    {
        let scene = Scene { asked: hop_request(), answer };
        let component = bench.load(bench.settings(Over::Wasm, &scene, MAX_REPLY)).await;
        let (ports, _serving) = Ports::serve(component, &[Module::Hop]).await;
        for over in [Over::Grpc, Over::Http] {
            let client = bench.load(bench.at(ports, over, &scene, MAX_REPLY)).await;
            let error = client.call(Arc::new(scene.asked.clone())).await.unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::BadReply, "the node has no addr"));
        }
    }
}

#[tokio::test]
async fn bytes_pass_through_a_server_and_its_component() {
    let bench = Bench::start().await;
    for length in [0, MIB] {
        let call = RewriteRequest { data: bytes(length), metadata: Some("{}".into()) };
        let scene = Scene { asked: call, answer: Answer::Reply(Some(bytes(length + 1))) };
        let component = bench.load(bench.settings(Over::Wasm, &scene, MAX_REPLY)).await;
        let (ports, _serving) = Ports::serve(component, &[Module::Rewriter]).await;
        for over in [Over::Grpc, Over::Http] {
            let client = bench.load(bench.at(ports, over, &scene, MAX_REPLY)).await;
            let reply = client.call(Arc::new(scene.asked.clone())).await;
            assert_eq!(reply.unwrap(), Some(bytes(length + 1)), "{over:?} {length}");
        }

        let scene = Scene { asked: WriteRequest { data: bytes(length), metadata: None }, answer: Answer::Reply(()) };
        let component = bench.load(bench.settings(Over::Wasm, &scene, MAX_REPLY)).await;
        let (ports, _serving) = Ports::serve(component, &[Module::Recorder]).await;
        for over in [Over::Grpc, Over::Http] {
            let client = bench.load(bench.at(ports, over, &scene, MAX_REPLY)).await;
            client.call(Arc::new(scene.asked.clone())).await.unwrap();
        }
    }
}
