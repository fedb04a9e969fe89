//! [`Observed`]: counts calls and logs failures.

use std::sync::Arc;
use std::time::Instant;

use drawspan_wit::{Call, CallError, Plugin};
use prometheus_client::metrics::gauge::Gauge;

use super::LogLimit;
use crate::metrics::{Labels, Metrics, PluginMetrics};

/// Counts and times calls, and logs each failure once with the plugin's name, its address and the reason.
pub(crate) struct Observed<P> {
    inner: P,
    labels: Labels,
    address: String,
    metrics: PluginMetrics,
    log: LogLimit,
}

impl<P> Observed<P> {
    pub(crate) fn new(inner: P, labels: &Labels, address: String, metrics: &Metrics) -> Self {
        Self { inner, labels: labels.clone(), address, metrics: metrics.plugin(labels), log: LogLimit::new() }
    }

    fn failed(&self, error: &CallError) {
        self.metrics.error(error.kind());
        self.log.line(|unlogged| {
            let (name, address) = (&self.labels.plugin, &self.address);
            tracing::error!(
                kind = self.labels.module(),
                name = %name,
                addr = %address,
                reason = error.kind().as_str(),
                unlogged,
                "{name}: plugin {address}: {error}"
            );
        });
    }
}

impl<C: Call, P: Plugin<C>> Plugin<C> for Observed<P> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let _in_flight = InFlight::enter(&self.metrics.in_flight);
        let start = Instant::now();
        let result = self.inner.call(call).await;
        self.metrics.calls.inc();
        self.metrics.seconds.observe(start.elapsed().as_secs_f64());
        if let Err(error) = &result {
            self.failed(error);
        }
        result
    }
}

/// Leaves the gauge also when the call is dropped half-way.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn enter(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
