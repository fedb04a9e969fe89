//! [`Metrics`]: what is counted of plugin calls.

use std::sync::Arc;

use drawspan_wit::{ErrorKind, Module};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds in seconds: from a component's microsecond to a plugin server's deadline.
const BUCKETS: [f64; 18] =
    [1e-6, 2e-6, 5e-6, 1e-5, 2.5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];

/// The metric families of plugin calls, labelled by plugin, module and backing. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    calls: Family<Labels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    in_flight: Family<Labels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    plugin: String,
    module: &'static str,
    backing: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    plugin: String,
    module: &'static str,
    backing: &'static str,
    kind: &'static str,
}

impl Metrics {
    /// Registers the families.
    pub fn register(registry: &mut Registry) -> Self {
        let families = Families {
            calls: Family::default(),
            errors: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Family::default(),
        };
        registry.register("drawspan_plugin_calls", "Calls to plugins", families.calls.clone());
        registry.register("drawspan_plugin_errors", "Calls that got no answer", families.errors.clone());
        registry.register_with_unit("drawspan_plugin_call", "Time of a call", Unit::Seconds, families.seconds.clone());
        registry.register("drawspan_plugin_calls_in_flight", "Calls being answered", families.in_flight.clone());
        Self(Arc::new(families))
    }

    /// The metrics of one plugin, looked up once so that a call only adds.
    pub(crate) fn plugin(&self, plugin: &str, module: Module, backing: &'static str) -> PluginMetrics {
        let module = module.as_str();
        let labels = Labels { plugin: plugin.to_owned(), module, backing };
        PluginMetrics {
            calls: self.0.calls.get_or_create_owned(&labels),
            errors: ErrorKind::ALL.map(|kind| {
                let plugin = plugin.to_owned();
                self.0.errors.get_or_create_owned(&ErrorLabels { plugin, module, backing, kind: kind.as_str() })
            }),
            seconds: self.0.seconds.get_or_create_owned(&labels),
            in_flight: self.0.in_flight.get_or_create_owned(&labels),
        }
    }
}

/// The metrics of one plugin.
pub(crate) struct PluginMetrics {
    pub(crate) calls: Counter,
    /// In the order of [`ErrorKind::ALL`].
    errors: [Counter; ErrorKind::ALL.len()],
    pub(crate) seconds: Histogram,
    pub(crate) in_flight: Gauge,
}

impl PluginMetrics {
    pub(crate) fn error(&self, kind: ErrorKind) {
        if let Some(position) = ErrorKind::ALL.iter().position(|other| *other == kind) {
            self.errors[position].inc();
        }
    }
}
