//! What a row of the table is put through.
//!
//! One script is played by two plugins: the component `scripted.wasm`, which reads it from its config, and [`Scripted`] behind
//! a gRPC and an HTTP server. Both decline if they are asked something else than the script says.

use std::any::Any;
use std::collections::{BTreeSet, HashSet};
use std::fmt::Debug;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drawspan_bridge_grpc::GrpcCall;
use drawspan_bridge_http::HttpCall;
use drawspan_plugin_client::{
    BackingSettings, Bare, Engine, GrpcSettings, HttpSettings, Metrics, PluginCall, PluginClient, PluginSettings,
    Target, WasmSettings,
};
use drawspan_plugin_serve::{AnyPlugin, Options, Server};
use drawspan_testkit::{Misbehaviour, misbehaving, unused_addr};
use drawspan_wit::types::PluginError;
use drawspan_wit::{Call, CallError, ErrorKind, Module, OnError, Plugin, Refusal};
use prometheus_client::registry::Registry;
use serde::Serialize;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Far more than any call here needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest reply, in bytes.
pub(crate) const MAX_REPLY: usize = 2 << 20;
/// The memory of a component, in bytes.
pub(crate) const MEMORY: usize = 64 << 20;

/// A plugin's reply, and what of it arrives over GOST's protocols.
pub(crate) struct Said<R> {
    pub(crate) said: R,
    pub(crate) grpc: R,
    pub(crate) http: R,
}

/// Arrives as it was said.
pub(crate) fn same<R: Clone>(reply: R) -> Said<R> {
    Said { said: reply.clone(), grpc: reply.clone(), http: reply }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Grpc,
    Http,
    Wasm,
}

impl Over {
    pub(crate) const ALL: [Self; 3] = [Self::Grpc, Self::Http, Self::Wasm];
}

/// One call, as the guest reads it: see `tests/guests/scripted`.
#[derive(Clone, Serialize)]
pub(crate) struct Scene<C: Call> {
    pub(crate) asked: C,
    pub(crate) answer: Answer<C::Reply>,
}

#[derive(Clone, Serialize)]
pub(crate) enum Answer<R> {
    Reply(R),
    Error(PluginError),
    Trap,
    Spin,
}

/// How a call fails.
#[derive(Clone, Copy, Debug)]
enum Failure {
    InvalidRequest,
    PluginUnavailable,
    PluginFailed,
    Trap,
    Deadline,
    Overload,
    BadReply,
    Unreachable,
}

impl Failure {
    const ALL: [Self; 8] = [
        Self::InvalidRequest,
        Self::PluginUnavailable,
        Self::PluginFailed,
        Self::Trap,
        Self::Deadline,
        Self::Overload,
        Self::BadReply,
        Self::Unreachable,
    ];

    /// As what it arrives; `None` where it can't happen.
    fn arrives(self, over: Over) -> Option<ErrorKind> {
        Some(match (self, over) {
            (Self::InvalidRequest | Self::PluginUnavailable | Self::PluginFailed, _) => ErrorKind::Refused,
            (Self::Trap, Over::Wasm) => ErrorKind::Trapped,
            // The server is well, and says that its plugin isn't.
            (Self::Trap, _) => ErrorKind::Refused,
            (Self::Deadline, _) => ErrorKind::Deadline,
            (Self::Overload, _) => ErrorKind::Overloaded,
            (Self::BadReply, _) => ErrorKind::BadReply,
            (Self::Unreachable, Over::Wasm) => return None,
            (Self::Unreachable, _) => ErrorKind::Unavailable,
        })
    }

    /// What arrives of a server that answers in the plugin's place, for GOST's sake, if `over` has one: an answer, or one that
    /// can't be used.
    fn answered<C: PluginCall>(self, over: Over) -> Option<Result<(), ErrorKind>> {
        let told = matches!(self, Self::InvalidRequest | Self::PluginUnavailable | Self::PluginFailed | Self::Trap);
        let reply = match over {
            Over::Grpc => <C as GrpcCall>::failure_reply().map(<C as GrpcCall>::decode),
            Over::Http => <C as HttpCall>::failure_reply().map(|body| <C as HttpCall>::decode(&body)),
            Over::Wasm => None,
        };
        reply.filter(|_| told).map(|reply| reply.map(drop).map_err(|error| error.kind()))
    }

