use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::rewriter::RewriteRequest;
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
fn a_key_is_everything_but_the_clients_port() {
    let store = store(KEEP);
    let original = store.key(&authenticate());
    let changed = |change: fn(&mut AuthenticationRequest)| {
        let mut request = authenticate();
        change(&mut request);
        store.key(&request)
    };
    assert_eq!(changed(|request| request.client_address = Some("192.0.2.7:1".into())), original);
    assert_ne!(changed(|request| request.client_address = Some("192.0.2.8:41806".into())), original);
    assert_ne!(changed(|request| request.client_address = None), original);
    assert_ne!(changed(|request| request.password = "Wonder".into()), original);
    assert_ne!(changed(|request| request.service = "service-1".into()), original);
    // What moves from one field to the next is another question.
    assert_ne!(changed(|request| (request.username, request.password) = ("alicew".into(), "onder".into())), original);
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
