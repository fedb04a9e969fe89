//! The policies that every plugin has, each around a plugin that fails on purpose.

use std::sync::Arc;
use std::time::Duration;

use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::{ErrorKind, OnError, Plugin};
use tokio::sync::Semaphore;

use super::fakes::{Counted, Fake, authenticate, identity};
use super::*;

fn request() -> Arc<AuthenticationRequest> {
    Arc::new(authenticate())
}

#[tokio::test]
async fn a_failed_authenticator_denies_but_for_an_unavailable_one_that_may_allow() {
    for kind in ErrorKind::ALL {
        for on_error in [None, Some(OnError::Deny), Some(OnError::Allow)] {
            let reply = FailSafe::new(Fake::failing(kind), on_error).call(request()).await.unwrap();
            let open = on_error == Some(OnError::Allow) && kind == ErrorKind::Unavailable;
            assert_eq!(reply.map(|identity| identity.client_id), open.then(String::new), "{kind:?} {on_error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let error = Deadline::new(Fake::hanging(), Duration::from_millis(50)).call(request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(error.to_string().starts_with("no answer within 50ms"), "{error}");
}

#[tokio::test]
async fn one_call_too_many_fails_at_once_and_room_comes_back() {
    let gate = Arc::new(Semaphore::new(0));
    let plugin = Arc::new(InFlight::new(Fake::new(|_| Ok(identity("alice"))).gated(&gate), 2));
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
    let counted = Counted::new();
    let failing = Fake::failing(ErrorKind::Trapped);
    let plugin = Observed::new(failing, &counted.labels, "grpc://[::1]:8000".into(), &counted.metrics);
    for _ in 0..3 {
        plugin.call(request()).await.unwrap_err();
    }
    counted.check("calls_total", "", 3);
    counted.check("errors_total", r#",kind="trapped""#, 3);
    counted.check("errors_total", r#",kind="deadline""#, 0);
    counted.check("call_seconds_count", "", 3);
    counted.check("calls_in_flight", "", 0);
}
