use drawspan_wit::admission::AdmissionRequest;
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::bypass::BypassRequest;
use drawspan_wit::hop::HopRequest;
use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::ingress::GetRuleRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::router::RouteRequest;
use drawspan_wit::service_discovery::GetServicesRequest;
use drawspan_wit::traffic_limiter::LimitRequest;
use drawspan_wit::types::AddressFamily;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant as TokioInstant;

use super::*;
use crate::layer::Deadline;
use crate::layer::fakes::{Counted, Fake, authenticate, identity, settle};

type Auther = Fake<AuthenticationRequest>;

const LONG: Duration = Duration::from_secs(3600);
const KEEP: CacheSettings = CacheSettings { ttl: LONG, negative_ttl: Duration::ZERO, size: 100 };

fn store(settings: CacheSettings) -> Store {
    let counted = Counted::new();
    Store::new(settings, LONG, counted.metrics.cache(&counted.labels)).unwrap()
}

fn cached<P>(plugin: P, settings: CacheSettings) -> Cached<P> {
    Cached::new(plugin, Some(store(settings)))
}

fn request() -> Arc<AuthenticationRequest> {
    Arc::new(authenticate())
}

fn alice() -> Auther {
    Fake::new(|_| Ok(identity("alice")))
}

#[tokio::test]
async fn a_reply_is_given_again_and_counted() {
    let counted = Counted::new();
    let auther = alice();
    let store = Store::new(KEEP, LONG, counted.metrics.cache(&counted.labels)).unwrap();
    let plugin = Cached::new(auther.clone(), Some(store));
    for _ in 0..3 {
        assert_eq!(plugin.call(request()).await.unwrap(), identity("alice"));
    }
    assert_eq!(auther.asked(), 1);
    counted.check("cache_hits_total", "", 2);
    counted.check("cache_misses_total", "", 1);
}

#[tokio::test]
async fn without_a_store_or_leave_each_question_is_asked() {
    let auther = alice();
    let plugin = Cached::new(auther.clone(), None);
    for _ in 0..2 {
        plugin.call(request()).await.unwrap();
    }
    assert_eq!(auther.asked(), 2);

    let rewriter: Fake<RewriteRequest> = Fake::new(|_| Ok(Some(vec![1])));
    let plugin = cached(rewriter.clone(), KEEP);
    let request = Arc::new(RewriteRequest { data: vec![0], metadata: None });
    for _ in 0..2 {
        plugin.call(Arc::clone(&request)).await.unwrap();
    }
    assert_eq!(rewriter.asked(), 2);
}

#[test]
fn what_moves_from_one_field_to_the_next_is_another_question() {
    let store = store(KEEP);
    let moved = AuthenticationRequest { username: "alicew".into(), password: "onder".into(), ..authenticate() };
    assert_ne!(store.key(&moved), store.key(&authenticate()));
}

/// Whatever changes in a request is another question, but for the port at `client`.
fn distinguishes<C: Call>(client: Option<&str>, request: Value, others: &[(&str, &str)]) {
    let store = store(KEEP);
    let key = |request: &Value| serde_json::from_value::<C>(request.clone()).ok().map(|request| store.key(&request));
    let original = key(&request).unwrap();
    let mut places = Vec::new();
    leaves(&request, "", &mut places);
    let changes = places.iter().flat_map(|place| [(place.as_str(), json!("x")), (place.as_str(), Value::Null)]);
    let others = others.iter().map(|(place, case)| (*place, json!(case)));
    let mut changed = Vec::new();
    for (place, other) in changes.chain(others) {
        let mut request = request.clone();
        *request.pointer_mut(place).unwrap() = other;
        // Not every text is a case, and not everything may be missing.
        if let Some(key) = key(&request) {
            assert_ne!(key, original, "{} {place}", C::FUNCTION);
            changed.push(place.to_owned());
        }
    }
    places.retain(|place| !changed.contains(place));
    assert!(places.is_empty(), "{}: nothing else was tried for {places:?}", C::FUNCTION);
    if let Some(client) = client {
        for (address, is_same) in [("192.0.2.7:1", true), ("192.0.2.8:41806", false)] {
            let mut request = request.clone();
            *request.pointer_mut(client).unwrap() = json!(address);
            assert_eq!(key(&request) == Some(original), is_same, "{} {address}", C::FUNCTION);
        }
    }
}