    fn answer<R>(self) -> Answer<R> {
        match self {
            Self::InvalidRequest => Answer::Error(PluginError::InvalidRequest("on purpose".into())),
            Self::PluginUnavailable => Answer::Error(PluginError::Unavailable("on purpose".into())),
            Self::PluginFailed => Answer::Error(PluginError::Failed("on purpose".into())),
            // A component can't send nonsense, but too much.
            Self::BadReply => Answer::Error(PluginError::Failed("x".repeat(2 * SMALL_REPLY))),
            Self::Trap => Answer::Trap,
            Self::Deadline | Self::Overload | Self::Unreachable => Answer::Spin,
        }
    }
}

/// A limit of replies that [`Failure::BadReply`] exceeds.
const SMALL_REPLY: usize = 1024;

/// Plays a [`Scene`], as the guest does.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl<C: Call> Plugin<C> for Scripted {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let scene = self.0.lock().unwrap().as_ref().and_then(|scene| scene.downcast_ref::<Scene<C>>()).cloned();
        let Some(scene) = scene.filter(|scene| scene.asked == *call) else {
            return Err(CallError::refused(Refusal::InvalidRequest, "asked something else"));
        };
        match scene.answer {
            Answer::Reply(reply) => Ok(reply),
            Answer::Error(PluginError::InvalidRequest(text)) => Err(CallError::refused(Refusal::InvalidRequest, text)),
            Answer::Error(PluginError::Unavailable(text)) => Err(CallError::refused(Refusal::Unavailable, text)),
            Answer::Error(PluginError::Failed(text)) => Err(CallError::refused(Refusal::Failed, text)),
            Answer::Trap => Err(CallError::new(ErrorKind::Trapped, "on purpose")),
            Answer::Spin => pending().await,
        }
    }
}

/// Where a gRPC and an HTTP server listen.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) grpc: u16,
    pub(crate) http: u16,
}

impl Ports {
    /// Serves `plugin` until the guard is dropped.
    pub(crate) async fn serve(plugin: impl AnyPlugin, modules: &[Module]) -> (Self, DropGuard) {
        let server = Server::new(plugin, modules.iter().copied(), Options::default());
        let [a, b] = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let ports = Self { grpc: a.local_addr().unwrap().port(), http: b.local_addr().unwrap().port() };
        let shutdown = CancellationToken::new();
        tokio::spawn(Arc::clone(&server).serve_grpc(a, shutdown.clone()));
        tokio::spawn(server.serve_http(b, shutdown.clone()));
        (ports, shutdown.drop_guard())
    }
}

