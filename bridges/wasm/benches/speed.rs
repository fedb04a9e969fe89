//! Components by themselves, without the client's policies, in each language that is built: calls on reused and on fresh
//! instances, from one caller and from several, with small and large bytes; and how long a plugin takes to start.
//!
//! Components that aren't in the repository are measured when `guest-examples/build.sh` has built them. `cargo bench … -- go` takes that
//! language alone. Without `--bench` (so in `cargo test`) it only shows that it runs, with those that compile quickly.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![allow(clippy::unwrap_used, reason = "a benchmark that can't run stops")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drawspan_bridge_wasm::{Counters, Engine, Function, WasmBridge, WasmSettings};
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::{Call, Plugin};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples");
const LANGUAGES: [&str; 5] = ["rust", "c", "go", "js", "python"];
const SIZES: [(usize, &str); 3] = [(1 << 10, "1 KiB"), (64 << 10, "64 KiB"), (1 << 20, "1 MiB")];
/// How many calls a row has: as many as fit into about a second and a half of one caller's time, within these bounds.
const CALLS: (f64, f64) = (50.0, 40_000.0);
const ROW: f64 = 1.5;

#[tokio::main]
async fn main() {
    let is_full = std::env::args().any(|arg| arg == "--bench");
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let languages = if is_full { &LANGUAGES[..] } else { &LANGUAGES[..2] };
    let languages: Vec<_> = languages.iter().filter(|name| only.as_deref().is_none_or(|only| only == **name)).collect();
    let calls = is_full.then_some(CALLS);
    let engine = Engine::new(None).unwrap();
    let login = AuthenticationRequest {
        username: "alice".into(),
        password: "wonder".into(),
        client_address: Some("192.0.2.7:41806".into()),
        service: "http-0".into(),
        certificate: None,
    };
    println!("{:<36} {:>8} {:>12} {:>12} {:>12}", "call", "callers", "p50", "p99", "calls/s");
    for language in &languages {
        for (instance, max_calls) in [("reused", 0), ("fresh", 1)] {
            if let Some(settings) = settings("authenticator", language, max_calls) {
                let bridge = load::<AuthenticationRequest>(&engine, settings).await;
                rows(&format!("authenticate, {language}, {instance}"), &bridge, &login, calls).await;
            }
            let Some(settings) = settings("rewriter", language, max_calls) else { continue };
            let bridge = load::<RewriteRequest>(&engine, settings).await;
            for (size, name) in SIZES {
                let call = RewriteRequest { data: body(size), metadata: None };
                rows(&format!("rewrite {name}, {language}, {instance}"), &bridge, &call, calls).await;
            }
        }
    }

    println!("\n{:<24} {:>10} {:>14} {:>14}", "start", "size", "from nothing", "from the cache");
    for language in languages {
        start::<AuthenticationRequest>("authenticator", language, is_full).await;
        start::<RewriteRequest>("rewriter", language, is_full).await;
    }
}

/// Text as it might be in a page, in which each KiB has something to replace.
fn body(size: usize) -> Vec<u8> {
    let words = "The quick brown fox jumps over the lazy dog, said she, and so it does; see <a href=\"/\">here</a>. ";
    let mut body: Vec<u8> = words.bytes().cycle().take(size).collect();
    for kib in body.chunks_exact_mut(1 << 10) {
        kib[512..518].copy_from_slice(b"secret");
    }
    body
}

fn component(module: &str, language: &str) -> PathBuf {
    Path::new(EXAMPLES).join(format!("{module}-{language}/{module}.wasm"))
}

/// An example, if it is built.
fn settings(module: &str, language: &str, max_calls: u64) -> Option<WasmSettings> {
    let component = component(module, language);
    let (key, value) = if module == "rewriter" { ("replace", "secret => ******") } else { ("users", "alice:wonder") };
    component.is_file().then(|| WasmSettings {
        max_calls,
        config: vec![(key.into(), value.into())],
        // For large bodies in JavaScript, whose collector comes late.
        memory: 256 << 20,
        ..WasmSettings::new("plugin-0", component)
    })
}

async fn load<C: Call>(engine: &Engine, settings: WasmSettings) -> Arc<WasmBridge> {
    Arc::new(WasmBridge::load(engine, settings, vec![Function::of::<C>()], Counters::default()).await.unwrap())
}

/// Asks from 1, 2 and 16 callers at once, and prints what came of it.
async fn rows<C: Call>(name: &str, bridge: &Arc<WasmBridge>, call: &C, calls: Option<(f64, f64)>) {
    let warm_up = measure(Arc::clone(bridge), call.clone(), 20).await;
    let once = warm_up.iter().min().unwrap().as_secs_f64();
    for callers in [1, 2, 16] {
        let each = calls.map_or(2, |(least, most)| (ROW / once).clamp(least, most) as usize / callers + 1);
        let start = Instant::now();
        let tasks: Vec<_> =
            (0..callers).map(|_| tokio::spawn(measure(Arc::clone(bridge), call.clone(), each))).collect();
        let mut times = Vec::with_capacity(each * callers);
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        times.sort();
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("{name:<36} {callers:>8} {p50:>12.2?} {p99:>12.2?} {rate:>12.0}");
    }
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

/// How long a plugin takes until it can be asked: read, compiled or found in the cache, one instance, its `lifecycle.init`. With an
/// engine of its own each time, so that nothing is in use already; making that isn't counted, there is one per process.
async fn start<C: Call>(module: &str, language: &str, is_full: bool) {
    let Some(settings) = settings(module, language, 0) else {
        println!("{module} {language}: not built");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let once = async || {
        let engine = Engine::new(Some(folder.path().join("cache"))).unwrap();
        let start = Instant::now();
        drop(load::<C>(&engine, settings.clone()).await);
        start.elapsed()
    };
    let cold = once().await;
    let mut warm = Vec::new();
    for _ in 0..if is_full { 11 } else { 1 } {
        warm.push(once().await);
    }
    warm.sort();
    let kib = component(module, language).metadata().unwrap().len() >> 10;
    println!("{:<24} {kib:>6} KiB {cold:>14.2?} {:>14.2?}", format!("{module} {language}"), warm[warm.len() / 2]);
}
