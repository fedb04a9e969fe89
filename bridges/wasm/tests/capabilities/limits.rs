//! The bounds that nothing lifts.

use std::path::Path;
use std::time::Duration;

use drawspan_bridge_wasm::{Engine, LoadError, Mount};
use drawspan_wit::ErrorKind;
use drawspan_wit::authenticator::AuthenticationRequest;
use tokio::time::timeout;

use crate::support::{self, Guest, load};

async fn reach() -> Guest {
    let mount = Mount { host: Path::new(env!("CARGO_MANIFEST_DIR")).into(), guest: "/".into(), writable: false };
    Guest::start("reach.wasm", |settings| {
        settings.mounts = vec![mount];
        settings.instances = 1;
    })
    .await
}

async fn outside() -> Guest {
    Guest::start("outside.wasm", |settings| {
        settings.http_hosts = support::nobody();
        settings.keyvalue = support::memory(64 << 20);
    })
    .await
}

#[tokio::test]
async fn handles_come_to_an_end() {
    let guest = reach().await;
    for (what, argument) in [("handles", ""), ("open-many", "Cargo.toml")] {
        let error = guest.failure(what, argument).await.to_string();
        assert!(error.contains("resource table has no free keys"), "{what}: {error}");
    }
    let error = outside().await.failure("buckets", "").await.to_string();
    assert!(error.contains("resource table has no free keys"), "{error}");
}

#[tokio::test]
async fn what_the_host_makes_for_a_guest_is_bounded() {
    let guest = reach().await;
    assert_eq!(guest.ask("random", "1048576").await.unwrap(), "1048576");
    for (what, argument) in [("random", "1048577"), ("random", "18446744073709551615"), ("zeroes", "1099511627776")] {
        assert_ne!(guest.failure(what, argument).await.kind(), ErrorKind::Unavailable, "{what} {argument}");
    }
}

#[tokio::test]
async fn what_a_guest_hands_over_is_bounded() {
    let guest = outside().await;
    assert_eq!(guest.ask("large", "1000000").await.unwrap(), "set");
    let error = guest.failure("large", "8000000").await.to_string();
    assert!(error.contains("larger than 4194304 bytes (maxReply)"), "{error}");
}

#[tokio::test]
async fn text_that_is_none_is_a_bad_reply() {
    assert_eq!(reach().await.failure("utf8", "").await.kind(), ErrorKind::BadReply);
}

#[tokio::test]
async fn a_guest_that_waits_is_stopped_like_one_that_computes() {
    let guest = reach().await;
    for what in ["sleep", "poll"] {
        assert!(timeout(Duration::from_millis(50), guest.ask(what, "3600")).await.is_err(), "{what}");
        assert_eq!(guest.ask("ok", "").await.unwrap(), "ok", "after {what}");
    }
    assert_eq!(guest.ask("poll", "0").await.unwrap(), "10000");
}

#[tokio::test]
async fn traps_without_end_wear_nothing_out() {
    let guest = Guest::start("hostile.wasm", |settings| settings.instances = 2).await;
    for _ in 0..2000 {
        assert_eq!(guest.ask("trap", "").await.unwrap_err().kind(), ErrorKind::Trapped);
    }
    assert_eq!(guest.ask("ok", "").await.unwrap(), "ok");
}

#[tokio::test]
async fn a_table_is_limited_and_the_reason_says_so() {
    let guest = Guest::start("table-bomb.wasm", |_| ()).await;
    let error = guest.failure("bomb", "").await;
    assert_eq!(error.kind(), ErrorKind::Trapped);
    assert!(error.to_string().contains("it wants a table of 61000 elements"), "{error}");
}

/// A component that does `body` when it is instantiated, and looks like an authenticator.
fn starting(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $guest
                (table $table 1 funcref)
                (memory 1)
                (func $start {body})
                (start $start)
                (func (export "authenticate")))
            (core instance $instance (instantiate $guest))
            (func $authenticate (canon lift (core func $instance "authenticate")))
            (instance $authenticator (export "authenticate" (func $authenticate)))
            (export "drawspan:plugin/authenticator@0.1.0" (instance $authenticator)))"#
    );
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn instantiation_has_the_same_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("starting.wasm");
    let grow = |what: &str| format!("(loop $more (drop ({what} (i32.const 1000))) (br $more))");
    for (body, reason) in [
        (grow("table.grow $table (ref.null func)"), "it wants a table of"),
        (grow("memory.grow").replace("1000", "100"), "it wants more memory than the 64 MiB"),
        ("unreachable".into(), "unreachable"),
        ("call $start".into(), "stack"),
        ("(loop $more (br $more))".into(), "it was not ready within 200ms"),
        // With nothing of it done, it is the wrong type.
        ("nop".into(), "its authenticator does not fit"),
    ] {
        std::fs::write(&path, starting(&body)).unwrap();
        let mut settings = support::settings(path.clone());
        if reason.contains("200ms") {
            settings.start_timeout = Duration::from_millis(200);
        }
        let error = load::<AuthenticationRequest>(&Engine::new(None).unwrap(), settings).await.err().unwrap();
        assert!(matches!(error, LoadError::Start(_) | LoadError::Shape { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{body}: {error}");
    }
}
