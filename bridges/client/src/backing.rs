//! [`Backing`]: one of the three bridges.

use std::fmt;
use std::sync::Arc;

use drawspan_bridge_grpc::{GrpcBridge, GrpcCall, GrpcError, GrpcSettings};
use drawspan_bridge_http::{HttpBridge, HttpCall, HttpError, HttpSettings};
use drawspan_bridge_wasm::{Engine, LoadError, WasmBridge, WasmSettings};
use drawspan_wit::admission::AdmissionRequest;
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::bypass::BypassRequest;
use drawspan_wit::hop::HopRequest;
use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::observer::ObserveRequest;
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::router::RouteRequest;
use drawspan_wit::service_discovery::{DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest};
use drawspan_wit::traffic_limiter::LimitRequest;
use drawspan_wit::{CallError, Module, Plugin};

/// A call that every bridge can answer.
pub trait PluginCall: GrpcCall + HttpCall {}
impl<C: GrpcCall + HttpCall> PluginCall for C {}

/// What answers, and how to reach it.
#[derive(Clone)]
pub enum BackingSettings {
    /// A gRPC plugin server.
    Grpc(GrpcSettings),
    /// An HTTP plugin server.
    Http(HttpSettings),
    /// A component, and the engine that runs it.
    Wasm(WasmSettings, Engine),
}

impl BackingSettings {
    /// `grpc`, `http` or `wasm`, as in the config.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Grpc(_) => "grpc",
            Self::Http(_) => "http",
            Self::Wasm(..) => "wasm",
        }
    }
}

/// The address as logs show it: with a scheme, without credentials.
impl fmt::Display for BackingSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc(settings) => match &settings.tls {
                Some(_) => write!(f, "grpcs://{}", settings.target),
                None => write!(f, "grpc://{}", settings.target),
            },
            Self::Http(settings) => f.write_str(&settings.redacted_url()),
            Self::Wasm(settings, _) => write!(f, "wasm:{}", settings.path.display()),
        }
    }
}

/// Why a plugin can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum BackingError {
    /// A gRPC plugin.
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    /// An HTTP plugin.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A component.
    #[error(transparent)]
    Wasm(#[from] LoadError),
    /// A cache, without the random key that it needs.
    #[error("no random numbers for the cache: {0}")]
    Random(#[from] getrandom::Error),
}

/// One of the three bridges.
#[allow(clippy::large_enum_variant, reason = "there is one per plugin")]
pub enum Backing {
    /// Asks a gRPC plugin server.
    Grpc(GrpcBridge),
    /// Asks an HTTP plugin server.
    Http(HttpBridge),
    /// Asks a component.
    Wasm(WasmBridge),
}

impl Backing {
    /// Makes ready to answer every call of `modules`. Servers aren't contacted; a component is compiled and started.
    ///
    /// # Errors
    /// When the settings can't be used, or the component doesn't export all of `modules`.
    pub async fn load(settings: BackingSettings, modules: &[Module]) -> Result<Self, BackingError> {
        Ok(match settings {
            BackingSettings::Grpc(settings) => Self::Grpc(GrpcBridge::new(settings)?),
            BackingSettings::Http(settings) => Self::Http(HttpBridge::new(settings)?),
            BackingSettings::Wasm(settings, engine) => {
                let mut bridge = WasmBridge::load(&engine, settings).await?;
                for module in modules {
                    bind(&mut bridge, *module).await?;
                }
                Self::Wasm(bridge)
            }
        })
    }
}

/// The calls of each module.
async fn bind(bridge: &mut WasmBridge, module: Module) -> Result<(), LoadError> {
    match module {
        Module::Auther => bridge.bind::<AuthenticationRequest>().await,
        Module::Admission => bridge.bind::<AdmissionRequest>().await,
        Module::Bypass => bridge.bind::<BypassRequest>().await,
        Module::Hop => bridge.bind::<HopRequest>().await,
        Module::Limiter => bridge.bind::<LimitRequest>().await,
        Module::Hosts => bridge.bind::<LookupRequest>().await,
        Module::Resolver => bridge.bind::<ResolveRequest>().await,
        Module::Ingress => {
            bridge.bind::<GetRuleRequest>().await?;
            bridge.bind::<SetRuleRequest>().await
        }
        Module::Router => bridge.bind::<RouteRequest>().await,
        Module::Sd => {
            bridge.bind::<RegisterRequest>().await?;
            bridge.bind::<RenewRequest>().await?;
            bridge.bind::<DeregisterRequest>().await?;
            bridge.bind::<GetServicesRequest>().await
        }
        Module::Recorder => bridge.bind::<WriteRequest>().await,
        Module::Observer => bridge.bind::<ObserveRequest>().await,
        Module::Rewriter => bridge.bind::<RewriteRequest>().await,
    }
}

impl<C: PluginCall> Plugin<C> for Backing {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        match self {
            Self::Grpc(bridge) => bridge.call(call).await,
            Self::Http(bridge) => bridge.call(call).await,
            Self::Wasm(bridge) => bridge.call(call).await,
        }
    }
}