/// JSON pointers to what has no parts.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(value, &format!("{at}/{key}"), found)),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(index, value)| leaves(value, &format!("{at}/{index}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

#[test]
fn each_calls_key_is_all_that_a_plugin_may_look_at() {
    let client = "192.0.2.7:41806";
    distinguishes::<AuthenticationRequest>(
        Some("/client_address"),
        json!({"username": "u", "password": "p", "client_address": client, "service": "s",
            "certificate": {"common_name": "c", "alternative_names": ["a", "b"], "fingerprint": "f"}}),
        &[],
    );
    let request = json!({"network": "tcp", "client_address": client, "service": "s"});
    distinguishes::<AdmissionRequest>(Some("/client_address"), request, &[]);
    let target = json!({"network": "tcp", "target_address": "a.test:443", "host": "a.test", "path": "/", "client_id": "c",
        "service": "s", "source_address": client});
    let without = |mut request: Value, key: &str| {
        request.as_object_mut().unwrap().remove(key);
        request
    };
    distinguishes::<BypassRequest>(None, without(target.clone(), "source_address"), &[]);
    distinguishes::<HopRequest>(Some("/source_address"), without(target, "service"), &[]);
    let request = json!({"scope": "Client", "service": "s", "network": "tcp", "target_address": "a.test:443",
        "client_id": "c", "source_address": client});
    distinguishes::<LimitRequest>(Some("/source_address"), request, &[("/scope", "Service"), ("/scope", "Connection")]);
    let name = json!({"family": "Any", "host": "a.test", "client_id": "c"});
    let families = [("/family", "Ipv4"), ("/family", "Ipv6")];
    distinguishes::<LookupRequest>(None, name.clone(), &families);
    distinguishes::<ResolveRequest>(None, name, &families);
    distinguishes::<GetRuleRequest>(None, json!({"host": "a.test", "service": "s"}), &[]);
    distinguishes::<RouteRequest>(None, json!({"destination": "192.0.2.1", "router_id": "r"}), &[]);
    distinguishes::<GetServicesRequest>(None, json!({"name": "n"}), &[]);
}

#[test]
fn the_same_question_to_another_function_is_another() {
    let (family, host) = (AddressFamily::Any, "a.test");
    let store = store(KEEP);
    let lookup = store.key(&LookupRequest { family, host: host.into(), client_id: None });
    assert_ne!(lookup, store.key(&ResolveRequest { family, host: host.into(), client_id: None }));
}

#[test]
fn nobody_else_has_the_same_keys() {
    assert_ne!(store(KEEP).key(&authenticate()), store(KEEP).key(&authenticate()));
}

#[tokio::test]
async fn questions_at_the_same_time_are_asked_once() {
    for kind in [None, Some(ErrorKind::Unavailable)] {
        let gate = Arc::new(Semaphore::new(0));
        let auther = Fake::new(move |_| kind.map_or(Ok(identity("alice")), Err)).gated(&gate);
        let plugin = Arc::new(cached(auther.clone(), KEEP));
        let calls = [(); 10].map(|()| {
            let plugin = Arc::clone(&plugin);
            tokio::spawn(async move { plugin.call(request()).await })
        });
        settle().await;
        gate.add_permits(1);
        for call in calls {
            assert_eq!(call.await.unwrap().map_err(|error| error.kind()).err(), kind);
        }
        assert_eq!(auther.asked(), 1);
    }
}

#[tokio::test]
async fn when_the_one_who_asks_goes_away_the_next_asks_however_often() {
    let gate = Arc::new(Semaphore::new(0));
    let auther = alice().gated(&gate);
    let plugin = Arc::new(cached(auther.clone(), KEEP));
    let ask = || {
        let plugin = Arc::clone(&plugin);
        tokio::spawn(async move { plugin.call(request()).await })
    };
    let askers = [(); 1000].map(|()| ask());
    let last = [ask(), ask()];
    for (gone, asker) in askers.iter().enumerate() {
        settle().await;
        assert_eq!(auther.asked(), gone + 1);
        asker.abort();
    }
    settle().await;
    gate.add_permits(1);
    for other in last {
        assert_eq!(other.await.unwrap().unwrap(), identity("alice"));
    }
    assert_eq!(auther.asked(), 1001);
    assert_eq!(plugin.call(request()).await.unwrap(), identity("alice"));
    assert_eq!(plugin.store.as_ref().unwrap().flights.len(), 0);
}

