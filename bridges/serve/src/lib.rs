//! Makes a plugin a gRPC and an HTTP plugin server, as an unmodified GOST asks them.
//!
//! Failures are told to the caller by status and counted and logged by nobody here: that is the plugin's policies' work.
//!
//! [`Server`] has a plugin that answers all calls and a list of the modules that it really has. Calls are written once, in
//! `routes.rs`; what they look like on the wire is in the bridges' cells.

mod body;
mod connection;
mod grpc;
mod http;
mod routes;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drawspan_wit::Module;
use http_body_util::combinators::UnsyncBoxBody;
use rustls::ServerConfig;
use subtle::ConstantTimeEq;

use crate::routes::Route;

pub use crate::routes::AnyPlugin;

/// How to serve.
#[derive(Clone)]
pub struct Options {
    /// What callers must present: as metadata `token` over gRPC, as `Authorization: Bearer` over HTTP.
    pub token: Option<String>,
    /// Present: TLS. The protocols that it offers are replaced by the one that is served.
    pub tls: Option<Arc<ServerConfig>>,
    /// The largest request, in bytes.
    pub max_request: usize,
    /// Connections at a time, per listener; more wait to be accepted.
    pub max_connections: usize,
    /// A TLS handshake, or the body of a request, may take so long.
    pub read_timeout: Duration,
    /// A connection without a call is closed after this time to twice this time.
    pub idle_timeout: Duration,
    /// Calls that are being answered may go on for so long after the end was asked for.
    pub drain_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: None,
            tls: None,
            max_request: 4 << 20,
            max_connections: 1024,
            read_timeout: Duration::from_secs(30),
            // GOST keeps its HTTP connections for 90 s.
            idle_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// A plugin as a plugin server.
pub struct Server<P> {
    plugin: P,
    modules: HashSet<Module>,
    routes: Vec<Route<P>>,
    options: Options,
}

impl<P: AnyPlugin> Server<P> {
    /// Serves these modules of `plugin`; it isn't asked for others.
    pub fn new(plugin: P, modules: impl IntoIterator<Item = Module>, options: Options) -> Arc<Self> {
        Arc::new(Self { plugin, modules: modules.into_iter().collect(), routes: routes::all(), options })
    }

    /// Whether it is the token that was asked for, if one was. Takes as long wherever they differ.
    fn admits(&self, token: Option<&[u8]>) -> bool {
        let Some(wanted) = &self.options.token else { return true };
        token.is_some_and(|token| token.ct_eq(wanted.as_bytes()).into())
    }
}

/// A reply's body.
pub type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;
