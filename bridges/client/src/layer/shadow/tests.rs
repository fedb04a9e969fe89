use drawspan_wit::ErrorKind;
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::ingress::SetRuleRequest;

use super::*;
use crate::layer::fakes::{Counted, Fake, authenticate, identity, settle};

type Auther = Fake<AuthenticationRequest>;

fn shadow<P, S>(plugin: P, shadow: S, sample: f64, counted: &Counted) -> Shadow<P, S> {
    let metrics = counted.metrics.shadow(&counted.labels);
    Shadow::new(plugin, Some(Beside::new(shadow, sample, counted.labels.clone(), metrics)))
}

fn request() -> Arc<AuthenticationRequest> {
    Arc::new(authenticate())
}

fn alice() -> Auther {
    Fake::new(|_| Ok(identity("alice")))
}

fn check(counted: &Counted, outcomes: [(&str, u64); 4]) {
    for (outcome, count) in outcomes {
        counted.check("shadows_total", &format!(r#",outcome="{outcome}""#), count);
    }
}

#[tokio::test]
async fn replies_are_compared_and_the_shadows_is_never_given() {
    let counted = Counted::new();
    let other = Fake::new(|before| match before {
        0 => Ok(identity("alice")),
        1 => Ok(identity("bob")),
        2 => Ok(None),
        _ => Err(ErrorKind::Refused),
    });
    let plugin = shadow(alice(), other, 1.0, &counted);
    for _ in 0..4 {
        assert_eq!(plugin.call(request()).await.unwrap(), identity("alice"));
    }
    settle().await;
    check(&counted, [("match", 1), ("difference", 2), ("error", 1), ("dropped", 0)]);
}

#[tokio::test]
async fn a_hanging_shadow_delays_nothing_and_what_finds_no_room_is_dropped() {
    let counted = Counted::new();
    let other = Auther::hanging();
    let plugin = shadow(alice(), other.clone(), 1.0, &counted);
    assert_eq!(plugin.call(request()).await.unwrap(), identity("alice"));
    settle().await;
    for _ in 0..QUEUE + 5 {
        assert_eq!(plugin.call(request()).await.unwrap(), identity("alice"));
    }
    settle().await;
    assert_eq!(other.asked(), 1);
    check(&counted, [("match", 0), ("difference", 0), ("error", 0), ("dropped", 5)]);
}

#[tokio::test]
async fn what_failed_and_what_has_effects_is_not_shadowed() {
    let counted = Counted::new();
    let other = alice();
    shadow(Auther::failing(ErrorKind::Refused), other.clone(), 1.0, &counted).call(request()).await.unwrap_err();
    settle().await;
    assert_eq!(other.asked(), 0);

    let message = SetRuleRequest { host: "a.example.com".into(), endpoint: "b".into(), service: None };
    let (ingress, other) = (Fake::new(|_| Ok(())), Fake::new(|_| Ok(())));
    shadow(ingress.clone(), other.clone(), 1.0, &counted).call(Arc::new(message)).await.unwrap();
    settle().await;
    assert_eq!((ingress.asked(), other.asked()), (1, 0));
}

#[tokio::test]
async fn the_sample_is_its_share() {
    for (sample, asked) in [(0.0, 0), (0.1, 2), (0.25, 5), (1.0, 20)] {
        let other = alice();
        let plugin = shadow(alice(), other.clone(), sample, &Counted::new());
        for _ in 0..20 {
            plugin.call(request()).await.unwrap();
        }
        settle().await;
        assert_eq!(other.asked(), asked, "{sample}");
    }
}

#[tokio::test]
async fn a_plugin_that_is_dropped_stops_asking_its_shadow() {
    let plugin = shadow(alice(), Auther::hanging(), 1.0, &Counted::new());
    let comparison = Arc::downgrade(&plugin.beside.as_ref().unwrap().comparison);
    for _ in 0..2 {
        plugin.call(request()).await.unwrap();
    }
    settle().await;
    drop(plugin);
    settle().await;
    assert!(comparison.upgrade().is_none());
}
