//! Every component of `guest-examples`, asked real questions.

#![allow(clippy::unwrap_used, reason = "a test stops by panicking")]

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use drawspan_bridge_wasm::{Engine, Function, Inspection, WasmBridge, WasmSettings, inspect};
use drawspan_wit::admission::{AdmissionRequest, Verdict};
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::hop::HopRequest;
use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::observer::{Event, EventDetail, EventSource, ObserveRequest, ServiceState, Stats, Status};
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::router::{Route, RouteRequest};
use drawspan_wit::service_discovery::{DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest};
use drawspan_wit::traffic_limiter::{LimitRequest, LimitScope, Rates};
use drawspan_wit::types::AddressFamily;
use drawspan_wit::{Call, ErrorKind, Module, Plugin};
use support::{example, examples, keep_log, load, load_all, logged, settings};

/// One example, and the machinery to ask it.
struct Guest {
    engine: Engine,
    folder: String,
    inspection: Inspection,
}

impl Guest {
    fn settings(&self, config: &[(&str, &str)]) -> WasmSettings {
        let needs_store = self.inspection.imports.iter().any(|import| import.starts_with("wasi:keyvalue/"));
        WasmSettings {
            name: self.folder.as_str().into(),
            config: config.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            keyvalue: if needs_store { support::memory(1 << 20) } else { vec![] },
            ..settings(example(&self.folder))
        }
    }

    async fn load<C: Call>(&self, config: &[(&str, &str)]) -> Arc<WasmBridge> {
        load::<C>(&self.engine, self.settings(config)).await.unwrap()
    }

    /// A config that it refuses, with the word that its error must contain.
    async fn refuses<C: Call>(&self, config: &[(&str, &str)], word: &str) {
        let error = load::<C>(&self.engine, self.settings(config)).await.err().unwrap().to_string();
        assert!(error.contains(word), "{}: {error}", self.folder);
    }
}

async fn ask<C: Call>(bridge: &WasmBridge, call: C) -> C::Reply {
    bridge.call(Arc::new(call)).await.unwrap()
}

fn some(text: &str) -> Option<String> {
    Some(text.into())
}

#[tokio::test]
async fn every_example_answers() {
    keep_log();
    let engine = Engine::new(None).unwrap();
    let mut folders: Vec<String> = std::fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|folder| folder.is_dir() && has_component(folder))
        .map(|folder| folder.file_name().unwrap().to_string_lossy().into_owned())
        // The others aren't in the repository, and are asked their cases where they are built.
        .filter(|folder| ["-rust", "-c"].iter().any(|language| folder.ends_with(language)))
        .collect();
    folders.sort();
    assert!(!folders.is_empty());
    for folder in folders {
        let inspection = inspect(&engine, &example(&folder)).unwrap();
        let module = Module::ALL.into_iter().find(|module| {
            let names = [module.as_str(), module.interface()];
            folder.split_once('-').is_some_and(|(name, _)| names.contains(&name))
        });
        let module = module.unwrap_or_else(|| panic!("{folder} is not named after a module"));
        assert_eq!(inspection.exports, [(module, "0.1.0".to_owned())], "{folder}");
        assert!(inspection.lifecycle, "{folder}");
        assert_eq!(inspection.size, std::fs::metadata(example(&folder)).unwrap().len());
        assert!(sums().contains(&format!("{}  {folder}/", inspection.sha256)), "{folder} is not in SHA256SUMS");

        let text = |file: &str| std::fs::read_to_string(examples().join(&folder).join(file));
        if let Ok(block) = text("plugin.yaml") {
            assert!(text("README.md").unwrap().contains(&block), "{folder}: README.md shows another plugin.yaml");
        }

        let guest = Guest { engine: engine.clone(), folder, inspection };
        match guest.folder.as_str() {
            "admission-rust" => admission(&guest).await,
            "authenticator-rust" | "authenticator-c" => authenticator(&guest).await,
            "bypass-rust" | "bypass-c" => bypass(&guest).await,
            "hop-rust" => hop(&guest).await,
            "hosts-rust" => hosts(&guest).await,
            "ingress-rust" => ingress(&guest).await,
            "limiter-rust" => limiter(&guest).await,
            "observer-rust" => observer(&guest).await,
            "recorder-rust" => recorder(&guest).await,
            "resolver-rust" => resolver(&guest).await,
            "rewriter-rust" => rewriter(&guest).await,
            "router-rust" => router(&guest).await,
            "sd-rust" => sd(&guest).await,
            other => panic!("nobody asks {other}: add it here"),
        }
    }
}

