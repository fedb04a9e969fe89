//! The plugin contract: the WIT package `drawspan:plugin`, its records as Rust types, and the two traits that the
//! rest of drawspan is built on.
//!
//! The WIT text in `wit/0.1.0` is the single source of truth. Every bridge, policy, built-in rule and module uses the
//! records generated from it, so a question looks the same whoever answers it.
//!
//! * [`Call`] is one WIT function as a value: its request record.
//! * [`Plugin`] answers calls: a bridge to a plugin server, a sandboxed component, a policy around another plugin, or
//!   rules in the config.
//!
//! The package is evolved by adding interfaces only; a released folder never changes (see `CONTRIBUTING.md`).

mod call;
mod calls;
mod error;
mod module;
mod node;
mod plugin;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated from the WIT text, which documents itself")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "0.1.0",
        world: "plugin",
        exports: { default: async },
        additional_derives: [PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize],
    });
}

pub use bindings::drawspan::plugin::types;
pub use bindings::exports::drawspan::plugin::{
    admission, authenticator, bypass, hop, host_mapper, ingress, lifecycle, observer, recorder, resolver, rewriter,
    router, service_discovery, traffic_limiter,
};
pub use call::{Call, Leave, OnError};
pub use calls::{LONGEST_LIST, too_long};
pub use error::{CallError, ErrorKind, Refusal, chain};
pub use module::Module;
pub use node::node;
pub use plugin::{BoxPlugin, Plugin, boxed};

/// The WIT package that this build speaks, without version.
pub const PACKAGE: &str = "drawspan:plugin";

/// The released versions of [`PACKAGE`] that this build can load, newest first.
pub const VERSIONS: &[&str] = &["0.1.0"];

/// The text of the newest version of [`PACKAGE`], as file names and contents.
pub const SOURCES: &[(&str, &str)] = &[
    ("types.wit", include_str!("../0.1.0/types.wit")),
    ("authenticator.wit", include_str!("../0.1.0/authenticator.wit")),
    ("admission.wit", include_str!("../0.1.0/admission.wit")),
    ("bypass.wit", include_str!("../0.1.0/bypass.wit")),
    ("hop.wit", include_str!("../0.1.0/hop.wit")),
    ("traffic-limiter.wit", include_str!("../0.1.0/traffic-limiter.wit")),
    ("host-mapper.wit", include_str!("../0.1.0/host-mapper.wit")),
    ("resolver.wit", include_str!("../0.1.0/resolver.wit")),
    ("ingress.wit", include_str!("../0.1.0/ingress.wit")),
    ("router.wit", include_str!("../0.1.0/router.wit")),
    ("service-discovery.wit", include_str!("../0.1.0/service-discovery.wit")),
    ("recorder.wit", include_str!("../0.1.0/recorder.wit")),
    ("observer.wit", include_str!("../0.1.0/observer.wit")),
    ("rewriter.wit", include_str!("../0.1.0/rewriter.wit")),
    ("lifecycle.wit", include_str!("../0.1.0/lifecycle.wit")),
    ("worlds.wit", include_str!("../0.1.0/worlds.wit")),
];
