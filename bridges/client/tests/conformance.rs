//! Whoever answers, the answer is the same: every call of the contract, asked directly and through both plugin servers.
//!
//! [`every_call`] is the table, one row per call. A call without a row fails the test: the WIT text says which calls there
//! are.

#![allow(clippy::unwrap_used, reason = "a test stops by panicking")]

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drawspan_bridge_grpc::{GrpcBridge, GrpcCall, GrpcSettings};
use drawspan_bridge_http::{HttpBridge, HttpCall, HttpSettings};
use drawspan_bridge_transport::Target;
use drawspan_plugin_serve::{Options, Server};
use drawspan_testkit::unused_addr;
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
use drawspan_wit::{Call, CallError, ErrorKind, Module, OnError, Plugin, SOURCES};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

#[tokio::test]
async fn every_call_is_answered_the_same_over_every_transport() {
    let mut bench = Bench::start().await;
    every_call(&mut bench).await;
    assert_eq!(bench.checked, contract(), "each call of the contract has one row in the table");
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

    let call = HopRequest {
        network: None,
        target_address: Some("192.0.2.1:443".into()),
        host: Some("example.org:443".into()),
        path: None,
        client_id: None,
        source_address: Some("192.0.2.7:41806".into()),
    };
    bench.row(call, vec![same(None), same(Some(r#"{"name":"n0","addr":"192.0.2.1:8080"}"#.into()))]).await;

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
    let call = ResolveRequest { family: AddressFamily::Any, host: "::1".into(), client_id: None };
    bench.row(call, vec![same(vec![]), addresses()]).await;

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

/// A plugin's reply, and what of it arrives.
struct Said<R> {
    said: R,
    grpc: R,
    http: R,
}

/// Arrives as it was said.
fn same<R: Clone>(reply: R) -> Said<R> {
    Said { said: reply.clone(), grpc: reply.clone(), http: reply }
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

/// Says what it was told to say, and remembers what it was asked.
#[derive(Clone, Default)]
struct Scripted(Arc<Script>);

#[derive(Default)]
struct Script {
    says: Mutex<Option<Box<dyn Any + Send>>>,
    asked: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<C: Call> Plugin<C> for Scripted {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        *self.0.asked.lock().unwrap() = Some(Box::new((*call).clone()));
        let says = self.0.says.lock().unwrap();
        says.as_ref().and_then(|says| says.downcast_ref::<Result<C::Reply, CallError>>()).unwrap().clone()
    }
}

impl Scripted {
    fn say<C: Call>(&self, says: Result<C::Reply, CallError>) {
        *self.0.says.lock().unwrap() = Some(Box::new(says));
    }

    /// What was asked last.
    fn asked<C: Call>(&self) -> Option<C> {
        self.0.asked.lock().unwrap().take().and_then(|call| call.downcast().ok()).map(|call| *call)
    }
}

/// A scripted plugin, and both servers of it.
struct Bench {
    plugin: Scripted,
    grpc: GrpcBridge,
    http: Url,
    nobody: u16,
    checked: BTreeSet<(String, String)>,
    _servers: DropGuard,
}

impl Bench {
    async fn start() -> Self {
        let plugin = Scripted::default();
        let server = Server::new(plugin.clone(), Module::ALL, Options::default());
        let [a, b] = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let (grpc, http) = (grpc(a.local_addr().unwrap().port()), url(b.local_addr().unwrap().port()));
        let shutdown = CancellationToken::new();
        tokio::spawn(Arc::clone(&server).serve_grpc(a, shutdown.clone()));
        tokio::spawn(server.serve_http(b, shutdown.clone()));
        let nobody = unused_addr().port();
        Self { plugin, grpc, http, nobody, checked: BTreeSet::new(), _servers: shutdown.drop_guard() }
    }

    /// Asks `call` in every way, for each reply and each failure.
    async fn row<C: GrpcCall + HttpCall + Debug>(&mut self, call: C, replies: Vec<Said<C::Reply>>)
    where
        C::Reply: Debug,
    {
        let name = (C::MODULE.interface().to_owned(), C::FUNCTION.to_owned());
        let call = Arc::new(call);
        let http = http(self.http.join(C::MODULE.as_str()).unwrap());

        for Said { said, grpc, http: over_http } in replies {
            self.plugin.say::<C>(Ok(said.clone()));
            let answers = self.ask(&http, &call).await.map(Result::unwrap);
            assert_eq!(answers, [said, grpc, over_http], "{name:?}");
        }

        // A plugin that can't be reached by a server that can: the server declines. Only `nobody` can't be reached.
        for kind in ErrorKind::ALL.into_iter().filter(|kind| *kind != ErrorKind::Unavailable) {
            self.plugin.say::<C>(Err(CallError::new(kind, "on purpose")));
            let [direct, over_grpc, over_http] = self.ask(&http, &call).await;
            // A server that has to answer for GOST's sake knows nothing of the operator's choice.
            let chosen = |answers: bool, on_error| if answers { None } else { on_error };
            for on_error in [None, Some(OnError::Deny), Some(OnError::Allow)] {
                let directly = |answers| meaning(&*call, &direct, chosen(answers, on_error));
                let answers = <C as GrpcCall>::failure_reply().is_some();
                assert_eq!(meaning(&*call, &over_grpc, on_error), directly(answers), "{name:?} {kind:?} {on_error:?}");
                let answers = <C as HttpCall>::failure_reply().is_some();
                assert_eq!(meaning(&*call, &over_http, on_error), directly(answers), "{name:?} {kind:?} {on_error:?}");
            }
        }

        for reply in [grpc(self.nobody).call(Arc::clone(&call)).await, self::http(url(self.nobody)).call(call).await] {
            assert_eq!(reply.unwrap_err().kind(), ErrorKind::Unavailable, "{name:?}");
        }
        assert!(self.checked.insert(name.clone()), "{name:?} has two rows");
    }

    /// Directly, over gRPC, over HTTP: each time the plugin is asked the same.
    async fn ask<C: GrpcCall + HttpCall + Debug>(
        &self,
        http: &HttpBridge,
        call: &Arc<C>,
    ) -> [Result<C::Reply, CallError>; 3] {
        let direct = self.plugin.call(Arc::clone(call)).await;
        assert_eq!(self.plugin.asked::<C>().as_ref(), Some(&**call), "directly");
        let over_grpc = self.grpc.call(Arc::clone(call)).await;
        assert_eq!(self.plugin.asked::<C>().as_ref(), Some(&**call), "gRPC");
        let over_http = http.call(Arc::clone(call)).await;
        assert_eq!(self.plugin.asked::<C>().as_ref(), Some(&**call), "HTTP");
        [direct, over_grpc, over_http]
    }
}

/// What a module makes of a reply.
fn meaning<C: Call>(
    call: &C,
    reply: &Result<C::Reply, CallError>,
    on_error: Option<OnError>,
) -> Result<C::Reply, &'static str> {
    match reply {
        Ok(reply) => Ok(reply.clone()),
        Err(error) => call.on_failure(on_error, error.kind()).ok_or("an error"),
    }
}

fn grpc(port: u16) -> GrpcBridge {
    GrpcBridge::new(GrpcSettings {
        target: Target::Tcp("127.0.0.1".into(), port),
        tls: None,
        token: None,
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        max_reply: 1 << 20,
    })
    .unwrap()
}

fn http(url: Url) -> HttpBridge {
    let connect_timeout = Duration::from_secs(5);
    HttpBridge::new(HttpSettings { url, tls: None, token: None, connect_timeout, max_reply: 1 << 20 }).unwrap()
}

fn url(port: u16) -> Url {
    format!("http://127.0.0.1:{port}/").parse().unwrap()
}
