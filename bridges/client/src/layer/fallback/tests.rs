use std::sync::Arc;

use drawspan_wit::OnError;
use drawspan_wit::authenticator::AuthenticationRequest;

use super::*;
use crate::layer::FailSafe;
use crate::layer::fakes::{Counted, Fake, authenticate, identity};

type Auther = Fake<AuthenticationRequest>;

/// What the client of an auther and its fallback gets.
async fn ask(auther: &Auther, fallback: &Auther, on_error: Option<OnError>) -> Option<String> {
    let plugin = Fallback::new(auther.clone(), Some((fallback.clone(), Counter::default())));
    let reply = FailSafe::new(plugin, on_error).call(Arc::new(authenticate())).await.unwrap();
    reply.map(|identity| identity.client_id)
}

#[tokio::test]
async fn only_an_unavailable_plugin_has_its_fallback_asked() {
    for kind in ErrorKind::ALL {
        for on_error in [None, Some(OnError::Deny), Some(OnError::Allow)] {
            let fallback = Fake::new(|_| Ok(identity("alice")));
            let reply = ask(&Fake::failing(kind), &fallback, on_error).await;
            let away = kind == ErrorKind::Unavailable;
            assert_eq!((reply.as_deref(), fallback.asked()), (away.then_some("alice"), usize::from(away)), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn two_failures_let_nobody_in_unless_both_are_unavailable() {
    for first in ErrorKind::ALL {
        for second in ErrorKind::ALL {
            let reply = ask(&Fake::failing(first), &Fake::failing(second), Some(OnError::Allow)).await;
            let both_away = (first, second) == (ErrorKind::Unavailable, ErrorKind::Unavailable);
            assert_eq!(reply.as_deref(), both_away.then_some(""), "{first:?} {second:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_is_an_answer_also_when_it_is_no() {
    let fallback = Fake::new(|_| Ok(identity("alice")));
    assert_eq!(ask(&Fake::new(|_| Ok(None)), &fallback, None).await, None);
    assert_eq!(fallback.asked(), 0);
}

#[tokio::test]
async fn what_is_handed_on_is_counted() {
    let counted = Counted::new();
    let plugin = Fake::new(|before| if before < 2 { Err(ErrorKind::Unavailable) } else { Ok(None) });
    let fallback = Some((Fake::new(|_| Ok(None)), counted.metrics.fallbacks(&counted.labels)));
    let plugin: Fallback<Auther, Auther> = Fallback::new(plugin, fallback);
    for _ in 0..3 {
        plugin.call(Arc::new(authenticate())).await.unwrap();
    }
    counted.check("fallbacks_total", "", 2);
}
