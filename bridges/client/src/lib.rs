//! A plugin as the gateway sees it: one of the three bridges, wrapped once in the policies that apply to all.
//!
//! The policies are layers: a small type each in `layer/`, that is a plugin around another plugin. Their order is written in
//! one place, in [`PluginClient`].

mod backing;
mod client;
mod layer;
mod metrics;

pub use backing::{Backing, BackingError, BackingSettings, PluginCall};
pub use client::{Bare, LoadError, PluginClient, PluginSettings, ShadowSettings};
pub use drawspan_bridge_grpc::GrpcSettings;
pub use drawspan_bridge_http::HttpSettings;
pub use drawspan_bridge_transport::{Target, TlsSettings};
pub use drawspan_bridge_wasm::{Engine, EngineError, Source, WasmSettings};
pub use layer::CacheSettings;
pub use metrics::Metrics;

/// What a component may be granted: the parts of [`WasmSettings`].
pub mod wasm {
    pub use drawspan_bridge_wasm::{Addresses, HostName, HttpHost, Mount, RedisSettings, StoreSettings};
}
