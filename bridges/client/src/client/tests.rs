use std::path::PathBuf;

use drawspan_testkit::{HttpAnswer, HttpPlugin};
use drawspan_wit::bypass::{BypassRequest, Match};

use super::*;
use crate::layer::fakes::{Counted, authenticate, identity};
use crate::{Engine, GrpcSettings, HttpSettings, Target, WasmSettings};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REPLY: usize = 4 << 20;

fn settings(name: &str, backing: BackingSettings) -> PluginSettings {
    PluginSettings::new(name, Module::Auther, backing)
}

/// A server that isn't there: its port was free a moment ago.
fn nobody() -> BackingSettings {
    let addr = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    BackingSettings::Grpc(GrpcSettings {
        target: Target::Tcp(addr.ip().to_string(), addr.port()),
        tls: None,
        token: None,
        timeout: TIMEOUT,
        connect_timeout: TIMEOUT,
        max_reply: MAX_REPLY,
    })
}

fn http(server: &HttpPlugin) -> BackingSettings {
    BackingSettings::Http(HttpSettings {
        url: format!("http://{}/auth", server.addr()).parse().unwrap(),
        tls: None,
        token: None,
        connect_timeout: TIMEOUT,
        max_reply: MAX_REPLY,
    })
}

fn missing_component() -> BackingSettings {
    let settings = WasmSettings::new("auther-0", "nowhere.wasm");
    BackingSettings::Wasm(settings, Engine::new(None).unwrap())
}

#[tokio::test]
async fn each_block_has_its_policies_and_is_counted_under_its_name() {
    let server = HttpPlugin::start(HttpAnswer::Users(&[("alice", "wonder")])).await;
    let stranger = HttpPlugin::start(HttpAnswer::Users(&[])).await;
    let keep = CacheSettings { ttl: TIMEOUT, negative_ttl: Duration::ZERO, size: 10 };
    let shadow = settings("auther-0.fallback.shadow", http(&stranger));
    let fallback = PluginSettings {
        cache: Some(keep),
        shadow: Some(Box::new(ShadowSettings { plugin: shadow, sample: 1.0 })),
        ..settings("auther-0.fallback", http(&server))
    };
    let outermost = PluginSettings { fallback: Some(Box::new(fallback)), ..settings("auther-0", nobody()) };

    let counted = Counted::new();
    let client = PluginClient::load(outermost, &counted.metrics).await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.call(Arc::new(authenticate())).await.unwrap(), identity("alice"));
    }
    assert_eq!(server.calls().len(), 1);
    counted.check("errors_total", r#",kind="unavailable""#, 2);
    counted.check("fallbacks_total", "", 2);
    let fallback = r#"plugin="auther-0.fallback",module="auther",backing="http""#;
    counted.check_line(&format!("calls_total{{{fallback}}} 2"));
    counted.check_line(&format!("cache_hits_total{{{fallback}}} 1"));
    // The shadow's answer is known some time after.
    let compared = async {
        while stranger.calls().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, compared).await.unwrap();
}

#[tokio::test]
async fn the_outermost_on_error_counts_when_nobody_can_be_reached() {
    for (on_error, reply) in [(None, None), (Some(OnError::Allow), identity(""))] {
        let fallback = Some(Box::new(settings("auther-0.fallback", nobody())));
        let outermost = PluginSettings { fallback, on_error, ..settings("auther-0", nobody()) };
        let client = PluginClient::load(outermost, &Counted::new().metrics).await.unwrap();
        assert_eq!(client.call(Arc::new(authenticate())).await.unwrap(), reply);
    }
}

#[tokio::test]
async fn an_error_names_the_block_that_cant_be_used() {
    let shadow = settings("auther-0.fallback.shadow", missing_component());
    let fallback = PluginSettings {
        shadow: Some(Box::new(ShadowSettings { plugin: shadow, sample: 1.0 })),
        ..settings("auther-0.fallback", nobody())
    };
    let outermost = PluginSettings { fallback: Some(Box::new(fallback)), ..settings("auther-0", nobody()) };
    let error = PluginClient::load(outermost, &Counted::new().metrics).await.err().unwrap();
    assert_eq!(&*error.plugin, "auther-0.fallback.shadow");
    assert!(error.to_string().contains("nowhere.wasm"), "{error}");
}

#[tokio::test]
async fn what_happens_to_a_component_is_counted() {
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/moody.wasm");
    let BackingSettings::Wasm(mut wasm, engine) = missing_component() else { panic!("not a component") };
    wasm.source = PathBuf::from(guest).into();
    let backing = BackingSettings::Wasm(wasm, engine);
    let bypass = PluginSettings { module: Module::Bypass, ..settings("bypass-0", backing) };
    let counted = Counted::new();
    let client = PluginClient::load(bypass, &counted.metrics).await.unwrap();
    let request = BypassRequest {
        network: "tcp".into(),
        target_address: "192.0.2.1:80".into(),
        host: Some("trap".into()),
        path: None,
        client_id: None,
        service: Some("service-0".into()),
    };
    assert_eq!(client.call(Arc::new(request)).await.unwrap(), Match::Matched, "what can't be asked is refused");
    let labels = r#"plugin="bypass-0",module="bypass",backing="wasm""#;
    counted.check_line(&format!("repeats_total{{{labels}}} 1"));
    for outcome in ["done", "refused"] {
        counted.check_line(&format!(r#"swaps_total{{{labels},outcome="{outcome}"}} 0"#));
    }
}