#[tokio::test]
async fn nothing_is_left_of_a_question_whose_askers_all_went_away() {
    let plugin = Arc::new(cached(Auther::hanging(), KEEP));
    let askers = [(); 3].map(|()| {
        let plugin = Arc::clone(&plugin);
        tokio::spawn(async move { plugin.call(request()).await })
    });
    settle().await;
    assert_eq!(plugin.store.as_ref().unwrap().flights.len(), 1);
    for asker in askers {
        asker.abort();
        asker.await.unwrap_err();
    }
    assert_eq!(plugin.store.as_ref().unwrap().flights.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_others_waits_no_longer_than_for_an_answer() {
    let counted = Counted::new();
    let timeout = Duration::from_millis(50);
    let store = Store::new(KEEP, timeout, counted.metrics.cache(&counted.labels)).unwrap();
    let plugin = Arc::new(Cached::new(Deadline::new(Auther::hanging(), timeout), Some(store)));
    let start = TokioInstant::now();
    let ask = || {
        let plugin = Arc::clone(&plugin);
        tokio::spawn(async move { plugin.call(request()).await })
    };
    let first = ask();
    settle().await;
    let second = ask();
    settle().await;
    tokio::time::advance(Duration::from_millis(40)).await;
    first.abort();
    assert_eq!(second.await.unwrap().unwrap_err().kind(), ErrorKind::Deadline);
    assert_eq!(start.elapsed().as_millis() / 10, 5);
}

#[tokio::test]
async fn errors_are_not_kept() {
    for kind in ErrorKind::ALL {
        let auther = Fake::new(move |before| if before == 0 { Err(kind) } else { Ok(identity("alice")) });
        let plugin = cached(auther, KEEP);
        assert_eq!(plugin.call(request()).await.unwrap_err().kind(), kind);
        assert_eq!(plugin.call(request()).await.unwrap(), identity("alice"), "{kind:?}");
    }
}

#[tokio::test]
async fn a_no_is_kept_only_if_it_has_a_time() {
    for (negative_ttl, asked) in [(Duration::ZERO, 2), (LONG, 1)] {
        let auther = Fake::new(|_| Ok(None));
        let plugin = cached(auther.clone(), CacheSettings { negative_ttl, ..KEEP });
        for _ in 0..2 {
            assert_eq!(plugin.call(request()).await.unwrap(), None);
        }
        assert_eq!(auther.asked(), asked);
    }
}

/// The store has its own clock, which can't be stopped; so this takes the two milliseconds that it is about.
#[tokio::test]
async fn each_reply_has_its_own_time() {
    let short = Duration::from_millis(1);
    for (reply, short_lived) in [
        (identity("alice"), CacheSettings { ttl: short, negative_ttl: LONG, ..KEEP }),
        (None, CacheSettings { ttl: LONG, negative_ttl: short, ..KEEP }),
    ] {
        let auther = {
            let reply = reply.clone();
            Fake::new(move |_| Ok(reply.clone()))
        };
        let plugin = cached(auther.clone(), short_lived);
        let asked_again = async {
            while auther.asked() < 2 {
                assert_eq!(plugin.call(request()).await.unwrap(), reply);
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asked_again).await.unwrap();
    }
}

#[tokio::test]
async fn there_are_never_many_more_than_size() {
    let store = store(CacheSettings { size: 10, ..KEEP });
    let auther = alice();
    for user in 0..1000 {
        let request = AuthenticationRequest { username: user.to_string(), ..authenticate() };
        store.answer(&auther, Arc::new(request)).await.unwrap();
    }
    assert_eq!(auther.asked(), 1000);
    store.replies.run_pending_tasks();
    assert!(store.replies.entry_count() <= 10, "{}", store.replies.entry_count());
}
