//! The policies around real plugin servers that hang, decline, die and come back: what the server sees, what the caller gets,
//! and what is counted.

#![allow(clippy::unwrap_used, reason = "a test stops by panicking")]
#![allow(clippy::print_stdout, reason = "a table says which row it is at; shown when a test fails")]

use std::any::Any;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drawspan_plugin_client::{
    BackingSettings, CacheSettings, GrpcSettings, HttpSettings, Metrics, PluginCall, PluginClient, PluginSettings,
    ShadowSettings, Target, TlsSettings,
};
use drawspan_plugin_serve::{Options, Server};
use drawspan_testkit::{Authority, Misbehaviour, PATIENCE, Stuck, eventually, misbehaving, unused_addr};
use drawspan_wit::admission::{AdmissionRequest, Verdict};
use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use drawspan_wit::hop::HopRequest;
use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::traffic_limiter::{LimitRequest, LimitScope, Rates};
use drawspan_wit::types::AddressFamily;
use drawspan_wit::{Call, CallError, ErrorKind, Module, OnError, Plugin};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Grpc,
    Http,
}

use Protocol::{Grpc, Http};

const BOTH: [Protocol; 2] = [Grpc, Http];

impl Protocol {
    /// A block without policies for who answers `C` at `addr`.
    fn at<C: Call>(self, addr: SocketAddr, tls: bool) -> PluginSettings {
        let tls = tls.then(TlsSettings::default);
        let backing = match self {
            Grpc => BackingSettings::Grpc(GrpcSettings {
                target: Target::Tcp(addr.ip().to_string(), addr.port()),
                tls,
                token: None,
                timeout: LONG,
                connect_timeout: PATIENCE,
                max_reply: 1 << 20,
            }),
            Http => BackingSettings::Http(HttpSettings {
                url: format!("http{}://{addr}/{}", if tls.is_some() { "s" } else { "" }, C::MODULE.as_str())
                    .parse()
                    .unwrap(),
                tls,
                token: None,
                connect_timeout: PATIENCE,
                max_reply: 1 << 20,
            }),
        };
        PluginSettings { timeout: LONG, ..PluginSettings::new("plugin-0", C::MODULE, backing) }
    }
}

/// Gives one reply, or declines; counts how often it was asked; and may wait for a permit before each answer.
#[derive(Clone)]
struct Scripted(Arc<Script>);

struct Script {
    reply: Option<Box<dyn Any + Send + Sync>>,
    gate: Option<Semaphore>,
    asked: AtomicUsize,
}

impl<C: Call> Plugin<C> for Scripted {
    async fn call(&self, _: Arc<C>) -> Result<C::Reply, CallError> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(gate) = &self.0.gate {
            gate.acquire().await.unwrap().forget();
        }
        let reply = self.0.reply.as_ref().and_then(|reply| reply.downcast_ref::<C::Reply>());
        reply.cloned().ok_or_else(|| CallError::new(ErrorKind::Refused, "on purpose"))
    }
}

/// A plugin server over one protocol.
struct Peer {
    protocol: Protocol,
    addr: SocketAddr,
    script: Arc<Script>,
    _stop: DropGuard,
}

impl Peer {
    async fn answering<R: Any + Send + Sync>(protocol: Protocol, reply: R) -> Self {
        Self::start(protocol, Some(Box::new(reply)), None, None).await
    }

    async fn declining(protocol: Protocol) -> Self {
        Self::start(protocol, None, None, None).await
    }

    /// Answers when there is a permit.
    async fn held<R: Any + Send + Sync>(protocol: Protocol, reply: R) -> Self {
        Self::start(protocol, Some(Box::new(reply)), Some(Semaphore::new(0)), None).await
    }

    /// With TLS, at `addr`.
    async fn secured<R: Any + Send + Sync>(protocol: Protocol, reply: R, addr: SocketAddr) -> Self {
        Self::start(protocol, Some(Box::new(reply)), None, Some(addr)).await
    }

