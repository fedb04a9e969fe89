//! `wasi:keyvalue` in a real Redis server: `redis-server` must be installed, so these are run by name
//! (`cargo test --test redis -- --ignored`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops by panicking")]

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use drawspan_bridge_wasm::{RedisSettings, StoreSettings};
use drawspan_testkit::{Redis, unused_addr};
use support::{Guest, PATIENCE};
use tokio::time::timeout;

/// With the password `hunter2`.
fn start(port: u16) -> Redis {
    Redis::start(port, Some("hunter2"))
}

fn free_port() -> u16 {
    unused_addr().port()
}

fn store(port: u16, prefix: &str) -> RedisSettings {
    RedisSettings {
        host: "127.0.0.1".into(),
        port,
        db: 0,
        username: None,
        password: Some("hunter2".into()),
        prefix: prefix.into(),
    }
}

async fn guest(settings: RedisSettings) -> Guest {
    Guest::start("outside.wasm", |wasm| {
        wasm.keyvalue = vec![("default".into(), StoreSettings::Redis(settings))];
        wasm.http_hosts = support::nobody();
        wasm.instances = 2;
        wasm.max_reply = 64 << 10;
    })
    .await
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn all_operations_are_as_in_memory() {
    let redis = start(free_port());
    let redis = guest(store(redis.port(), "p*[:")).await;
    let memory = Guest::start("outside.wasm", |wasm| {
        wasm.keyvalue = support::memory(1 << 20);
        wasm.http_hosts = support::nobody();
    })
    .await;
    for (what, argument, expected) in [
        ("read", "a", "none"),
        ("exists", "a", "false"),
        ("set", "a=1", "set"),
        ("read", "a", "1"),
        ("exists", "a", "true"),
        ("set", "a=", "set"),
        ("read", "a", ""),
        ("increment", "n=5", "5"),
        ("increment", "n=7", "12"),
        ("read", "n", "12"),
        ("set-many", "b=2 c=3", "set"),
        ("get-many", "a nothing b b", "a= none b=2 b=2"),
        ("keys", "", "a b c n"),
        ("delete-many", "a c nothing", "deleted"),
        ("delete", "nothing", "deleted"),
        ("keys", "", "b n"),
    ] {
        assert_eq!(redis.ask(what, argument).await.unwrap(), expected, "{what} {argument} in redis");
        assert_eq!(memory.ask(what, argument).await.unwrap(), expected, "{what} {argument} in memory");
    }
    for (what, argument) in [("increment", "b=18446744073709551615"), ("open", "other")] {
        redis.refusal(what, argument).await;
    }
    redis.ask("set", "text=text").await.unwrap();
    assert!(redis.refusal("increment", "text=1").await.contains("not an integer"));
    // More keys than a page has.
    let pairs: Vec<String> = (0..1000).map(|n| format!("many-{n:04}=x")).collect();
    redis.ask("set-many", &pairs.join(" ")).await.unwrap();
    assert_eq!(redis.ask("keys", "").await.unwrap().split(' ').count(), 1003);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn who_has_the_prefix_has_the_keys() {
    let server = start(free_port());
    let [one, replica, other, all] = [
        guest(store(server.port(), "a:")).await,
        guest(store(server.port(), "a:")).await,
        guest(store(server.port(), "b:")).await,
        guest(store(server.port(), "")).await,
    ];
    let elsewhere = guest(RedisSettings { db: 1, ..store(server.port(), "a:") }).await;
    let [one, replica] = [Arc::new(one), Arc::new(replica)];
    let counts = (0..32).map(|n| {
        let guest = Arc::clone(if n % 2 == 0 { &one } else { &replica });
        tokio::spawn(async move { guest.ask("increment", "n=1").await.unwrap().parse::<u64>().unwrap() })
    });
    let mut seen = Vec::new();
    for count in counts.collect::<Vec<_>>() {
        seen.push(count.await.unwrap());
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(1..=32));
    assert_eq!(one.ask("read", "n").await.unwrap(), "32");
    for guest in [&other, &elsewhere] {
        assert_eq!(guest.ask("read", "n").await.unwrap(), "none");
        assert_eq!(guest.ask("keys", "").await.unwrap(), "");
    }
    assert_eq!(all.ask("keys", "").await.unwrap(), "a:n");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn what_others_put_there_is_bounded() {
    let server = start(free_port());
    let client = redis::Client::open(format!("redis://:hunter2@127.0.0.1:{}", server.port())).unwrap();
    let mut others = client.get_multiplexed_async_connection().await.unwrap();
    let large = vec![b'x'; (64 << 10) + 1];
    let mut put = redis::pipe();
    put.set("large", &large).set("half", &large[..40_000]).lpush("list", 1).set(b"\xff", 1);
    put.exec_async(&mut others).await.unwrap();
    let guest = guest(store(server.port(), "")).await;
    assert!(guest.refusal("read", "large").await.contains("more than 65536 bytes"));
    assert!(guest.refusal("get-many", "half half").await.contains("more than 65536 bytes"));
    assert_eq!(guest.ask("read", "half").await.unwrap().len(), 40_000);
    assert!(guest.refusal("read", "list").await.contains("wrong kind"));
    assert_eq!(guest.ask("keys", "").await.unwrap(), "half large list");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_dies_is_an_error_until_it_is_back() {
    let port = free_port();
    let guest = guest(store(port, "a:")).await;
    assert!(guest.refusal("increment", "n=1").await.contains("Connection refused"), "before it is there");
    let server = start(port);
    recovers(&guest, "1").await;
    drop(server);
    let refusal = guest.refusal("increment", "n=1").await;
    assert!(!refusal.contains("hunter2"), "{refusal}");
    // Without a disk it forgot everything.
    let _server = start(port);
    recovers(&guest, "1").await;
}

/// Fails unless the counter can be used soon, and is this then.
async fn recovers(guest: &Guest, expected: &str) {
    let count = async {
        loop {
            match guest.ask("increment", "n=1").await {
                Ok(count) => return count,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    assert_eq!(timeout(PATIENCE, count).await.expect("it doesn't recover"), expected);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_wrong_password_is_told_and_not_shown() {
    let server = start(free_port());
    let guest = guest(RedisSettings { password: Some("hunter3".into()), ..store(server.port(), "a:") }).await;
    let refusal = guest.refusal("read", "a").await;
    assert!(refusal.contains("WRONGPASS") || refusal.contains("authentication failed"), "{refusal}");
    assert!(!refusal.contains("hunter"), "{refusal}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_guest_that_waits_for_a_silent_server_is_stopped() {
    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let guest = guest(store(silent.local_addr().unwrap().port(), "a:")).await;
    assert!(timeout(Duration::from_millis(100), guest.ask("read", "a")).await.is_err());
    assert_eq!(guest.ask("ok", "").await.unwrap(), "ok");
}
