//! [`Observed`]: counts calls and logs failures.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use drawspan_wit::{Call, CallError, Module, Plugin};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use prometheus_client::metrics::gauge::Gauge;

use crate::metrics::PluginMetrics;

/// Failures logged at once, and then one a second, so that a dead plugin doesn't flood the log.
const BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Counts and times calls, and logs each failure once with the plugin's name, its address and the reason.
pub(crate) struct Observed<P> {
    inner: P,
    name: Arc<str>,
    module: Module,
    address: String,
    metrics: PluginMetrics,
    log: DefaultDirectRateLimiter,
    unlogged: AtomicU64,
}

impl<P> Observed<P> {
    pub(crate) fn new(inner: P, name: &Arc<str>, module: Module, address: &str, metrics: PluginMetrics) -> Self {
        let log = RateLimiter::direct(Quota::per_second(NonZeroU32::MIN).allow_burst(BURST));
        let (name, address) = (Arc::clone(name), address.to_owned());
        Self { inner, name, module, address, metrics, log, unlogged: AtomicU64::new(0) }
    }

    fn failed(&self, error: &CallError) {
        self.metrics.error(error.kind());
        if self.log.check().is_err() {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Self { name, address, .. } = self;
        let unlogged = Some(self.unlogged.swap(0, Ordering::Relaxed)).filter(|count| *count > 0);
        tracing::error!(
            kind = self.module.as_str(),
            name = %name,
            addr = %address,
            reason = error.kind().as_str(),
            unlogged,
            "{name}: plugin {address}: {error}"
        );
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