    async fn start(
        protocol: Protocol,
        reply: Option<Box<dyn Any + Send + Sync>>,
        gate: Option<Semaphore>,
        secured: Option<SocketAddr>,
    ) -> Self {
        let script = Arc::new(Script { reply, gate, asked: AtomicUsize::new(0) });
        let tls = secured.map(|_| Authority::new().issue("127.0.0.1").server(&[]));
        let options = Options { tls, ..Options::default() };
        let server = Server::new(Scripted(Arc::clone(&script)), Module::ALL, options);
        let listener = TcpListener::bind(secured.unwrap_or(([127, 0, 0, 1], 0).into())).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        match protocol {
            Grpc => tokio::spawn(server.serve_grpc(listener, shutdown.clone())),
            Http => tokio::spawn(server.serve_http(listener, shutdown.clone())),
        };
        Self { protocol, addr, script, _stop: shutdown.drop_guard() }
    }

    fn asked(&self) -> usize {
        self.script.asked.load(Ordering::Relaxed)
    }

    async fn is_asked(&self, times: usize) {
        eventually("the server to be asked", PATIENCE, async || (self.asked() >= times).then_some(())).await;
    }

    fn answer(&self, times: usize) {
        self.script.gate.as_ref().unwrap().add_permits(times);
    }

    fn settings<C: Call>(&self) -> PluginSettings {
        self.protocol.at::<C>(self.addr, false)
    }
}

/// A client with the metrics that it writes.
struct Client {
    plugin: Arc<PluginClient>,
    registry: Registry,
    labels: String,
}

impl Client {
    async fn new(settings: PluginSettings) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let labels =
            format!(r#"plugin="plugin-0",module="{}",backing="{}""#, settings.module.as_str(), settings.backing.kind());
        Self { plugin: Arc::new(PluginClient::load(settings, &metrics).await.unwrap()), registry, labels }
    }

    async fn ask<C: PluginCall>(&self, call: &C) -> Result<C::Reply, ErrorKind> {
        self.plugin.call(Arc::new(call.clone())).await.map_err(|error| error.kind())
    }

    /// The value of `drawspan_plugin_<name>`, with these labels besides the plugin's.
    fn counted(&self, name: &str, more: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let start = format!("drawspan_plugin_{name}{{{}{more}}} ", self.labels);
        let value = text.lines().find_map(|line| line.strip_prefix(&start));
        value.unwrap_or_else(|| panic!("{start} is not in\n{text}")).parse().unwrap()
    }
}

fn lookup() -> LookupRequest {
    LookupRequest { family: AddressFamily::Any, host: "a.test".into(), client_id: None }
}

fn addresses() -> Vec<String> {
    vec!["192.0.2.1".into()]
}

fn authenticate() -> AuthenticationRequest {
    AuthenticationRequest {
        username: "alice".into(),
        password: "wonder".into(),
        client_address: None,
        service: "service-0".into(),
        certificate: None,
    }
}

fn identity(client_id: &str) -> Option<Identity> {
    Some(Identity { client_id: client_id.into() })
}

