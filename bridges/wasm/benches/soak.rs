//! Ten million calls on four tasks, one of a thousand a trap, while the component's file is replaced every second: what is
//! lost, and what becomes of the memory.
//!
//! Without `--bench` (so in `cargo test`) a short version.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![allow(clippy::unwrap_used, reason = "a benchmark that can't run stops")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use drawspan_bridge_wasm::{Counters, Engine, Function, WasmBridge, WasmSettings};
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::{ErrorKind, Plugin};

const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/hostile.wasm");
const TASKS: u64 = 4;
/// One call of so many traps.
const TRAP: u64 = 1000;
/// How many lines are printed.
const LINES: u64 = 20;

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    trapped: AtomicU64,
    lost: AtomicU64,
}

#[tokio::main]
async fn main() {
    let is_full = std::env::args().any(|arg| arg == "--bench");
    let (calls, pause) =
        if is_full { (10_000_000, Duration::from_secs(1)) } else { (200_000, Duration::from_millis(300)) };

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.wasm");
    std::fs::copy(GUEST, &path).unwrap();
    let counters = Counters::default();
    let bridge = load(&path, counters.clone()).await;

    let over = Arc::new(AtomicBool::new(false));
    let replacing = tokio::spawn(replace(path, pause, Arc::clone(&over)));
    let counts = Arc::new(Counts::default());
    let start = Instant::now();
    let tasks: Vec<_> =
        (0..TASKS).map(|_| tokio::spawn(ask(Arc::clone(&bridge), Arc::clone(&counts), calls / TASKS))).collect();

    println!("{:>7} {:>10} {:>8} {:>6} {:>6} {:>12}", "time", "answered", "trapped", "lost", "swaps", "resident");
    let mut resident = Vec::new();
    for line in 1..=LINES {
        while counts.answered.load(Relaxed) + counts.trapped.load(Relaxed) < line * (calls / LINES) - TASKS
            && tasks.iter().any(|task| !task.is_finished())
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let [answered, trapped, lost] =
            [&counts.answered, &counts.trapped, &counts.lost].map(|count| count.load(Relaxed));
        let kib = resident_kib();
        resident.push(kib);
        let (time, swaps) = (start.elapsed().as_secs_f64(), counters.swaps.get());
        println!("{time:>6.1}s {answered:>10} {trapped:>8} {lost:>6} {swaps:>6} {kib:>8} KiB");
    }
    for task in tasks {
        task.await.unwrap();
    }
    over.store(true, Relaxed);
    replacing.await.unwrap();

    let warm = &resident[resident.len() / 4..];
    let (least, most) = (warm.iter().min().unwrap(), warm.iter().max().unwrap());
    println!("resident after the first quarter: {least} to {most} KiB; refused files: {}", counters.refused.get());
    assert_eq!(counts.lost.load(Relaxed), 0, "calls were lost");
    assert_eq!(counts.trapped.load(Relaxed), calls / TRAP);
    assert_eq!(counts.answered.load(Relaxed), calls - calls / TRAP);
}

async fn ask(bridge: Arc<WasmBridge>, counts: Arc<Counts>, calls: u64) {
    let [ok, trap] = ["ok", "trap"].map(|username| {
        Arc::new(AuthenticationRequest {
            username: username.into(),
            password: String::new(),
            client_address: Some("192.0.2.7:41806".into()),
            service: "service-0".into(),
            certificate: None,
        })
    });
    for call in 1..=calls {
        let is_trap = call % TRAP == 0;
        let result = bridge.call(Arc::clone(if is_trap { &trap } else { &ok })).await;
        let count = match result {
            Ok(Some(identity)) if !is_trap && identity.client_id == "ok" => &counts.answered,
            Err(error) if is_trap && error.kind() == ErrorKind::Trapped => &counts.trapped,
            other => {
                println!("lost: {other:?}");
                &counts.lost
            }
        };
        count.fetch_add(1, Relaxed);
        if call % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Replaces the file by one that does the same with another digest: each has another custom section.
async fn replace(path: std::path::PathBuf, pause: Duration, over: Arc<AtomicBool>) {
    let guest = std::fs::read(GUEST).unwrap();
    for number in 0_u64.. {
        tokio::time::sleep(pause).await;
        if over.load(Relaxed) {
            return;
        }
        let mut bytes = guest.clone();
        bytes.extend([0, 10, 1, b'n']);
        bytes.extend(number.to_le_bytes());
        let new = path.with_extension("new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(&new, &path).unwrap();
    }
}

async fn load(path: &Path, counters: Counters) -> Arc<WasmBridge> {
    let settings = WasmSettings::new("auther-0", path);
    let functions = vec![Function::of::<AuthenticationRequest>()];
    Arc::new(WasmBridge::load(&Engine::new(None).unwrap(), settings, functions, counters).await.unwrap())
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
