//! One question, "may this user in?", through the whole client stack (failure policy, metrics, deadline, calls in flight)
//! over each backing, in one run on one machine. The component and the two plugin servers make the same check; the servers
//! run in this process, on threads of their own, and are reached over loopback.
//!
//! Criterion's figures come first, then a table of latencies, one call at a time, with the ratios to gRPC.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![allow(clippy::unwrap_used, reason = "a benchmark that can't run stops")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use drawspan_plugin_client::{
    BackingSettings, Engine, GrpcSettings, HttpSettings, Metrics, PluginClient, PluginSettings, Target, WasmSettings,
};
use drawspan_testkit::{GrpcAnswer, GrpcPlugin, HttpAnswer, HttpPlugin, Users};
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::{Module, Plugin};
use tokio::runtime::Runtime;

const USERS: Users = &[("alice", "wonder")];
const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/authenticator-rust/authenticator.wasm");
const MAX_REPLY: usize = 4 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() {
    // The servers have their threads, the client has its own.
    let servers = Runtime::new().unwrap();
    let (grpc, http) = servers.block_on(async {
        (GrpcPlugin::start(GrpcAnswer::Users(USERS)).await, HttpPlugin::start(HttpAnswer::Users(USERS)).await)
    });
    let runtime = Runtime::new().unwrap();
    let backings = [
        ("wasm, reused", wasm(0)),
        ("wasm, fresh", wasm(1)),
        ("http", http_settings(&format!("http://{}/auth", http.addr()))),
        ("grpc", grpc_settings(&grpc)),
    ];
    let clients = backings.map(|(name, backing)| (name, runtime.block_on(client(backing))));

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("authenticate");
    for (name, client) in &clients {
        group.bench_function(BenchmarkId::from_parameter(name), |b| b.to_async(&runtime).iter(|| ask(client)));
    }
    group.finish();
    criterion.final_summary();

    // Without it, `cargo test` only sees whether it runs.
    let calls = if std::env::args().any(|arg| arg == "--bench") { 20_000 } else { 10 };
    println!("\n{:<14} {:>12} {:>12} {:>12} {:>14}", "backing", "p50", "p99", "calls/s", "p50 vs. grpc");
    let rows =
        clients.iter().map(|(name, client)| (name, runtime.block_on(latencies(client, calls)))).collect::<Vec<_>>();
    let grpc = rows.last().map_or(Duration::ZERO, |(_, times)| times[times.len() / 2]);
    for (name, times) in &rows {
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        let rate = times.len() as f64 / times.iter().sum::<Duration>().as_secs_f64();
        let ratio = grpc.as_secs_f64() / p50.as_secs_f64();
        println!("{name:<14} {p50:>12.2?} {p99:>12.2?} {rate:>12.0} {ratio:>13.1}x");
    }
}

async fn ask(client: &PluginClient) {
    let request = AuthenticationRequest {
        username: "alice".into(),
        password: "wonder".into(),
        client_address: Some("192.0.2.7:41806".into()),
        service: "http-0".into(),
        certificate: None,
    };
    let reply = client.call(Arc::new(request)).await.unwrap();
    assert_eq!(reply.unwrap().client_id, "alice");
}

async fn latencies(client: &PluginClient, calls: usize) -> Vec<Duration> {
    for _ in 0..calls / 10 {
        ask(client).await;
    }
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        ask(client).await;
        times.push(start.elapsed());
    }
    times.sort();
    times
}

async fn client(backing: BackingSettings) -> PluginClient {
    let settings = PluginSettings { timeout: TIMEOUT, ..PluginSettings::new("auther-0", Module::Auther, backing) };
    let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
    PluginClient::load(settings, &metrics).await.unwrap()
}

fn grpc_settings(server: &GrpcPlugin) -> BackingSettings {
    BackingSettings::Grpc(GrpcSettings {
        target: Target::Tcp(server.addr().ip().to_string(), server.addr().port()),
        tls: None,
        token: None,
        timeout: TIMEOUT,
        connect_timeout: TIMEOUT,
        max_reply: MAX_REPLY,
    })
}

fn http_settings(url: &str) -> BackingSettings {
    let url = url.parse().unwrap();
    BackingSettings::Http(HttpSettings { url, tls: None, token: None, connect_timeout: TIMEOUT, max_reply: MAX_REPLY })
}

fn wasm(max_calls: u64) -> BackingSettings {
    let settings = WasmSettings {
        max_calls,
        config: vec![("users".into(), "alice:wonder".into())],
        max_reply: MAX_REPLY,
        start_timeout: TIMEOUT,
        ..WasmSettings::new("auther-0", GUEST)
    };
    BackingSettings::Wasm(settings, Engine::new(None).unwrap())
}
