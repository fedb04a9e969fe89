//! What a component can and can't do, with components that try.

#![allow(clippy::unwrap_used, reason = "a test stops by panicking")]

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drawspan_bridge_wasm::{Engine, Function, LoadError, WasmBridge, WasmSettings, inspect};
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::{CallError, ErrorKind, Plugin};
use support::{PATIENCE, guest};
use tokio::time::timeout;

fn settings(path: PathBuf) -> WasmSettings {
    WasmSettings { name: "auther-0".into(), ..support::settings(path) }
}

async fn load(engine: &Engine, settings: WasmSettings) -> Result<WasmBridge, LoadError> {
    support::load_all(engine, settings, vec![Function::of::<AuthenticationRequest>()]).await
}

async fn start(name: &str, change: impl FnOnce(&mut WasmSettings)) -> Arc<WasmBridge> {
    let mut settings = settings(guest(name));
    change(&mut settings);
    Arc::new(load(&Engine::new(None).unwrap(), settings).await.unwrap())
}

/// The client id that the guest answers.
async fn ask(bridge: &WasmBridge, username: &str, password: &str) -> Result<Option<String>, CallError> {
    let request = AuthenticationRequest {
        username: username.into(),
        password: password.into(),
        client_address: None,
        service: "service-0".into(),
        certificate: None,
    };
    Ok(bridge.call(Arc::new(request)).await?.map(|identity| identity.client_id))
}

async fn kind(bridge: &WasmBridge, username: &str) -> ErrorKind {
    timeout(PATIENCE, ask(bridge, username, "")).await.unwrap().unwrap_err().kind()
}

fn ok(id: &str) -> Option<String> {
    Some(id.into())
}

#[tokio::test]
async fn a_misbehaving_call_fails_and_the_next_is_answered() {
    let bridge = start("hostile.wasm", |_| ()).await;
    for (username, expected) in [
        ("trap", ErrorKind::Trapped),
        ("panic", ErrorKind::Trapped),
        ("recurse", ErrorKind::Trapped),
        ("huge", ErrorKind::BadReply),
        ("error-invalid", ErrorKind::Refused),
        ("error-unavailable", ErrorKind::Refused),
        ("error-failed", ErrorKind::Refused),
    ] {
        assert_eq!(kind(&bridge, username).await, expected, "{username}");
        assert_eq!(ask(&bridge, "ok", "").await.unwrap(), ok("ok"), "after {username}");
        assert_eq!(ask(&bridge, "no", "").await.unwrap(), None, "after {username}");
    }
}

#[tokio::test]
async fn memory_is_limited_and_the_reason_says_so() {
    let bridge = start("hostile.wasm", |settings| settings.memory = 8 << 20).await;
    let error = ask(&bridge, "bomb", "").await.unwrap_err();
    assert!(error.to_string().contains("8 MiB of `memory`"), "{error}");
    assert_eq!(
        error.kind(),
        ErrorKind::Trapped,
        "a memory that filled up is gone with its instance: it may be asked again"
    );
    assert_eq!(ask(&bridge, "ok", "").await.unwrap(), ok("ok"));
}

/// On a runtime of one thread: whatever the guest does, that thread goes on with other things.
#[tokio::test]
async fn a_loop_leaves_the_callers_thread_and_stops_when_the_call_is_dropped() {
    for username in ["loop", "alloc-loop"] {
        let bridge = start("hostile.wasm", |settings| settings.instances = 1).await;
        let looping = tokio::spawn({
            let bridge = Arc::clone(&bridge);
            async move { ask(&bridge, username, "").await }
        });
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(!looping.is_finished());
        looping.abort();
        // The only instance is in the loop: there is room for another one only when the loop has ended.
        let answer = timeout(PATIENCE, ask(&bridge, "ok", "")).await;
        assert_eq!(answer.expect("the loop goes on").unwrap(), ok("ok"), "{username}");
    }
}

#[tokio::test]
async fn a_fresh_instance_remembers_nothing_and_a_reused_one_does() {
    let fresh = start("hostile.wasm", |settings| settings.max_calls = 1).await;
    let reused = start("hostile.wasm", |_| ()).await;
    for count in ["1", "2", "3"] {
        assert_eq!(ask(&fresh, "count", "").await.unwrap(), ok("1"));
        assert_eq!(ask(&reused, "count", "").await.unwrap(), ok(count));
    }
}

