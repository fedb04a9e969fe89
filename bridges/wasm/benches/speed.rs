//! Components by themselves, without the client's policies: calls on reused and on fresh instances, from one caller and
//! from several, with small and large bytes; and how long each example takes to start.
//!
//! Without `--bench` (so in `cargo test`) it only shows that it runs.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![allow(clippy::unwrap_used, reason = "a benchmark that can't run stops")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drawspan_bridge_wasm::{Counters, Engine, Function, WasmBridge, WasmSettings, inspect};
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::{Call, Plugin};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples");

#[tokio::main]
async fn main() {
    let is_full = std::env::args().any(|arg| arg == "--bench");
    let calls = if is_full { 40_000 } else { 100 };
    let engine = Engine::new(None).unwrap();

    println!("{:<34} {:>8} {:>12} {:>12} {:>12}", "call", "callers", "p50", "p99", "calls/s");
    let login = AuthenticationRequest {
        username: "alice".into(),
        password: "wonder".into(),
        client_address: Some("192.0.2.7:41806".into()),
        service: "http-0".into(),
        certificate: None,
    };
    for (instance, max_calls) in [("reused", 0), ("fresh", 1)] {
        let bridge =
            load::<AuthenticationRequest>(&engine, "authenticator", ("users", "alice:wonder"), max_calls).await;
        for callers in [1, 2, 16] {
            row(&format!("authenticate, {instance}"), &bridge, &login, callers, calls).await;
        }
    }
    for (instance, max_calls) in [("reused", 0), ("fresh", 1)] {
        let bridge = load::<RewriteRequest>(&engine, "rewriter", ("replace", "secret => ******"), max_calls).await;
        for (size, name, share) in [(1 << 10, "1 KiB", 1), (64 << 10, "64 KiB", 20), (1 << 20, "1 MiB", 100)] {
            let call = RewriteRequest { data: vec![b'x'; size], metadata: None };
            row(&format!("rewrite {name}, {instance}"), &bridge, &call, 1, calls / share).await;
        }
    }

    println!("\n{:<24} {:>10} {:>14} {:>14}", "start", "size", "from nothing", "from the cache");
    for (name, path) in examples() {
        let folder = tempfile::tempdir().unwrap();
        let cold = compile(folder.path(), &path);
        let rounds = if is_full { 10 } else { 1 };
        let warm = (0..rounds).map(|_| compile(folder.path(), &path)).min().unwrap();
        let kib = path.metadata().unwrap().len() >> 10;
        println!("{name:<24} {kib:>6} KiB {cold:>14.2?} {warm:>14.2?}");
    }
}

/// Asks from so many callers at once, and prints what came of it.
async fn row<C: Call>(name: &str, bridge: &Arc<WasmBridge>, call: &C, callers: usize, calls: usize) {
    let each = calls / callers;
    measure(Arc::clone(bridge), call.clone(), each / 10 + 1).await;
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers).map(|_| tokio::spawn(measure(Arc::clone(bridge), call.clone(), each))).collect();
    let mut times = Vec::with_capacity(calls);
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{name:<34} {callers:>8} {p50:>12.2?} {p99:>12.2?} {rate:>12.0}");
}

async fn measure<C: Call>(bridge: Arc<WasmBridge>, call: C, calls: usize) -> Vec<Duration> {
    let call = Arc::new(call);
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        bridge.call(Arc::clone(&call)).await.unwrap();
        times.push(start.elapsed());
        // A call that doesn't wait doesn't yield; a connection does.
        tokio::task::yield_now().await;
    }
    times
}

async fn load<C: Call>(engine: &Engine, module: &str, config: (&str, &str), max_calls: u64) -> Arc<WasmBridge> {
    let component = Path::new(EXAMPLES).join(format!("{module}-rust/{module}.wasm"));
    let settings = WasmSettings {
        max_calls,
        config: vec![(config.0.into(), config.1.into())],
        ..WasmSettings::new("plugin-0", component)
    };
    Arc::new(WasmBridge::load(engine, settings, vec![Function::of::<C>()], Counters::default()).await.unwrap())
}

/// An engine of its own each time, so that nothing is in use already. Making the engine isn't counted: there is one per process.
fn compile(cache: &Path, path: &Path) -> Duration {
    let engine = Engine::new(Some(cache.join("cache"))).unwrap();
    let start = Instant::now();
    inspect(&engine, path).unwrap();
    start.elapsed()
}

/// The examples' components by their folders.
fn examples() -> Vec<(String, PathBuf)> {
    let mut found: Vec<_> = std::fs::read_dir(EXAMPLES)
        .unwrap()
        .filter_map(|entry| {
            let folder = entry.unwrap().path();
            let name = folder.file_name()?.to_string_lossy().into_owned();
            let component = folder.join(name.split('-').next()?).with_extension("wasm");
            component.is_file().then_some((name, component))
        })
        .collect();
    found.sort();
    found
}
