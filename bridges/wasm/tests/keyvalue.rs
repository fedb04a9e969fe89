//! What the instances of a plugin remember together, and what they don't.

#![allow(clippy::unwrap_used, reason = "a test stops by panicking")]

mod support;

use std::sync::Arc;

use drawspan_bridge_wasm::{Engine, Function, LoadError, StoreSettings, WasmBridge, WasmSettings};
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::observer::{Event, EventDetail, EventSource, ObserveRequest, Stats};
use drawspan_wit::service_discovery::GetServicesRequest;
use drawspan_wit::{CallError, ErrorKind, Plugin};
use support::{example, keep_log, load, load_all, logged, settings};

const TUNNEL: &str = "4d21094e-b74c-4916-86c1-d9fa36ea677b";

/// An ingress whose instances serve one call each, so that nothing is remembered but in the store.
async fn ingress(engine: &Engine, name: &str, size: usize) -> WasmBridge {
    let settings = WasmSettings {
        name: name.into(),
        max_calls: 1,
        keyvalue: support::memory(size),
        ..settings(example("ingress-rust"))
    };
    let functions = vec![Function::of::<GetRuleRequest>(), Function::of::<SetRuleRequest>()];
    load_all(engine, settings, functions).await.unwrap()
}

async fn get(bridge: &WasmBridge, host: &str) -> Option<String> {
    bridge.call(Arc::new(GetRuleRequest { host: host.into(), service: None })).await.unwrap()
}

async fn set(bridge: &WasmBridge, host: &str) -> Result<(), CallError> {
    let request = SetRuleRequest { host: host.into(), endpoint: TUNNEL.into(), service: None };
    bridge.call(Arc::new(request)).await
}

#[tokio::test]
async fn a_store_is_shared_by_instances_and_by_nobody_else() {
    let engine = Engine::new(None).unwrap();
    let one = ingress(&engine, "ingress-0", 1 << 20).await;
    let other = ingress(&engine, "ingress-1", 1 << 20).await;
    set(&one, "a.example").await.unwrap();
    assert_eq!(get(&one, "a.example").await.as_deref(), Some(TUNNEL));
    assert_eq!(get(&other, "a.example").await, None);
    drop(one);
    let again = ingress(&engine, "ingress-0", 1 << 20).await;
    assert_eq!(get(&again, "a.example").await, None, "it outlives its plugin");
}

#[tokio::test]
async fn a_store_is_bounded_and_stays_of_use() {
    let bridge = ingress(&Engine::new(None).unwrap(), "ingress-0", 1 << 10).await;
    let mut kept = 0;
    let error = loop {
        match set(&bridge, &format!("{kept}.example")).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 1 << 10, "it has no bound");
    };
    assert!(kept > 0 && error.kind() == ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("`default` is full"), "{error}");
    assert_eq!(get(&bridge, "0.example").await.as_deref(), Some(TUNNEL));
    set(&bridge, "0.example").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_increments_are_all_counted() {
    const CALLS: u64 = 64;
    keep_log();
    let settings = WasmSettings {
        name: "counting".into(),
        instances: 8,
        keyvalue: support::memory(1 << 20),
        ..settings(example("observer-rust"))
    };
    let bridge = load::<ObserveRequest>(&Engine::new(None).unwrap(), settings).await.unwrap();
    let event = Event {
        source: EventSource::Handler,
        service: "service-0".into(),
        client_id: Some("alice".into()),
        detail: EventDetail::Stats(Stats {
            total_connections: 1,
            current_connections: 1,
            input_bytes: 1,
            output_bytes: 2,
            total_errors: 0,
        }),
    };
    let request = Arc::new(ObserveRequest { events: vec![event] });
    let calls = (0..CALLS).map(|_| {
        let (bridge, request) = (Arc::clone(&bridge), Arc::clone(&request));
        tokio::spawn(async move { bridge.call(request).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    let lines = logged("counting");
    for sum in 1..=CALLS {
        let sent = format!("\"alice\" sent {sum} and");
        let received = format!("received {} bytes", 2 * sum);
        for told in [sent, received] {
            assert_eq!(lines.iter().filter(|line| line.contains(&told)).count(), 1, "{told}: {lines:#?}");
        }
    }
}

#[tokio::test]
async fn without_a_grant_it_is_refused_with_the_way_out() {
    let engine = Engine::new(None).unwrap();
    let error = load::<GetServicesRequest>(&engine, settings(example("sd-rust"))).await.err().unwrap();
    assert!(matches!(error, LoadError::Grant { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("it imports wasi:keyvalue/"), "{error}");
    assert!(error.contains("add `keyvalue: {default: {type: memory}}` to the plugin block"), "{error}");
}

#[tokio::test]
async fn a_store_of_another_name_is_not_there() {
    let settings = WasmSettings {
        keyvalue: vec![("other".into(), StoreSettings::Memory { size: 1 << 20 })],
        ..settings(example("sd-rust"))
    };
    let error = load::<GetServicesRequest>(&Engine::new(None).unwrap(), settings).await.err().unwrap().to_string();
    assert!(error.contains("NoSuchStore"), "{error}");
}
