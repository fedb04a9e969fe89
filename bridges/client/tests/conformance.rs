//! Whoever answers, the answer is the same: every call of the contract through a gRPC server, an HTTP server and a component,
//! each as the gateway has it, with its policies; and every failure means the same.
//!
//! [`every_call`] is the table, one row per call. A call without a row fails the test: the WIT text says which calls there
//! are. What a row is put through is in `conformance/bench.rs`.

#![allow(clippy::unwrap_used, reason = "a test stops by panicking")]

#[path = "conformance/bench.rs"]
mod bench;
#[path = "conformance/bytes.rs"]
mod bytes;
#[path = "conformance/served.rs"]
mod served;

use std::collections::BTreeSet;
use std::sync::Arc;

use bench::{Answer, Bench, MAX_REPLY, Over, Said, Scene, same};
use drawspan_plugin_client::PluginCall;
use drawspan_wit::admission::{AdmissionRequest, Verdict};
use drawspan_wit::authenticator::{AuthenticationRequest, ClientCertificate, Identity};
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::hop::HopRequest;
use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::observer::{Event, EventDetail, EventSource, ObserveRequest, ServiceState, Stats, Status};
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::router::{Route, RouteRequest};
use drawspan_wit::service_discovery::{DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest, Service};
use drawspan_wit::traffic_limiter::{LimitRequest, LimitScope, Rates};
use drawspan_wit::types::AddressFamily;
use drawspan_wit::{ErrorKind, Module, Plugin, SOURCES};

#[tokio::test]
async fn every_call_means_the_same_over_every_backing() {
    let mut bench = Bench::start().await;
    every_call(&mut bench).await;
    assert_eq!(bench.checked(), &contract(), "each call of the contract has one row in the table");
    // What the operator is told has no effect has none, and the other way round.
    let heeding = Module::ALL.into_iter().filter(|module| module.heeds_on_error()).collect();
    assert_eq!(bench.heeding(), &heeding);
}

/// The most that a signed number can say.
const MOST: Option<u64> = Some(i64::MAX as u64);

