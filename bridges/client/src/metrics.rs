//! [`Metrics`]: what is counted of plugin calls.

use std::sync::Arc;

use drawspan_bridge_wasm::Counters;
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
    errors: Family<KindLabels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    in_flight: Family<Labels, Gauge>,
    hits: Family<Labels, Counter>,
    misses: Family<Labels, Counter>,
    fallbacks: Family<Labels, Counter>,
    shadows: Family<OutcomeLabels, Counter>,
    repeats: Family<Labels, Counter>,
    swaps: Family<OutcomeLabels, Counter>,
}

/// A plugin, as metrics and logs call it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Labels {
    pub(crate) plugin: Arc<str>,
    module: &'static str,
    backing: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    #[prometheus(flatten)]
    plugin: Labels,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    #[prometheus(flatten)]
    plugin: Labels,
    outcome: &'static str,
}

impl Labels {
    pub(crate) fn new(plugin: &Arc<str>, module: Module, backing: &'static str) -> Self {
        Self { plugin: Arc::clone(plugin), module: module.as_str(), backing }
    }

    /// The module's name.
    pub(crate) const fn module(&self) -> &'static str {
        self.module
    }
}

impl Metrics {
    /// Registers the families.
    pub fn register(registry: &mut Registry) -> Self {
        let families = Families {
            calls: Family::default(),
            errors: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Family::default(),
            hits: Family::default(),
            misses: Family::default(),
            fallbacks: Family::default(),
            shadows: Family::default(),
            repeats: Family::default(),
            swaps: Family::default(),
        };
        registry.register("drawspan_plugin_calls", "Calls to plugins", families.calls.clone());
        registry.register("drawspan_plugin_errors", "Calls that got no answer", families.errors.clone());
        registry.register_with_unit("drawspan_plugin_call", "Time of a call", Unit::Seconds, families.seconds.clone());
        registry.register("drawspan_plugin_calls_in_flight", "Calls being answered", families.in_flight.clone());
        registry.register(
            "drawspan_plugin_cache_hits",
            "Calls answered by a reply that was kept",
            families.hits.clone(),
        );
        registry.register("drawspan_plugin_cache_misses", "Calls that no kept reply answers", families.misses.clone());
        registry.register("drawspan_plugin_fallbacks", "Calls handed to the fallback", families.fallbacks.clone());
        registry.register("drawspan_plugin_shadows", "Replies compared with the shadow's", families.shadows.clone());
        registry.register(
            "drawspan_plugin_repeats",
            "Calls asked again on a fresh instance after a trap",
            families.repeats.clone(),
        );
        registry.register("drawspan_plugin_swaps", "Changes of a component's file", families.swaps.clone());
        Self(Arc::new(families))
    }

    /// What every plugin counts, looked up once so that a call only adds.
    pub(crate) fn plugin(&self, labels: &Labels) -> PluginMetrics {
        PluginMetrics {
            calls: self.0.calls.get_or_create_owned(labels),
            errors: ErrorKind::ALL.map(|kind| {
                let labels = KindLabels { plugin: labels.clone(), kind: kind.as_str() };
                self.0.errors.get_or_create_owned(&labels)
            }),
            seconds: self.0.seconds.get_or_create_owned(labels),
            in_flight: self.0.in_flight.get_or_create_owned(labels),
        }
    }

    /// What a plugin with a `cache` counts besides.
    pub(crate) fn cache(&self, labels: &Labels) -> CacheMetrics {
        CacheMetrics {
            hits: self.0.hits.get_or_create_owned(labels),
            misses: self.0.misses.get_or_create_owned(labels),
        }
    }

    /// What a plugin with a `fallback` counts besides: the calls handed on.
    pub(crate) fn fallbacks(&self, labels: &Labels) -> Counter {
        self.0.fallbacks.get_or_create_owned(labels)
    }

    /// What a plugin with a `shadow` counts besides.
    pub(crate) fn shadow(&self, labels: &Labels) -> ShadowMetrics {
        let outcome = |outcome| self.0.shadows.get_or_create_owned(&OutcomeLabels { plugin: labels.clone(), outcome });
        ShadowMetrics {
            matches: outcome("match"),
            differences: outcome("difference"),
            errors: outcome("error"),
            dropped: outcome("dropped"),
        }
    }

    /// What a plugin that is a component counts besides.
    pub(crate) fn component(&self, labels: &Labels) -> Counters {
        let swaps = |outcome| self.0.swaps.get_or_create_owned(&OutcomeLabels { plugin: labels.clone(), outcome });
        Counters {
            repeats: self.0.repeats.get_or_create_owned(labels),
            swaps: swaps("done"),
            refused: swaps("refused"),
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

/// The metrics of one plugin's cache.
pub(crate) struct CacheMetrics {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
}

/// The metrics of one plugin's shadow, a counter for each outcome.
pub(crate) struct ShadowMetrics {
    pub(crate) matches: Counter,
    pub(crate) differences: Counter,
    pub(crate) errors: Counter,
    pub(crate) dropped: Counter,
}
