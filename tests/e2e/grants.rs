//! What a config grants a component, in the gateway. The bounds are tested beside the sandbox.

use drawspan_testkit::{Dir, Redis, run, unused_addr};

use crate::page::{Page, page};

const OUTSIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/outside.wasm");
const REACH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/reach.wasm");

#[tokio::test(flavor = "multi_thread")]
async fn a_component_without_its_grant_is_refused_with_the_key_to_add() {
    for (keys, help) in [
        ("", "add `keyvalue: {default: {type: memory}}` to the plugin block"),
        (", keyvalue: {default: {type: memory}}", "add `httpHosts: [example.com]` to the plugin block"),
    ] {
        let dir = Dir::new();
        dir.write("gateway.yaml", page(&format!("{{type: wasm, addr: {OUTSIDE}{keys}}}")));
        let finished = run(dir.path(), &["-C", "gateway.yaml"]).await;
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        for part in ["gateway.yaml:11:", "it imports wasi:", help] {
            assert!(finished.stderr.contains(part), "{part:?} is missing in {}", finished.stderr);
        }
    }
    let page = Page::start(&format!(
        "{{type: wasm, addr: {OUTSIDE}, httpHosts: [example.com], keyvalue: {{default: {{type: memory}}}}}}"
    ))
    .await;
    assert_eq!(page.ask("increment", "n=1").await, 200);
    assert_eq!(page.ask("expect", "n=1").await, 200);
    assert_eq!(page.ask("expect", "n=2").await, 407);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mount_opens_what_the_gateway_trusts() {
    for (mount, what) in [
        (".", "the configuration `gateway.yaml`"),
        ("plugins", "the plugin `plugins/plugin.wasm`"),
        (".cache", "the compiled components in "),
        (".cache/drawspan", "the compiled components in "),
    ] {
        let dir = Dir::new();
        for folder in ["plugins", "data", ".cache/drawspan"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        std::fs::copy(REACH, dir.join("plugins/plugin.wasm")).unwrap();
        let config = |mount: &str, writable: bool| {
            let mount = format!("{{host: {mount}, guest: /data, writable: {writable}}}");
            page(&format!("{{type: wasm, addr: plugins/plugin.wasm, mounts: [{mount}]}}"))
        };
        dir.write("gateway.yaml", config(mount, true));
        let finished = run(dir.path(), &["-C", "gateway.yaml"]).await;
        assert_eq!(finished.code, Some(2), "{mount}: {}", finished.stderr);
        let told = format!("a component could change {what}");
        for part in ["gateway.yaml:11:", &told, "leave out `writable`"] {
            assert!(finished.stderr.contains(part), "{part:?} is missing in {}", finished.stderr);
        }
    }
    let dir = Dir::new();
    std::fs::create_dir(dir.join("data")).unwrap();
    let block = format!("{{type: wasm, addr: {REACH}, mounts: [{{host: data, guest: /data, writable: true}}]}}");
    let page = Page::start_in(dir, &block).await;
    assert_eq!(page.ask("write", "a.txt").await, 200);
    assert_eq!(page.ask("read", "a.txt").await, 200);
    assert_eq!(page.ask("read", "../gateway.yaml").await, 407);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn replicas_share_a_counter_in_redis() {
    let redis = Redis::start(unused_addr().port(), None);
    let block = format!(
        "{{type: wasm, addr: {OUTSIDE}, httpHosts: [example.com], timeout: 2s, keyvalue: {{default: {{type: redis, addr: \"127.0.0.1:{}\"}}}}}}",
        redis.port()
    );
    let (one, other) = (Page::start(&block).await, Page::start(&block).await);
    assert_eq!(one.ask("increment", "n=2").await, 200);
    assert_eq!(other.ask("increment", "n=3").await, 200);
    for page in [&one, &other] {
        assert_eq!(page.ask("expect", "n=5").await, 200);
    }
    // Without Redis there is no answer, and so nobody is let in; the gateway goes on.
    drop(redis);
    for page in [&one, &other] {
        assert_eq!(page.ask("increment", "n=1").await, 407);
        assert_eq!(page.ask("ok", "").await, 200);
    }
}
