//! From file to file, from instance to instance: what takes over, what is dropped, what is asked again.

#![allow(clippy::unwrap_used, reason = "a test stops by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drawspan_bridge_wasm::{Counters, Engine, Function, WasmBridge, WasmSettings, inspect};
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::{CallError, ErrorKind, Plugin};
use support::{PATIENCE, example, keep_log, logged, settings};
use tempfile::TempDir;
use tokio::time::timeout;

fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/prebuilt").join(name)
}

/// A plugin whose file can be changed.
struct Changing {
    bridge: Arc<WasmBridge>,
    counters: Counters,
    name: &'static str,
    folder: TempDir,
}

impl Changing {
    /// An authenticator, at first `hostile.wasm`. The name is for the log, which tests share.
    async fn start(name: &'static str, change: impl FnOnce(&mut WasmSettings)) -> Self {
        keep_log();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.wasm");
        std::fs::copy(guest("hostile.wasm"), &path).unwrap();
        let mut settings = WasmSettings { name: name.into(), ..settings(path) };
        change(&mut settings);
        let counters = Counters::default();
        let functions = vec![Function::of::<AuthenticationRequest>()];
        let engine = Engine::new(None).unwrap();
        let bridge = WasmBridge::load(&engine, settings, functions, counters.clone()).await.unwrap();
        Self { bridge: Arc::new(bridge), counters, name, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("plugin.wasm")
    }

    /// Puts another file in its place, as a deployment does.
    fn replace(&self, bytes: &[u8]) {
        let new = self.folder.path().join("plugin.wasm.new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(&new, self.path()).unwrap();
    }

    async fn ask(&self, username: &str) -> Result<Option<String>, CallError> {
        ask(&self.bridge, username).await
    }

    /// Whether the example answers: what `hostile.wasm` has a number for is a stranger to it.
    async fn is_example(&self) -> bool {
        self.ask("count").await.unwrap().is_none()
    }

    /// Waits until so many changes were refused, and returns the last reason.
    async fn refusal(&self, count: u64) -> String {
        until(async || self.counters.refused.get() == count).await;
        logged(self.name).pop().unwrap()
    }
}

async fn ask(bridge: &WasmBridge, username: &str) -> Result<Option<String>, CallError> {
    let request = AuthenticationRequest {
        username: username.into(),
        password: "secret".into(),
        client_address: None,
        service: "service-0".into(),
        certificate: None,
    };
    Ok(bridge.call(Arc::new(request)).await?.map(|identity| identity.client_id))
}

/// Has the call begun, which has no end yet.
async fn begin<T>(call: &mut (impl Future<Output = T> + Unpin)) {
    assert!(timeout(Duration::ZERO, call).await.is_err(), "it has ended");
}

/// Files are looked at now and then, and nothing says when.
async fn until(condition: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn example_authenticator() -> PathBuf {
    example("authenticator-rust")
}

/// What both the example and `hostile.wasm` need to know `ok`.
fn users(settings: &mut WasmSettings) {
    settings.config = vec![("users".into(), "ok:secret".into())];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_file_takes_over_without_a_failing_call() {
    let plugin = Changing::start("replaced", users).await;
    // Both know `ok`, and one of them is always there.
    let asking = tokio::spawn({
        let bridge = Arc::clone(&plugin.bridge);
        async move {
            loop {
                assert_eq!(ask(&bridge, "ok").await.unwrap().unwrap(), "ok");
                tokio::task::yield_now().await;
            }
        }
    });
    assert!(!plugin.is_example().await);
    plugin.replace(&read(&example_authenticator()));
    until(async || plugin.is_example().await).await;

    // In place, and by way of a symbolic link.
    std::fs::write(plugin.path(), read(&guest("hostile.wasm"))).unwrap();
    until(async || !plugin.is_example().await).await;
    std::fs::remove_file(plugin.path()).unwrap();
    std::os::unix::fs::symlink(example_authenticator(), plugin.path()).unwrap();
    until(async || plugin.is_example().await).await;
    // Counted behind the change, by a thread that gives way to all others.
    until(async || plugin.counters.swaps.get() >= 3).await;
    assert!(!asking.is_finished());
    asking.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_progress_ends_where_it_began() {
    let plugin = Changing::start("in-progress", |settings| {
        users(settings);
        settings.instances = 1;
    })
    .await;
    let mut looping = Box::pin(plugin.ask("loop"));
    begin(&mut looping).await;
    // Begun before the change, it waits for the only instance, which the loop has.
    let mut waiting = Box::pin(plugin.ask("count"));
    begin(&mut waiting).await;
    plugin.replace(&read(&example_authenticator()));
    until(async || plugin.counters.swaps.get() == 1).await;
    // The loop holds up nobody who comes later.
    assert!(timeout(PATIENCE, plugin.is_example()).await.unwrap());
    begin(&mut waiting).await;
    begin(&mut looping).await;
    drop(looping);
    assert_eq!(timeout(PATIENCE, waiting).await.unwrap().unwrap().as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_file_that_cant_serve_is_told_of_once_and_not_used() {
    let plugin = Changing::start("broken", |_| ()).await;
    let hostile = read(&guest("hostile.wasm"));
    for (count, (bytes, reason)) in (1..).zip([
        (&hostile[..hostile.len() / 2], "perhaps cut short"),
        (b"hello, world", "does not begin as one"),
        (b"", "does not begin as one"),
        (&read(&guest("bypass-only.wasm")), "does not export drawspan:plugin/authenticator"),
        (&read(&example_authenticator()), "it could not be started: "),
    ]) {
        plugin.replace(bytes);
        let line = plugin.refusal(count).await;
        for part in ["broken: the changed file ", "plugin.wasm is not used", reason] {
            assert!(line.contains(part), "{line}");
        }
        assert_eq!(plugin.ask("no").await.unwrap(), None);
    }
    std::fs::remove_file(plugin.path()).unwrap();
    assert!(plugin.refusal(6).await.contains("No such file"));
    assert_eq!(plugin.ask("count").await.unwrap().unwrap(), "6", "it isn't the instance that was there before");
    // The same with another digest: a custom section without a name or content.
    plugin.replace(&[&hostile[..], &[0, 1, 0]].concat());
    until(async || plugin.counters.swaps.get() == 1).await;
    assert_eq!(plugin.ask("count").await.unwrap().unwrap(), "1");
    assert_eq!(plugin.counters.refused.get(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_file_is_not_replaced() {
    let sha256 = inspect(&Engine::new(None).unwrap(), &guest("hostile.wasm")).unwrap().sha256;
    let digest: Vec<u8> = (0..64).step_by(2).map(|at| u8::from_str_radix(&sha256[at..at + 2], 16).unwrap()).collect();
    let plugin = Changing::start("pinned", |settings| settings.sha256 = Some(digest.try_into().unwrap())).await;
    plugin.replace(&read(&example_authenticator()));
    let line = plugin.refusal(1).await;
    assert!(line.contains(&format!("the config wants {sha256}")), "{line}");
    assert!(!plugin.is_example().await);
}

fn asks(host: &str) -> Arc<BypassRequest> {
    Arc::new(BypassRequest {
        network: "tcp".into(),
        target_address: "192.0.2.1:80".into(),
        host: Some(host.into()),
        path: None,
        client_id: None,
        service: None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_when_it_is_asked_does_not_take_over() {
    keep_log();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.wasm");
    std::fs::copy(guest("bypass-only.wasm"), &path).unwrap();
    let config = vec![("trap".into(), "always".into())];
    let settings = WasmSettings { name: "asked".into(), config, ..settings(path.clone()) };
    let (engine, counters) = (Engine::new(None).unwrap(), Counters::default());
    let functions = || vec![Function::of::<BypassRequest>()];
    let bridge = WasmBridge::load(&engine, settings.clone(), functions(), counters.clone()).await.unwrap();
    std::fs::copy(guest("moody.wasm"), &path).unwrap();
    until(async || counters.refused.get() == 1).await;
    let line = logged("asked").pop().unwrap();
    assert!(line.contains("it fails when it is asked `contains`: "), "{line}");
    assert_eq!(bridge.call(asks("a.blocked")).await.unwrap(), Match::Matched);
    // Nor does it begin, where that is asked for.
    let settings = WasmSettings { self_check: true, ..settings };
    let error = WasmBridge::load(&engine, settings, functions(), counters).await.err().unwrap();
    assert!(error.to_string().contains("it fails when it is asked `contains`: "), "{error}");
}

#[tokio::test]
async fn a_question_that_traps_is_asked_once_more_on_a_fresh_instance() {
    let settings = WasmSettings { instances: 2, min_instances: 2, ..settings(guest("moody.wasm")) };
    let (engine, counters) = (Engine::new(None).unwrap(), Counters::default());
    let functions = vec![Function::of::<BypassRequest>()];
    let bridge = WasmBridge::load(&engine, settings, functions, counters.clone()).await.unwrap();
    // Whichever of the instances serves it, after this none of them is new.
    let (one, other) = tokio::join!(bridge.call(asks("")), bridge.call(asks("")));
    assert!(one.is_ok() && other.is_ok());
    for _ in 0..10 {
        // The second answer comes from an instance that has served, and trapped, before.
        assert!(bridge.call(asks("")).await.is_ok());
        assert_eq!(bridge.call(asks("trap-unless-first")).await.unwrap(), Match::Matched);
    }
    let repeats = counters.repeats.get();
    assert!(repeats > 0, "every instance was new");
    assert_eq!(bridge.call(asks("trap")).await.unwrap_err().kind(), ErrorKind::Trapped);
    assert_eq!(bridge.call(asks("refuse")).await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(counters.repeats.get(), repeats + 1, "a trap is repeated once, a refusal isn't");
}

#[tokio::test]
async fn a_login_that_traps_is_not_asked_again() {
    let plugin = Changing::start("login", |_| ()).await;
    assert_eq!(plugin.ask("trap").await.unwrap_err().kind(), ErrorKind::Trapped);
    assert_eq!(plugin.counters.repeats.get(), 0);
}

/// Instances are told apart by what they count.
#[tokio::test]
async fn instances_are_kept_warm_added_on_demand_and_replaced_after_their_calls() {
    let plugin = Changing::start("pool", |settings| {
        settings.instances = 2;
        settings.min_instances = 2;
        settings.max_calls = 3;
        settings.config = vec![];
    })
    .await;
    let mut counts = Vec::new();
    for _ in 0..12 {
        counts.push(plugin.ask("count").await.unwrap().unwrap());
    }
    for count in ["1", "2", "3"] {
        assert!(counts.contains(&count.to_owned()), "{counts:?}");
    }
    assert!(!counts.contains(&"4".to_owned()), "{counts:?}");

    let plugin = Changing::start("growing", |settings| {
        settings.instances = 2;
        settings.min_instances = 0;
    })
    .await;
    let mut looping = pin!(plugin.ask("loop"));
    begin(&mut looping).await;
    // There is one more, but no third one.
    assert_eq!(timeout(PATIENCE, plugin.ask("count")).await.unwrap().unwrap().unwrap(), "1");
    begin(&mut looping).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_plugin_that_is_dropped() {
    let plugin = Changing::start("dropped", |_| ()).await;
    // All that belongs to it knows its name.
    let name: Arc<str> = "counted".into();
    let settings = WasmSettings { name: Arc::clone(&name), ..settings(plugin.path()) };
    let functions = vec![Function::of::<AuthenticationRequest>()];
    let engine = Engine::new(None).unwrap();
    let bridge = WasmBridge::load(&engine, settings, functions, Counters::default()).await.unwrap();
    assert_eq!(ask(&bridge, "trap").await.unwrap_err().kind(), ErrorKind::Trapped);
    assert!(Arc::strong_count(&name) > 1);
    drop(bridge);
    until(async || Arc::strong_count(&name) == 1).await;
}
