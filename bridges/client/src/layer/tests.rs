//! Each policy around a plugin that fails on purpose.

use std::sync::Arc;
use std::time::Duration;

use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use drawspan_wit::{CallError, ErrorKind, Module, OnError, Plugin};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use super::*;
use crate::Metrics;

type Reply = Option<Identity>;

/// Fails so, or never answers.
struct Failing(Option<ErrorKind>);

impl Plugin<AuthenticationRequest> for Failing {
    async fn call(&self, _: Arc<AuthenticationRequest>) -> Result<Reply, CallError> {
        match self.0 {
            Some(kind) => Err(CallError::new(kind, "on purpose")),
            None => std::future::pending().await,
        }
    }
}

/// Answers when a permit is there.
struct Gated(Arc<Semaphore>);

impl Plugin<AuthenticationRequest> for Gated {
    async fn call(&self, _: Arc<AuthenticationRequest>) -> Result<Reply, CallError> {
        self.0.acquire().await.unwrap().forget();
        Ok(Some(Identity { client_id: "alice".into() }))
    }
}

fn request() -> Arc<AuthenticationRequest> {
    Arc::new(AuthenticationRequest {
        username: "alice".into(),
        password: "wonder".into(),
        client_address: None,
        service: "service-0".into(),
        certificate: None,
    })
}

#[tokio::test]
async fn a_failed_authenticator_denies_but_for_an_unavailable_one_that_may_allow() {
    for kind in ErrorKind::ALL {
        for on_error in [None, Some(OnError::Deny), Some(OnError::Allow)] {
            let reply = FailSafe::new(Failing(Some(kind)), on_error).call(request()).await.unwrap();
            let open = on_error == Some(OnError::Allow) && kind == ErrorKind::Unavailable;
            assert_eq!(reply.map(|identity| identity.client_id), open.then(String::new), "{kind:?} {on_error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let error = Deadline::new(Failing(None), Duration::from_millis(50)).call(request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(error.to_string().starts_with("no answer within 50ms"), "{error}");
}

#[tokio::test]
async fn one_call_too_many_fails_at_once_and_room_comes_back() {
    let gate = Arc::new(Semaphore::new(0));
    let plugin = Arc::new(InFlight::new(Gated(Arc::clone(&gate)), 2));
    let calls = [0, 1].map(|_| {
        let plugin = Arc::clone(&plugin);
        tokio::spawn(async move { plugin.call(request()).await })
    });
    tokio::task::yield_now().await;
    assert_eq!(plugin.call(request()).await.unwrap_err().kind(), ErrorKind::Overloaded);
    gate.add_permits(3);
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    assert!(plugin.call(request()).await.is_ok());
}

#[tokio::test]
async fn calls_and_failures_are_counted() {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry).plugin("auther-0", Module::Auther, "grpc");
    let name = "auther-0".into();
    let plugin = Observed::new(Failing(Some(ErrorKind::Trapped)), &name, Module::Auther, "grpc://[::1]:8000", metrics);
    for _ in 0..3 {
        plugin.call(request()).await.unwrap_err();
    }
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let labels = r#"plugin="auther-0",module="auther",backing="grpc""#;
    for line in [
        format!("drawspan_plugin_calls_total{{{labels}}} 3"),
        format!("drawspan_plugin_errors_total{{{labels},kind=\"trapped\"}} 3"),
        format!("drawspan_plugin_errors_total{{{labels},kind=\"deadline\"}} 0"),
        format!("drawspan_plugin_call_seconds_count{{{labels}}} 3"),
        format!("drawspan_plugin_calls_in_flight{{{labels}}} 0"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}
