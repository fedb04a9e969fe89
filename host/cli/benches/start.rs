//! A gateway with thirteen plugins, all of them components: how long it takes until it has served its first connection, when
//! the components are compiled and when they are in the cache, and how much memory it then has.
//!
//! Without `--bench` (so in `cargo test`) it only shows that it runs.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![allow(clippy::unwrap_used, reason = "a benchmark that can't run stops")]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use drawspan_testkit::{Dir, Gateway, basic, connect, tcp_echo};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Thirteen plugins, each of another component: one of each module that a config can name, and three more. What isn't the
/// service's authenticator is loaded and kept warm, and not asked.
fn config() -> String {
    let plugin = |name: &str, file: &str, config: &str| {
        format!("- {{name: {name}, plugin: {{type: wasm, addr: {ROOT}/{file}, config: {{{config}}}}}}}\n")
    };
    let mut config = [
        "services:\n- {name: service-0, addr: \"127.0.0.1:0\", handler: {type: http, auther: auther-0}}\n",
        "authers:\n",
        &plugin("auther-0", "guest-examples/authenticator-rust/authenticator.wasm", "users: \"alice:wonder\""),
        &plugin("auther-1", "guest-examples/authenticator-c/authenticator.wasm", "users: \"alice:wonder\""),
        "bypasses:\n",
        &plugin("bypass-0", "guest-examples/bypass-rust/bypass.wasm", "domains: example.org"),
        &plugin("bypass-1", "guest-examples/bypass-c/bypass.wasm", "domains: example.org"),
        &plugin("bypass-2", "tests/guests/prebuilt/moody.wasm", ""),
    ]
    .concat();
    for module in ["admission", "hop", "hosts", "limiter", "observer", "recorder", "resolver", "rewriter"] {
        let folder = format!("{ROOT}/guest-examples/{module}-rust");
        let block = std::fs::read_to_string(format!("{folder}/plugin.yaml")).unwrap();
        config += &block.replace("addr: ./", &format!("addr: {folder}/"));
    }
    config
}

/// The time until a connection was served, and the memory after that, in KiB.
async fn start(cache: &Path, echo: std::net::SocketAddr) -> (Duration, u64) {
    let dir = Dir::new();
    symlink(cache, dir.join(".cache")).unwrap();
    dir.write("gateway.yaml", config());
    let start = Instant::now();
    let mut gateway = Gateway::spawn(dir, &["-C", "gateway.yaml"]);
    let proxy = gateway.proxy().await;
    connect(proxy, &basic("alice", "wonder"), echo).await.map_err(|head| head.status).unwrap();
    let served = start.elapsed();
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (served, resident.trim().trim_end_matches(" kB").parse().unwrap())
}

#[tokio::main]
async fn main() {
    let is_full = std::env::args().any(|arg| arg == "--bench");
    let echo = tcp_echo().await;
    let cache = tempfile::tempdir().unwrap();
    println!("{:<16} {:>18} {:>14}", "13 components", "first connection", "resident");
    let (compiled, kib) = start(cache.path(), echo.addr()).await;
    println!("{:<16} {compiled:>18.2?} {kib:>10} KiB", "compiled");
    let mut starts = Vec::new();
    for _ in 0..if is_full { 21 } else { 1 } {
        starts.push(start(cache.path(), echo.addr()).await);
    }
    starts.sort();
    let (cached, kib) = starts[starts.len() / 2];
    println!("{:<16} {cached:>18.2?} {kib:>10} KiB", "from the cache");
}