fn set_rule() -> SetRuleRequest {
    SetRuleRequest { host: "a.test".into(), endpoint: "b".into(), service: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_repeated_while_no_connection_can_be_made_and_nothing_else_is() {
    // A connection that can't be made secure is one that can't be made.
    let server = misbehaving(Misbehaviour::Garbage).await;
    let connections = async |retries| {
        let before = server.accepted();
        let settings = |backing| PluginSettings { retries, ..backing };
        let question = Client::new(settings(settings_of::<ResolveRequest>(&server))).await;
        let resolve = ResolveRequest { family: AddressFamily::Any, host: "a.test".into(), client_id: None };
        assert_eq!(question.ask(&resolve).await, Err(ErrorKind::Unavailable));
        assert_eq!(question.counted("calls_total", ""), 1);
        assert_eq!(question.counted("errors_total", r#",kind="unavailable""#), 1);
        let questions = server.accepted() - before;
        let auther = Client::new(settings(settings_of::<AuthenticationRequest>(&server))).await;
        assert_eq!(auther.ask(&authenticate()).await, Ok(None));
        let message = Client::new(settings(settings_of::<SetRuleRequest>(&server))).await;
        assert_eq!(message.ask(&set_rule()).await, Err(ErrorKind::Unavailable));
        assert_eq!(server.accepted() - before - questions, 2);
        questions
    };
    assert_eq!(connections(0).await, 1);
    assert_eq!(connections(3).await, 4);
}

/// Over HTTP, where each attempt is a connection; gRPC pauses between connections.
fn settings_of<C: Call>(server: &drawspan_testkit::Server) -> PluginSettings {
    Http.at::<C>(server.addr(), true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_outlives_the_restart_of_its_server() {
    for protocol in BOTH {
        println!("{protocol:?}");
        let broken = misbehaving(Misbehaviour::Garbage).await;
        let addr = broken.addr();
        let client = Client::new(PluginSettings { retries: 10, ..protocol.at::<LookupRequest>(addr, true) }).await;
        let restart = async {
            eventually("a first attempt", PATIENCE, async || (broken.accepted() > 0).then_some(())).await;
            broken.stop().await;
            Peer::secured(protocol, addresses(), addr).await
        };
        let question = lookup();
        let (reply, peer) = tokio::join!(client.ask(&question), restart);
        assert_eq!((reply, peer.asked()), (Ok(addresses()), 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reached_a_server_is_not_repeated() {
    for protocol in BOTH {
        println!("{protocol:?}");
        let declining = Peer::declining(protocol).await;
        let client = Client::new(PluginSettings { retries: 10, ..declining.settings::<ResolveRequest>() }).await;
        let resolve = ResolveRequest { family: AddressFamily::Any, host: "a.test".into(), client_id: None };
        assert_eq!(client.ask(&resolve).await, Err(ErrorKind::Refused));
        assert_eq!(declining.asked(), 1);

        let hanging = Peer::held(protocol, addresses()).await;
        let client =
            Client::new(PluginSettings { retries: 10, timeout: SHORT, ..hanging.settings::<ResolveRequest>() }).await;
        assert_eq!(client.ask(&resolve).await, Err(ErrorKind::Deadline));
        assert_eq!(client.counted("errors_total", r#",kind="deadline""#), 1);
        assert_eq!(hanging.asked(), 1);

        for wrong in [Misbehaviour::Garbage, Misbehaviour::Reset] {
            let server = misbehaving(wrong).await;
            let settings = protocol.at::<ResolveRequest>(server.addr(), false);
            let client = Client::new(PluginSettings { retries: 10, ..settings }).await;
            assert_eq!(client.ask(&resolve).await, Err(ErrorKind::BadReply));
            assert_eq!(server.accepted(), 1, "{wrong:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_fails_at_once() {
    for protocol in BOTH {
        println!("{protocol:?}");
        let peer = Peer::held(protocol, addresses()).await;
        let client = Client::new(PluginSettings { concurrency: 2, ..peer.settings::<ResolveRequest>() }).await;
        let resolve = ResolveRequest { family: AddressFamily::Any, host: "a.test".into(), client_id: None };
        let third = async {
            peer.is_asked(2).await;
            let reply = client.ask(&resolve).await;
            assert_eq!(client.counted("calls_in_flight", ""), 2);
            peer.answer(2);
            reply
        };
        let replies = tokio::join!(client.ask(&resolve), client.ask(&resolve), third);
        assert_eq!(replies, (Ok(addresses()), Ok(addresses()), Err(ErrorKind::Overloaded)));
        assert_eq!((peer.asked(), client.counted("errors_total", r#",kind="overloaded""#)), (2, 1));
        assert_eq!(client.counted("calls_in_flight", ""), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_replies_are_counted_and_messages_are_not_kept() {
    let cache = |ttl, negative_ttl| Some(CacheSettings { ttl, negative_ttl, size: 100 });
    for protocol in BOTH {
        for (reply, cache, asked) in [
            (addresses(), None, 3),
            (addresses(), cache(LONG, Duration::ZERO), 1),
            (vec![], cache(LONG, Duration::ZERO), 3),
            (vec![], cache(LONG, LONG), 1),
        ] {
            println!("{protocol:?} {reply:?} {cache:?}");
            let peer = Peer::answering(protocol, reply.clone()).await;
            let client = Client::new(PluginSettings { cache, ..peer.settings::<LookupRequest>() }).await;
            for _ in 0..3 {
                assert_eq!(client.ask(&lookup()).await, Ok(reply.clone()));
            }
            assert_eq!(peer.asked(), asked);
            if cache.is_some() {
                assert_eq!(client.counted("cache_misses_total", ""), asked as u64);
                assert_eq!(client.counted("cache_hits_total", ""), 3 - asked as u64);
            }
        }

        // What is no answer isn't kept: the server is asked again.
        let peer = Peer::declining(protocol).await;
        let client =
            Client::new(PluginSettings { cache: cache(LONG, LONG), ..peer.settings::<ResolveRequest>() }).await;
        let resolve = ResolveRequest { family: AddressFamily::Any, host: "a.test".into(), client_id: None };
        for asked in [1, 2] {
            assert_eq!(client.ask(&resolve).await, Err(ErrorKind::Refused));
            assert_eq!(peer.asked(), asked);
        }

        let rule = Some("b".to_owned());
        let peer = Peer::answering(protocol, rule.clone()).await;
        let client =
            Client::new(PluginSettings { cache: cache(LONG, LONG), ..peer.settings::<GetRuleRequest>() }).await;
        let get = |host: &str| GetRuleRequest { host: host.into(), service: None };
        for host in ["a.test", "a.test", "b.test"] {
            assert_eq!(client.ask(&get(host)).await, Ok(rule.clone()));
        }
        assert_eq!(peer.asked(), 2);
        for asked in [3, 4] {
            // Declined: the peer has no reply of that type. It is asked all the same.
            assert_eq!(client.ask(&set_rule()).await, Err(ErrorKind::Refused));
            assert_eq!(peer.asked(), asked);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_questions_at_the_same_time_are_asked_once() {
    for protocol in BOTH {
        println!("{protocol:?}");
        let peer = Peer::held(protocol, addresses()).await;
        let cache = Some(CacheSettings { ttl: LONG, negative_ttl: LONG, size: 100 });
        let client = Arc::new(Client::new(PluginSettings { cache, ..peer.settings::<LookupRequest>() }).await);
        let calls: Vec<_> = (0..64).map(|_| Arc::clone(&client)).collect();
        let calls: Vec<_> =
            calls.into_iter().map(|client| tokio::spawn(async move { client.ask(&lookup()).await })).collect();
        eventually("all to wait", PATIENCE, async || (client.counted("calls_in_flight", "") == 64).then_some(())).await;
        peer.is_asked(1).await;
        // There is no second permit for a second question.
        peer.answer(1);
        for call in calls {
            assert_eq!(call.await.unwrap(), Ok(addresses()));
        }
        assert_eq!(peer.asked(), 1);
        assert_eq!((client.counted("cache_misses_total", ""), client.counted("cache_hits_total", "")), (1, 63));
    }
}

fn shadowed(peer: &Peer, shadow: &Peer) -> PluginSettings {
    shadowed_by(peer, shadow.settings::<AuthenticationRequest>())
}

fn shadowed_by(peer: &Peer, shadow: PluginSettings) -> PluginSettings {
    let plugin = PluginSettings { name: "plugin-0.shadow".into(), ..shadow };
    let shadow = Some(Box::new(ShadowSettings { plugin, sample: 1.0 }));
    PluginSettings { shadow, ..peer.settings::<AuthenticationRequest>() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shadow_says_is_counted() {
    for protocol in BOTH {
        let peer = Peer::answering(protocol, identity("alice")).await;
        for (shadow, outcome) in [
            (Peer::answering(protocol, identity("alice")).await, "match"),
            (Peer::answering(protocol, identity("bob")).await, "difference"),
            (Peer::answering(protocol, None::<Identity>).await, "difference"),
            (Peer::declining(protocol).await, "error"),
        ] {
            println!("{protocol:?} {outcome}");
            let client = Client::new(shadowed(&peer, &shadow)).await;
            assert_eq!(client.ask(&authenticate()).await, Ok(identity("alice")));
            let count = |of: &str| client.counted("shadows_total", &format!(r#",outcome="{of}""#));
            eventually("the outcome to be counted", PATIENCE, async || (count(outcome) == 1).then_some(())).await;
            let all: u64 = ["match", "difference", "error", "dropped"].map(count).iter().sum();
            assert_eq!((all, shadow.asked()), (1, 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_is_slow_wrong_or_dead_is_an_error_of_its_own() {
    for protocol in BOTH {
        let peer = Peer::answering(protocol, identity("alice")).await;
        let dead = unused_addr();
        let mut shadows = vec![(None, dead)];
        for wrong in [Misbehaviour::Hold, Misbehaviour::Garbage, Misbehaviour::Reset, Misbehaviour::ResetAtOnce] {
            let server = misbehaving(wrong).await;
            let addr = server.addr();
            shadows.push((Some((wrong, server)), addr));
        }
        for (wrong, addr) in &shadows {
            println!("{protocol:?} {:?}", wrong.as_ref().map(|wrong| wrong.0));
            let settings = protocol.at::<AuthenticationRequest>(*addr, false);
            let client = Client::new(shadowed_by(&peer, PluginSettings { timeout: SHORT, ..settings })).await;
            let count = |of: &str| client.counted("shadows_total", &format!(r#",outcome="{of}""#));
            for asked in 1..=3 {
                assert_eq!(client.ask(&authenticate()).await, Ok(identity("alice")));
                eventually("an error", PATIENCE, async || (count("error") == asked).then_some(())).await;
            }
            assert_eq!(client.counted("errors_total", r#",kind="bad_reply""#), 0);
        }

        // One that comes back is compared again.
        let client = Client::new(shadowed_by(&peer, protocol.at::<AuthenticationRequest>(dead, true))).await;
        let count = |of: &str| client.counted("shadows_total", &format!(r#",outcome="{of}""#));
        assert_eq!(client.ask(&authenticate()).await, Ok(identity("alice")));
        eventually("an error", PATIENCE, async || (count("error") == 1).then_some(())).await;
        let _back = Peer::secured(protocol, identity("alice"), dead).await;
        eventually("a match", PATIENCE, async || {
            assert_eq!(client.ask(&authenticate()).await, Ok(identity("alice")));
            (count("match") > 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_though_their_shadow_never_answered_anything() {
    for protocol in BOTH {
        println!("{protocol:?}");
        let peer = Peer::answering(protocol, identity("alice")).await;
        let shadow = Peer::held(protocol, identity("alice")).await;
        let client = Client::new(shadowed(&peer, &shadow)).await;
        assert_eq!(client.ask(&authenticate()).await, Ok(identity("alice")));
        shadow.is_asked(1).await;
        for _ in 0..99 {
            assert_eq!(client.ask(&authenticate()).await, Ok(identity("alice")));
        }
        let count = |of: &str| client.counted("shadows_total", &format!(r#",outcome="{of}""#));
        // One is being asked, 64 wait for it.
        assert_eq!(["match", "difference", "error", "dropped"].map(count), [0, 0, 0, 100 - 1 - 64]);
        assert_eq!((peer.asked(), shadow.asked()), (100, 1));

        // It wasn't in the way of itself either: as soon as it answers, those that wait are compared.
        shadow.answer(65);
        eventually("the queue to be worked through", PATIENCE, async || (count("match") == 65).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lets_nobody_in_has_a_fallback_for_a_server_that_says_nothing_at_all() {
    let stuck = Stuck::start().await;
    for protocol in BOTH {
        println!("{protocol:?}");
        let fallback = Peer::answering(protocol, addresses()).await;
        let mut silent = protocol.at::<LookupRequest>(stuck.addr(), false);
        match &mut silent.backing {
            BackingSettings::Grpc(settings) => settings.connect_timeout = SHORT,
            BackingSettings::Http(settings) => settings.connect_timeout = SHORT,
            BackingSettings::Wasm(..) => unreachable!("it has a protocol"),
        }
        let second = PluginSettings { name: "plugin-0.fallback".into(), ..fallback.settings::<LookupRequest>() };
        let block = PluginSettings { fallback: Some(Box::new(second)), ..silent };
        let client = Client::new(block).await;
        assert_eq!(client.ask(&lookup()).await, Ok(addresses()));
        assert_eq!((client.counted("fallbacks_total", ""), fallback.asked()), (1, 1));
    }
}

/// What a caller gets of a server that declines and of none, without `onError`, with `deny` and with `allow`.
async fn failing<C: PluginCall>(
    call: C,
    declined: [Result<C::Reply, ErrorKind>; 3],
    away: [Result<C::Reply, ErrorKind>; 3],
) where
    C::Reply: Debug,
{
    for protocol in BOTH {
        let peer = Peer::declining(protocol).await;
        for (i, on_error) in [None, Some(OnError::Deny), Some(OnError::Allow)].into_iter().enumerate() {
            println!("{} {protocol:?} {on_error:?}", C::FUNCTION);
            let client = Client::new(PluginSettings { on_error, ..peer.settings::<C>() }).await;
            assert_eq!(client.ask(&call).await, declined[i]);
            let nobody = protocol.at::<C>(unused_addr(), false);
            let client = Client::new(PluginSettings { on_error, ..nobody }).await;
            assert_eq!(client.ask(&call).await, away[i]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_error_decides_where_it_may() {
    const REFUSED: ErrorKind = ErrorKind::Refused;
    const AWAY: ErrorKind = ErrorKind::Unavailable;
    failing(authenticate(), [Ok(None), Ok(None), Ok(None)], [Ok(None), Ok(None), Ok(identity(""))]).await;

    let call = AdmissionRequest { network: "tcp".into(), client_address: "192.0.2.7:1".into(), service: None };
    let (yes, no) = (Ok(Verdict::Admitted), Ok(Verdict::Denied));
    failing(call, [no, no, no], [no, no, yes]).await;

    let call = LookupRequest { client_id: Some("alice".into()), ..lookup() };
    let nothing = || Ok(vec![]);
    failing(call, [nothing(), Err(REFUSED), nothing()], [nothing(), Err(AWAY), nothing()]).await;

    let call = HopRequest {
        network: None,
        target_address: None,
        host: Some("a.test:80".into()),
        path: None,
        client_id: None,
        source_address: None,
    };
    // The server answers by a node that nobody can dial, for GOST's sake.
    const NO_NODE: ErrorKind = ErrorKind::BadReply;
    failing(call, [Err(NO_NODE), Err(NO_NODE), Ok(None)], [Err(AWAY), Err(AWAY), Ok(None)]).await;

    let call = LimitRequest {
        scope: LimitScope::Client,
        service: "service-0".into(),
        network: "tcp".into(),
        target_address: None,
        client_id: None,
        source_address: None,
    };
    let (none, zero) = (Rates { upload: None, download: None }, Rates { upload: Some(0), download: Some(0) });
    failing(call, [Ok(none), Ok(zero), Ok(none)], [Ok(none), Ok(zero), Ok(none)]).await;
}
