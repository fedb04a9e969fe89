//! Metrics: whether they are kept, and the service of their own that serves them.

use std::sync::Arc;

use drawspan_config::{Config, HandlerKind};
use drawspan_proxy::handler::{Handler, HandlerParts, Page, Web, WebSettings};
use drawspan_proxy::{Layer, Metrics, Service};
use prometheus_client::registry::Registry;

use crate::process::Process;
use crate::services::{Made, Objects, READ_TIMEOUT};

/// What authers and logs call that service, as in GOST.
const NAME: &str = "@metrics";

/// Whether somebody can read them. Without that, nothing is kept of clients.
pub(crate) fn are_wanted(config: &Config) -> bool {
    let mut handlers = config.services.iter().map(|service| &service.handler.kind);
    config.metrics.is_some() || handlers.any(|kind| matches!(kind, HandlerKind::Metrics(_)))
}

/// Registers GOST's metrics, which are labelled with the machine's name, and the process's own.
pub(crate) fn register(registry: &mut Registry) -> Metrics {
    registry.register_collector(Box::new(Process));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Metrics::register(registry.sub_registry_with_label(("host".into(), host.into())))
}

impl Objects {
    /// The service that the section `metrics` describes.
    pub(crate) fn metrics_service(&self, of: &drawspan_config::Metrics) -> Made {
        let authenticator = self.authenticator(of.auther.as_slice(), of.auth.as_ref());
        let parts = HandlerParts { authenticator, ..HandlerParts::default() };
        let page = Page::Metrics(of.path.clone(), Arc::clone(&self.registry));
        let settings = WebSettings { read_timeout: READ_TIMEOUT, idle_timeout: None };
        let service = Service {
            name: NAME.into(),
            accept_proxy: false,
            admission: None,
            conn_limiter: None,
            rate_limiter: None,
            shaper: None,
            client_recorder: None,
            counters: None,
            metrics: None,
            layer: Layer::Plain,
            mux: None,
            handshake_timeout: READ_TIMEOUT,
            handler: Handler::Web(Web::new(parts, page, settings)),
        };
        Made::bare(service)
    }
}