/// The table.
async fn every_call(bench: &mut Bench) {
    let call = AuthenticationRequest {
        username: "gost \u{1f980}<&>".into(),
        password: "\u{0}\"\\".into(),
        client_address: Some("[2001:db8::7]:41806".into()),
        service: "service-0".into(),
        certificate: Some(ClientCertificate {
            common_name: String::new(),
            alternative_names: vec!["a.test".into()],
            fingerprint: "0f".into(),
        }),
    };
    let identity = |id: &str| Some(Identity { client_id: id.into() });
    bench.row(call, vec![same(None), same(identity("")), same(identity("alice"))]).await;

    let call = AdmissionRequest { network: "udp".into(), client_address: "192.0.2.7:41806".into(), service: None };
    bench.row(call, vec![same(Verdict::Denied), same(Verdict::Admitted)]).await;

    let call = BypassRequest {
        network: "tcp".into(),
        target_address: "example.org:443".into(),
        host: None,
        path: Some("/a?b=c".into()),
        client_id: Some("alice".into()),
        service: Some("service-0".into()),
    };
    bench.row(call, vec![same(Match::Matched), same(Match::Unmatched)]).await;

    bench.row(hop_request(), vec![same(None), same(Some(r#"{"name":"n0","addr":"192.0.2.1:8080"}"#.into()))]).await;

    let call = LimitRequest {
        scope: LimitScope::Client,
        service: "service-0".into(),
        network: "tcp".into(),
        target_address: None,
        client_id: Some("alice".into()),
        source_address: None,
    };
    let rates = |upload, download| Rates { upload, download };
    // GOST can't say that nothing passes, and its numbers are signed.
    let beyond = Said { said: rates(Some(0), Some(u64::MAX)), grpc: rates(Some(1), MOST), http: rates(Some(1), MOST) };
    bench.row(call, vec![same(rates(None, None)), same(rates(Some(1), MOST)), beyond]).await;

    let addresses = || same(vec!["192.0.2.1".into(), "2001:db8::1".into()]);
    let call =
        LookupRequest { family: AddressFamily::Ipv4, host: "example.org".into(), client_id: Some("alice".into()) };
    bench.row(call, vec![same(vec![]), addresses()]).await;
    bench.row(resolve_request(), vec![same(vec![]), addresses()]).await;

    let call = GetRuleRequest { host: "a b+ü&c=%2F.test:80".into(), service: Some("service-0".into()) };
    bench.row(call, vec![same(None), same(Some("$4d21094e-b74c-4916-86c1-d9fa36ea677b".into()))]).await;
    let call = SetRuleRequest { host: "example.org".into(), endpoint: "4d21094e".into(), service: None };
    bench.row(call, vec![same(())]).await;

    let call = RouteRequest { destination: "2001:db8::1".into(), router_id: Some("r".into()) };
    let route = Route { destination: "2001:db8::/32".into(), gateway: "g".into() };
    bench.row(call, vec![same(None), same(Some(route))]).await;

    let (id, name, node) = ("c1".to_owned(), "t1".to_owned(), "n1".to_owned());
    let (network, address) = ("udp".to_owned(), "192.0.2.1:8080".to_owned());
    let call = RenewRequest { id: id.clone(), name: name.clone(), node: node.clone() };
    bench.row(call, vec![same(())]).await;
    let call = DeregisterRequest { id: id.clone(), name: name.clone(), node: node.clone() };
    bench.row(call, vec![same(())]).await;
    let service = Service {
        id: id.clone(),
        name: name.clone(),
        node: node.clone(),
        network: network.clone(),
        address: address.clone(),
    };
    let services = vec![service.clone(), service];
    bench.row(GetServicesRequest { name: name.clone() }, vec![same(vec![]), same(services)]).await;
    bench.row(RegisterRequest { id, name, node, network, address }, vec![same(())]).await;

    bench.row(WriteRequest { data: vec![0, 0xff, 0xfb], metadata: Some("{}".into()) }, vec![same(())]).await;

    let stats =
        Stats { total_connections: 1, current_connections: u64::MAX, input_bytes: 2, output_bytes: 3, total_errors: 4 };
    let status = Status { state: ServiceState::Failed, message: "out of luck".into() };
    let event = |source, client_id, detail| Event { source, service: "service-0".into(), client_id, detail };
    let events = vec![
        event(EventSource::Handler, Some("alice".into()), EventDetail::Stats(stats)),
        event(EventSource::Service, None, EventDetail::Status(status)),
    ];
    bench.row(ObserveRequest { events }, vec![same(())]).await;

    let call = RewriteRequest { data: vec![], metadata: Some(r#"{"direction":"request"}"#.into()) };
    // gRPC can't tell an empty body from none.
    let empty = Said { said: Some(vec![]), grpc: None, http: Some(vec![]) };
    bench.row(call, vec![same(None), same(Some(vec![0, 0xff])), empty]).await;
}

#[tokio::test]
async fn a_reply_that_is_none_is_a_bad_one_over_every_backing() {
    let bench = Bench::start().await;
    for node in ["{}", "null", "no JSON", r#"{"addr":1}"#] {
        bad_reply(&bench, hop_request(), Some(node.into()), "the node ").await;
    }
    bad_reply(&bench, resolve_request(), vec!["192.0.2.1".into(); 10_001], "a list of 10001 entries").await;
}

/// Asks `call` over each backing, where it is answered by `reply`.
async fn bad_reply<C: PluginCall>(bench: &Bench, call: C, reply: C::Reply, reason: &str) {
    let scene = Scene { asked: call, answer: Answer::Reply(reply) };
    for over in Over::ALL {
        let plugin = bench.bare(over, &scene, MAX_REPLY).await;
        let Err(error) = plugin.call(Arc::new(scene.asked.clone())).await else { panic!("{over:?}: {reason}") };
        assert_eq!(error.kind(), ErrorKind::BadReply, "{over:?}: {error}");
        assert!(error.to_string().starts_with(reason), "{over:?}: {error}");
    }
}

/// What a resolver is asked.
fn resolve_request() -> ResolveRequest {
    ResolveRequest { family: AddressFamily::Any, host: "::1".into(), client_id: None }
}

/// What a hop is asked.
fn hop_request() -> HopRequest {
    HopRequest {
        network: None,
        target_address: Some("192.0.2.1:443".into()),
        host: Some("example.org:443".into()),
        path: None,
        client_id: None,
        source_address: Some("192.0.2.7:41806".into()),
    }
}

/// The functions of the contract, by interface. `lifecycle` isn't asked by modules.
fn contract() -> BTreeSet<(String, String)> {
    let mut functions = BTreeSet::new();
    for (_, text) in SOURCES {
        let mut interface = "";
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            if let Some(name) = line.strip_prefix("interface ") {
                interface = name.trim_end_matches(" {");
            } else if let Some((name, _)) = line.split_once(": func(")
                && interface != "lifecycle"
            {
                functions.insert((interface.to_owned(), name.to_owned()));
            }
        }
    }
    functions
}