#[tokio::test]
async fn more_calls_than_instances_take_turns() {
    let bridge = start("hostile.wasm", |settings| settings.instances = 2).await;
    let calls = (0..64).map(|_| {
        let bridge = Arc::clone(&bridge);
        tokio::spawn(async move { ask(&bridge, "slow-1", "").await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(timeout(PATIENCE, call).await.unwrap().unwrap().unwrap().is_some());
    }
}

#[tokio::test]
async fn nothing_is_granted_by_default() {
    let bridge = start("wasi.wasm", |settings| settings.env = vec![("GIVEN".into(), "1".into())]).await;
    assert_eq!(ask(&bridge, "env", "").await.unwrap().unwrap(), "GIVEN=1");
    for (what, argument) in [
        ("read", "/etc/passwd"),
        ("list", "/"),
        ("list", "."),
        ("write", "/tmp/written-by-a-guest"),
        ("tcp", "127.0.0.1:80"),
        ("udp", "127.0.0.1:53"),
        ("resolve", "localhost"),
    ] {
        let error = ask(&bridge, what, argument).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{what} {argument}: {error}");
    }
    assert_eq!(ask(&bridge, "args", "").await.unwrap(), ok(""));
    let random = ask(&bridge, "random", "").await.unwrap();
    assert_ne!(ask(&bridge, "random", "").await.unwrap(), random);
}

#[tokio::test]
async fn a_sleeping_guest_is_stopped_when_the_call_is_dropped() {
    let bridge = start("wasi.wasm", |settings| settings.instances = 1).await;
    assert!(timeout(Duration::from_millis(50), ask(&bridge, "sleep", "3600")).await.is_err());
    assert_eq!(timeout(PATIENCE, ask(&bridge, "ok", "")).await.unwrap().unwrap(), ok("ok"));
}

#[tokio::test]
async fn what_is_no_component_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(None).unwrap();
    let hostile = std::fs::read(guest("hostile.wasm")).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (path, reason) in [
        (guest("core-module.wasm"), "a core module, not a component"),
        (
            guest("bypass-only.wasm"),
            "does not export drawspan:plugin/authenticator, which auther asks; it exports bypass@0.1.0",
        ),
        (file("empty.wasm", b""), "does not begin as one"),
        (file("text.wasm", b"hello, world"), "does not begin as one"),
        (file("short.wasm", &hostile[..hostile.len() / 2]), "perhaps cut short"),
        (folder.path().join("none.wasm"), "No such file"),
    ] {
        let error = load(&engine, settings(path.clone())).await.err().unwrap().to_string();
        assert!(error.contains(reason), "{}: {error}", path.display());
    }
    let pinned = WasmSettings { sha256: Some([0; 32]), ..settings(guest("hostile.wasm")) };
    assert!(matches!(load(&engine, pinned).await, Err(LoadError::Digest { .. })));
    for init in ["fail", "trap"] {
        let config = vec![("init".into(), init.into())];
        let error = load(&engine, WasmSettings { config, ..settings(guest("hostile.wasm")) }).await;
        assert!(matches!(error, Err(LoadError::Start(_))), "{init}");
    }
    let config = vec![("init".into(), "loop".into())];
    let start_timeout = Duration::from_millis(50);
    let error = load(&engine, WasmSettings { config, start_timeout, ..settings(guest("hostile.wasm")) }).await;
    assert!(matches!(error, Err(LoadError::Start(_))));
}

/// The smallest component that imports an (empty) interface of this name.
fn importing(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    // Section 7, types: one, an instance without members.
    component.extend([7, 3, 1, 0x42, 0]);
    // Section 10, imports: one, a plain name, for an instance of type 0.
    component.extend([10, length + 5, 1, 0, length]);
    component.extend(name.as_bytes());
    component.extend([5, 0]);
    component
}

#[tokio::test]
async fn what_needs_a_grant_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("importing.wasm");
    let engine = Engine::new(None).unwrap();
    let granted = support::memory(1 << 20);
    for (import, keyvalue, reason) in [
        ("wasi:http/outgoing-handler@0.2.0", vec![], "add `httpHosts: [example.com]` to the plugin block"),
        ("wasi:keyvalue/store@0.2.0-draft", vec![], "add `keyvalue: {default: {type: memory}}` to the plugin block"),
        ("wasi:keyvalue/store@0.2.0-draft2", granted.clone(), "knows 0.2.0-draft only"),
        // With the grant it is only what it exports that is wrong with it.
        ("wasi:keyvalue/store@0.2.0-draft", granted, "does not export drawspan:plugin/authenticator"),
    ] {
        std::fs::write(&path, importing(import)).unwrap();
        let inspection = inspect(&engine, &path).unwrap();
        assert_eq!((inspection.imports, inspection.exports), (vec![import.to_owned()], vec![]));
        let settings = WasmSettings { keyvalue, ..settings(path.clone()) };
        let error = load(&engine, settings).await.err().unwrap().to_string();
        assert!(error.contains(reason), "{import}: {error}");
    }
}

#[tokio::test]
async fn compiled_components_are_kept_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let artefact = || std::fs::read_dir(&cache).unwrap().next().map(|entry| entry.unwrap().path());
    let serves = async || {
        let engine = Engine::new(Some(cache.clone())).unwrap();
        let bridge = load(&engine, settings(guest("hostile.wasm"))).await.unwrap();
        ask(&bridge, "ok", "").await.unwrap() == ok("ok")
    };
    assert!(serves().await);
    let path = artefact().unwrap();
    assert_eq!(std::fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let written = std::fs::read(&path).unwrap();
    assert!(serves().await, "from the cache");

    let mut damaged = written.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(serves().await, "damaged");
    assert_eq!(std::fs::read(&path).unwrap(), written, "it was compiled anew");
    std::fs::write(&path, b"").unwrap();
    assert!(serves().await, "empty");
}

#[tokio::test]
async fn a_cache_folder_that_others_can_enter_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let open = folder.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let own = folder.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o700)).unwrap();
    let link = folder.path().join("link");
    symlink(&own, &link).unwrap();
    for cache in [&open, &link] {
        let engine = Engine::new(Some(cache.clone())).unwrap();
        load(&engine, settings(guest("hostile.wasm"))).await.unwrap();
        assert_eq!(std::fs::read_dir(cache).unwrap().count(), 0, "{}", cache.display());
    }
}