/// Both plugins, and servers that are none.
pub(crate) struct Bench {
    plugin: Scripted,
    served: Ports,
    nobody: Ports,
    garbage: Ports,
    engine: Engine,
    metrics: Metrics,
    checked: BTreeSet<(String, String)>,
    heeding: HashSet<Module>,
    _servers: (DropGuard, drawspan_testkit::Server, TempDir),
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let plugin = Scripted::default();
        let (served, serving) = Ports::serve(plugin.clone(), &Module::ALL).await;
        let garbage = misbehaving(Misbehaviour::Garbage).await;
        let both = |port| Ports { grpc: port, http: port };
        // The component is loaded often, and compiled once.
        let cache = tempfile::tempdir().unwrap();
        Self {
            plugin,
            served,
            nobody: both(unused_addr().port()),
            garbage: both(garbage.addr().port()),
            engine: Engine::new(Some(cache.path().join("cache"))).unwrap(),
            metrics: Metrics::register(&mut Registry::default()),
            checked: BTreeSet::new(),
            heeding: HashSet::new(),
            _servers: (serving, garbage, cache),
        }
    }

    /// The interface and function of each row so far.
    pub(crate) const fn checked(&self) -> &BTreeSet<(String, String)> {
        &self.checked
    }

    /// The modules of whose rows `onError` changed something.
    pub(crate) const fn heeding(&self) -> &HashSet<Module> {
        &self.heeding
    }

    /// Asks `call` over each backing, for each reply and each failure.
    pub(crate) async fn row<C: PluginCall + Debug>(&mut self, call: C, replies: Vec<Said<C::Reply>>)
    where
        C::Reply: Debug,
    {
        let name = (C::MODULE.interface().to_owned(), C::FUNCTION.to_owned());
        let call = Arc::new(call);
        for Said { said, grpc, http } in replies {
            let scene = Scene { asked: (*call).clone(), answer: Answer::Reply(said.clone()) };
            for (over, arrives) in [(Over::Grpc, grpc), (Over::Http, http), (Over::Wasm, said)] {
                // Once so that no failure can pass for a reply, and once as the gateway asks.
                let bare = self.bare(over, &scene, MAX_REPLY).await.call(Arc::clone(&call)).await;
                assert_eq!(bare.unwrap(), arrives, "{name:?} {over:?}");
                let client = PluginClient::load(self.settings(over, &scene, MAX_REPLY), &self.metrics).await.unwrap();
                assert_eq!(client.call(Arc::clone(&call)).await.unwrap(), arrives, "{name:?} {over:?}");
            }
        }
        for failure in Failure::ALL {
            for over in Over::ALL {
                let Some(kind) = failure.arrives(over) else { continue };
                for on_error in [None, Some(OnError::Deny), Some(OnError::Allow)] {
                    let (kind, chosen) = match failure.answered::<C>(over) {
                        None => (kind, on_error),
                        Some(Err(kind)) => (kind, on_error),
                        // The server knows nothing of our `onError`.
                        Some(Ok(())) => (kind, None),
                    };
                    let means = call.on_failure(chosen, kind).ok_or(kind);
                    if means != call.on_failure(None, kind).ok_or(kind) {
                        self.heeding.insert(C::MODULE);
                    }
                    let result = self.fails(failure, over, &call, on_error).await;
                    assert_eq!(result, means, "{name:?} {failure:?} {over:?} {on_error:?}");
                }
            }
        }
        assert!(self.checked.insert(name.clone()), "{name:?} has two rows");
    }

    /// Asks for a failure.
    async fn fails<C: PluginCall>(
        &self,
        failure: Failure,
        over: Over,
        call: &Arc<C>,
        on_error: Option<OnError>,
    ) -> Result<C::Reply, ErrorKind> {
        let scene = Scene { asked: (**call).clone(), answer: failure.answer() };
        let mut settings = match failure {
            Failure::BadReply => self.at(self.garbage, over, &scene, SMALL_REPLY),
            Failure::Unreachable => self.at(self.nobody, over, &scene, SMALL_REPLY),
            _ => self.settings(over, &scene, MAX_REPLY),
        };
        settings.on_error = on_error;
        match failure {
            Failure::Deadline => settings.timeout = Duration::from_millis(5),
            Failure::Overload => settings.concurrency = 1,
            _ => {}
        }
        let client = PluginClient::load(settings, &self.metrics).await.unwrap();
        let reply = if matches!(failure, Failure::Overload) {
            tokio::select! {
                biased;
                _ = client.call(Arc::clone(call)) => unreachable!("nobody answers"),
                reply = client.call(Arc::clone(call)) => reply,
            }
        } else {
            client.call(Arc::clone(call)).await
        };
        reply.map_err(|error| error.kind())
    }

    /// A plugin that plays `scene`, whose failures are errors. One scene is played at a time.
    pub(crate) async fn bare<C: PluginCall>(&self, over: Over, scene: &Scene<C>, max_reply: usize) -> Bare {
        self.load(self.settings(over, scene, max_reply)).await
    }

    /// A plugin whose failures are errors.
    pub(crate) async fn load(&self, settings: PluginSettings) -> Bare {
        PluginClient::load(settings, &self.metrics).await.unwrap().into()
    }

    pub(crate) fn settings<C: PluginCall>(&self, over: Over, scene: &Scene<C>, max_reply: usize) -> PluginSettings {
        self.at(self.served, over, scene, max_reply)
    }

    pub(crate) fn at<C: PluginCall>(
        &self,
        at: Ports,
        over: Over,
        scene: &Scene<C>,
        max_reply: usize,
    ) -> PluginSettings {
        *self.plugin.0.lock().unwrap() = Some(Box::new(scene.clone()));
        let backing = match over {
            Over::Grpc => BackingSettings::Grpc(GrpcSettings {
                target: Target::Tcp("127.0.0.1".into(), at.grpc),
                tls: None,
                token: None,
                timeout: PATIENCE,
                connect_timeout: PATIENCE,
                max_reply,
            }),
            Over::Http => BackingSettings::Http(HttpSettings {
                url: format!("http://127.0.0.1:{}/{}", at.http, C::MODULE.as_str()).parse().unwrap(),
                tls: None,
                token: None,
                connect_timeout: PATIENCE,
                max_reply,
            }),
            Over::Wasm => BackingSettings::Wasm(component(scene, max_reply), self.engine.clone()),
        };
        PluginSettings { timeout: PATIENCE, ..PluginSettings::new("plugin-0", C::MODULE, backing) }
    }
}

fn component<C: Call>(scene: &Scene<C>, max_reply: usize) -> WasmSettings {
    let key = format!("{}.{}", C::MODULE.interface(), C::FUNCTION);
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/prebuilt/scripted.wasm");
    WasmSettings {
        instances: 2,
        memory: MEMORY,
        config: vec![(key, serde_json::to_string(scene).unwrap())],
        max_reply,
        start_timeout: PATIENCE,
        timeout: PATIENCE,
        ..WasmSettings::new("plugin-0", guest)
    }
}