fn has_component(folder: &PathBuf) -> bool {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.any(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

fn sums() -> String {
    std::fs::read_to_string(examples().join("SHA256SUMS")).unwrap()
}

async fn authenticator(guest: &Guest) {
    let bridge = guest.load::<AuthenticationRequest>(&[("users", "alice:wonder bob:builder")]).await;
    for (username, password, expected) in
        [("alice", "wonder", some("alice")), ("alice", "builder", None), ("", "", None)]
    {
        let request = AuthenticationRequest {
            username: username.into(),
            password: password.into(),
            client_address: None,
            service: "service-0".into(),
            certificate: None,
        };
        assert_eq!(ask(&bridge, request).await.map(|identity| identity.client_id), expected, "{username}");
    }
    guest.refuses::<AuthenticationRequest>(&[("user", "alice:wonder")], "`user`").await;
}

async fn admission(guest: &Guest) {
    let bridge =
        guest.load::<AdmissionRequest>(&[("allow", "192.0.2.0/24 2001:db8::/32"), ("deny", "192.0.2.7")]).await;
    let request = |network: &str, address: &str| AdmissionRequest {
        network: network.into(),
        client_address: address.into(),
        service: None,
    };
    for (address, expected) in [
        ("192.0.2.1:1000", Verdict::Admitted),
        ("192.0.2.7:1000", Verdict::Denied),
        ("198.51.100.1:1000", Verdict::Denied),
        ("[2001:db8::1]:1000", Verdict::Admitted),
    ] {
        assert_eq!(ask(&bridge, request("tcp", address)).await, expected, "{address}");
    }
    assert_eq!(ask(&bridge, request("unix", "@")).await, Verdict::Denied);
    let error = bridge.call(Arc::new(request("tcp", "client"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "what isn't understood isn't admitted");
    guest.refuses::<AdmissionRequest>(&[], "allow").await;
}

async fn bypass(guest: &Guest) {
    let bridge = guest.load::<BypassRequest>(&[("domains", "example.org .internal.example *.ads.example")]).await;
    for (target, host, expected) in [
        ("example.org:443", None, Match::Matched),
        ("www.example.org:443", None, Match::Unmatched),
        ("192.0.2.1:443", some("db.internal.example:443"), Match::Matched),
        ("192.0.2.1:443", some("ads.example:443"), Match::Unmatched),
    ] {
        let request = BypassRequest {
            network: "tcp".into(),
            target_address: target.into(),
            host,
            path: None,
            client_id: None,
            service: None,
        };
        assert_eq!(ask(&bridge, request).await, expected, "{target}");
    }
    guest.refuses::<BypassRequest>(&[("domains", "ad*")], "`ad*`").await;
}

async fn hop(guest: &Guest) {
    let nodes = ("nodes", "n0=192.0.2.1:8080*3 n1=192.0.2.2:8080");
    let bridge = guest.load::<HopRequest>(&[nodes, ("connector", "socks5")]).await;
    let request = |client: Option<String>| HopRequest {
        network: some("tcp"),
        target_address: some("198.51.100.1:443"),
        host: None,
        path: None,
        client_id: client,
        source_address: None,
    };
    let first = r#"{"name":"n0","addr":"192.0.2.1:8080","connector":{"type":"socks5"},"dialer":{"type":"tcp"}}"#;
    let mut on_first = 0;
    for n in 0..100 {
        let node = ask(&bridge, request(Some(format!("client-{n}")))).await.unwrap();
        assert_eq!(ask(&bridge, request(Some(format!("client-{n}")))).await.unwrap(), node, "client-{n} wanders");
        on_first += usize::from(node == first);
    }
    assert!((60..90).contains(&on_first), "{on_first}");
    // Whom nobody knows is sent anywhere.
    let bridge = guest.load::<HopRequest>(&[nodes, ("by", "random")]).await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..100 {
        names.insert(ask(&bridge, request(some("alice"))).await.unwrap());
    }
    assert_eq!(names.len(), 2);
    guest.refuses::<HopRequest>(&[("nodes", "n0")], "`n0`").await;
}

async fn limiter(guest: &Guest) {
    let bridge = guest.load::<LimitRequest>(&[("users", "alice=1MB/4MB bob=none"), ("default", "64KB")]).await;
    let rates = |upload, download| Rates { upload, download };
    for (scope, client, expected) in [
        (LimitScope::Client, some("alice"), rates(Some(1 << 20), Some(4 << 20))),
        (LimitScope::Client, some("bob"), rates(None, None)),
        (LimitScope::Client, None, rates(Some(64 << 10), Some(64 << 10))),
        (LimitScope::Service, None, rates(None, None)),
    ] {
        let request = LimitRequest {
            scope,
            service: "service-0".into(),
            network: "tcp".into(),
            target_address: None,
            client_id: client.clone(),
            source_address: None,
        };
        assert_eq!(ask(&bridge, request).await, expected, "{client:?}");
    }
    guest.refuses::<LimitRequest>(&[("default", "64")], "`64`").await;
}

async fn hosts(guest: &Guest) {
    let table = "192.0.2.7 printer printer.lan # upstairs\n2001:db8::7 printer";
    let bridge = guest.load::<LookupRequest>(&[("hosts", table)]).await;
    for (host, family, expected) in [
        ("Printer", AddressFamily::Any, &["192.0.2.7", "2001:db8::7"][..]),
        ("printer", AddressFamily::Ipv6, &["2001:db8::7"]),
        ("printer.lan", AddressFamily::Ipv6, &[]),
        ("192.0.2.7", AddressFamily::Any, &[]),
    ] {
        let request = LookupRequest { family, host: host.into(), client_id: None };
        assert_eq!(ask(&bridge, request).await, expected, "{host}");
    }
    guest.refuses::<LookupRequest>(&[("hosts", "printer 192.0.2.7")], "line 1").await;
}

async fn resolver(guest: &Guest) {
    let zone = "www.example A 192.0.2.1\nwww.example AAAA 2001:db8::1\n*.example A 192.0.2.2";
    let bridge = guest.load::<ResolveRequest>(&[("zone", zone)]).await;
    for (host, family, expected) in [
        ("www.example", AddressFamily::Any, &["192.0.2.1", "2001:db8::1"][..]),
        ("a.b.example", AddressFamily::Ipv4, &["192.0.2.2"]),
        ("a.b.example", AddressFamily::Ipv6, &[]),
        ("example.org", AddressFamily::Any, &[]),
        ("192.0.2.9", AddressFamily::Any, &["192.0.2.9"]),
    ] {
        let request = ResolveRequest { family, host: host.into(), client_id: None };
        assert_eq!(ask(&bridge, request).await, expected, "{host}");
    }
    guest.refuses::<ResolveRequest>(&[("zone", "www MX mail")], "line 1").await;
}

async fn ingress(guest: &Guest) {
    const ONE: &str = "4d21094e-b74c-4916-86c1-d9fa36ea677b";
    const TWO: &str = "$ac74d9dd-3125-442a-a7c1-f9e49e05faca";
    let rules = format!("example.org={ONE}");
    let functions = vec![Function::of::<GetRuleRequest>(), Function::of::<SetRuleRequest>()];
    let bridge = load_all(&guest.engine, guest.settings(&[("rules", &rules)]), functions).await.unwrap();
    let get = |host: &str| GetRuleRequest { host: host.into(), service: None };
    let set =
        |host: &str, endpoint: &str| SetRuleRequest { host: host.into(), endpoint: endpoint.into(), service: None };
    assert_eq!(ask(&bridge, get("Example.org:443")).await, some(ONE));
    assert_eq!(ask(&bridge, get("www.example.org")).await, None);
    ask(&bridge, set("WWW.example.org", TWO)).await;
    ask(&bridge, set("example.org", TWO)).await;
    assert_eq!(ask(&bridge, get("www.example.org:80")).await, some(TWO));
    assert_eq!(ask(&bridge, get("example.org")).await, some(TWO), "what is set later counts");
    let error = bridge.call(Arc::new(set("example.org", "nonsense"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

async fn router(guest: &Guest) {
    let bridge = guest.load::<RouteRequest>(&[("routes", "10.0.0.0/8=office 10.1.0.0/16=lab")]).await;
    for (destination, expected) in
        [("10.9.9.9", Some(("10.0.0.0/8", "office"))), ("10.1.9.9", Some(("10.1.0.0/16", "lab"))), ("192.0.2.1", None)]
    {
        let route = expected.map(|(network, gateway)| Route { destination: network.into(), gateway: gateway.into() });
        let request = RouteRequest { destination: destination.into(), router_id: None };
        assert_eq!(ask(&bridge, request).await, route, "{destination}");
    }
    guest.refuses::<RouteRequest>(&[("routes", "lab=10.1.0.0/16")], "`lab`").await;
}

async fn sd(guest: &Guest) {
    let functions = vec![
        Function::of::<RegisterRequest>(),
        Function::of::<RenewRequest>(),
        Function::of::<DeregisterRequest>(),
        Function::of::<GetServicesRequest>(),
    ];
    let bridge = load_all(&guest.engine, guest.settings(&[]), functions).await.unwrap();
    let register = |id: &str, name: &str, node: &str| RegisterRequest {
        id: id.into(),
        name: name.into(),
        node: node.into(),
        network: "tcp".into(),
        address: format!("{node}.example:8421"),
    };
    let nodes = async |name: &str| {
        let services = ask(&bridge, GetServicesRequest { name: name.into() }).await;
        services.into_iter().map(|service| (service.id, service.node, service.address)).collect::<Vec<_>>()
    };
    let entry = |id: &str, node: &str| (id.to_owned(), node.to_owned(), format!("{node}.example:8421"));
    assert_eq!(nodes("tunnel").await, []);
    for (id, name, node) in [("c0", "tunnel", "node-a"), ("c0", "tunnel", "node-b"), ("c1", "other", "node-a")] {
        ask(&bridge, register(id, name, node)).await;
    }
    assert_eq!(nodes("tunnel").await, [entry("c0", "node-a"), entry("c0", "node-b")]);
    let deregister = DeregisterRequest { id: "c0".into(), name: "tunnel".into(), node: "node-a".into() };
    ask(&bridge, deregister).await;
    assert_eq!(nodes("tunnel").await, [entry("c0", "node-b")], "a node ends its own registration");
    let renew = |node: &str| RenewRequest { id: "c0".into(), name: "tunnel".into(), node: node.into() };
    ask(&bridge, renew("node-b")).await;
    assert_eq!(bridge.call(Arc::new(renew("node-a"))).await.unwrap_err().kind(), ErrorKind::Refused);
    // More than a page of keys.
    for n in 0..1000 {
        ask(&bridge, register(&format!("c{n}"), "many", "node-a")).await;
    }
    assert_eq!(nodes("many").await.len(), 1000);
    guest.refuses::<RegisterRequest>(&[("ttl", "15s")], "`ttl`").await;
}

async fn recorder(guest: &Guest) {
    let bridge = guest.load::<WriteRequest>(&[("drop", "duration")]).await;
    let write = |data: &str| WriteRequest { data: data.into(), metadata: None };
    ask(&bridge, write(r#"{"host":"a.example","duration":5,"http":{"header":{"Cookie":["id=hunter2"]}}}"#)).await;
    ask(&bridge, write("192.0.2.7")).await;
    let expected = [r#"{"host":"a.example","http":{"header":{"Cookie":"***"}}}"#, "192.0.2.7"];
    assert_eq!(logged(&guest.folder), expected);
    let error = bridge.call(Arc::new(write(r#"{"password":"hunter2"#))).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Refused && !error.to_string().contains("hunter2"), "{error}");
}

async fn observer(guest: &Guest) {
    let bridge = guest.load::<ObserveRequest>(&[]).await;
    let event = |source, client: Option<&str>, input_bytes| Event {
        source,
        service: "service-0".into(),
        client_id: client.map(str::to_owned),
        detail: EventDetail::Stats(Stats {
            total_connections: 1,
            current_connections: 0,
            input_bytes,
            output_bytes: 10 * input_bytes,
            total_errors: 0,
        }),
    };
    let status = Event {
        detail: EventDetail::Status(Status { state: ServiceState::Ready, message: "ready".into() }),
        ..event(EventSource::Service, None, 0)
    };
    let alice = event(EventSource::Handler, Some("alice"), 5);
    let events =
        vec![alice.clone(), event(EventSource::Handler, None, 1), event(EventSource::Service, None, 6), status];
    ask(&bridge, ObserveRequest { events }).await;
    ask(&bridge, ObserveRequest { events: vec![alice] }).await;
    let expected = [
        r#""alice" sent 5 and received 50 bytes in all"#,
        r#""anonymous" sent 1 and received 10 bytes in all"#,
        r#""alice" sent 10 and received 100 bytes in all"#,
    ];
    assert_eq!(logged(&guest.folder), expected);
}

async fn rewriter(guest: &Guest) {
    let bridge = guest.load::<RewriteRequest>(&[("replace", "http://a.example => https://b.example\nsecret =>")]).await;
    for (data, expected) in [
        (&b"<a href='http://a.example/'>secret</a>"[..], Some(&b"<a href='https://b.example/'></a>"[..])),
        (b"nothing of it", None),
        (b"secret \xff\xfe", None),
        (b"", None),
    ] {
        let request = RewriteRequest { data: data.into(), metadata: None };
        assert_eq!(ask(&bridge, request).await.as_deref(), expected);
    }
    guest.refuses::<RewriteRequest>(&[("replace", "a")], "line 1").await;
}
