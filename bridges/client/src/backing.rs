//! [`Backing`]: one of the three bridges.

use std::fmt;
use std::sync::Arc;

use drawspan_bridge_grpc::{GrpcBridge, GrpcCall, GrpcError, GrpcSettings};
use drawspan_bridge_http::{HttpBridge, HttpCall, HttpError, HttpSettings};
use drawspan_bridge_wasm::{Counters, Engine, Function, LoadError, WasmBridge, WasmSettings};
use drawspan_wit::{Call, CallError, ErrorKind, Module, Plugin, every_call};

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
            Self::Wasm(settings, _) => write!(f, "wasm:{}", settings.source),
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
    /// Makes ready to answer every call of `module`. Servers aren't contacted; a component is compiled and started, and what
    /// happens to it is counted.
    ///
    /// # Errors
    /// When the settings can't be used, or the component doesn't answer the module's calls.
    pub(crate) async fn load(
        settings: BackingSettings,
        module: Module,
        counters: impl FnOnce() -> Counters,
    ) -> Result<Self, BackingError> {
        Ok(match settings {
            BackingSettings::Grpc(settings) => Self::Grpc(GrpcBridge::new(settings)?),
            BackingSettings::Http(settings) => Self::Http(HttpBridge::new(settings)?),
            BackingSettings::Wasm(settings, engine) => {
                Self::Wasm(WasmBridge::load(&engine, settings, functions(module), counters()).await?)
            }
        })
    }
}

macro_rules! functions {
    ($module:ident ; $($call:ty),*) => {
        [$((<$call>::MODULE, Function::of::<$call>())),*].into_iter().filter(|(of, _)| *of == $module).map(|(_, function)| function)
    };
}

/// The calls of a module.
fn functions(module: Module) -> Vec<Function> {
    every_call!(functions, module).collect()
}

impl<C: PluginCall> Plugin<C> for Backing {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        match self {
            Self::Grpc(bridge) => bridge.call(call).await,
            Self::Http(bridge) => bridge.call(call).await,
            Self::Wasm(bridge) => {
                let reply = bridge.call(call).await?;
                // The other two have looked at it when they read it.
                C::flaw(&reply).map_or(Ok(reply), |flaw| Err(CallError::new(ErrorKind::BadReply, flaw)))
            }
        }
    }
}
