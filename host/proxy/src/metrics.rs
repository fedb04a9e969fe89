//! [`Metrics`]: GOST's own metrics, under its names (GOST reference, admin 2).

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use drawspan_modules::Addr;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::handler::HandlerError;
use crate::net::Counters;

/// Upper bounds in seconds, as in GOST.
const REQUEST_BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0];
const CONNECT_BUCKETS: [f64; 13] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0];

/// The most clients that are told apart, all services together. GOST: as many as come, each for ever.
const MAX_CLIENTS: usize = 10_000;
/// What further clients are called.
const OTHERS: &str = "other";

/// The metrics of services, chains and recorders. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    services: Gauge,
    seconds: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    clients: Arc<Clients>,
    connect_seconds: Family<NodeLabels, Histogram, fn() -> Histogram>,
    chain_errors: Family<NodeLabels, Counter>,
    records: Family<RecorderLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabels {
    service: Arc<str>,
    client: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabels {
    chain: String,
    node: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RecorderLabels {
    recorder: String,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let families = Families {
            services: Gauge::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS)),
            clients: Arc::default(),
            connect_seconds: Family::new_with_constructor(|| Histogram::new(CONNECT_BUCKETS)),
            chain_errors: Family::default(),
            records: Family::default(),
        };
        registry.register("gost_services", "Services that accept connections", families.services.clone());
        registry.register(
            "gost_service_request_duration_seconds",
            "How long connections were served",
            families.seconds.clone(),
        );
        registry.register_collector(Box::new(Arc::clone(&families.clients)));
        registry.register(
            "gost_chain_node_connect_duration_seconds",
            "How long it took to connect to the first node of a chain",
            families.connect_seconds.clone(),
        );
        registry.register("gost_chain_errors", "Ways through a chain that failed", families.chain_errors.clone());
        registry.register("gost_recorder_records", "Records for a recorder", families.records.clone());
        Self(Arc::new(families))
    }

    /// Those of the service `name`.
    #[must_use]
    pub fn service(&self, name: &Arc<str>) -> ServiceMetrics {
        let seconds = self.0.seconds.get_or_create_owned(&ServiceLabels { service: Arc::clone(name) });
        ServiceMetrics {
            service: Arc::clone(name),
            services: self.0.services.clone(),
            seconds,
            clients: Arc::clone(&self.0.clients),
        }
    }

    /// The records for the recorder `name`.
    #[must_use]
    pub fn records(&self, name: &str) -> Counter {
        self.0.records.get_or_create_owned(&RecorderLabels { recorder: name.to_owned() })
    }

    /// Those of the chain `name`.
    #[must_use]
    pub fn chain(&self, name: &str) -> ChainMetrics {
        ChainMetrics { chain: name.to_owned(), families: self.clone() }
    }
}

/// The metrics of a service.
#[derive(Clone)]
pub struct ServiceMetrics {
    service: Arc<str>,
    services: Gauge,
    seconds: Histogram,
    clients: Arc<Clients>,
}

impl ServiceMetrics {
    /// The service accepts connections, until what this returns is dropped.
    #[must_use]
    pub fn accepting(&self) -> impl Sized + use<> {
        struct Accepting(Gauge);
        impl Drop for Accepting {
            fn drop(&mut self) {
                self.0.dec();
            }
        }
        let services = self.services.clone();
        services.inc();
        Accepting(services)
    }

    /// Where the bytes of that client are counted.
    pub(crate) fn counters(&self, client: &Addr) -> Arc<Counters> {
        self.clients.of(ClientLabels { service: Arc::clone(&self.service), client: client.host() })
    }

    /// A connection of that client is served from now on.
    pub(crate) fn request(&self, client: &Addr) -> Request {
        let counters = self.counters(client);
        counters.total_conns.fetch_add(1, Relaxed);
        counters.current_conns.fetch_add(1, Relaxed);
        Request { counters, seconds: self.seconds.clone(), started: Instant::now() }
    }
}

/// A connection that is being served, until this is dropped.
pub(crate) struct Request {
    counters: Arc<Counters>,
    seconds: Histogram,
    started: Instant,
}

impl Request {
    /// It was served.
    pub(crate) fn over<T>(&self, outcome: &Result<T, HandlerError>) {
        if outcome.is_err() {
            self.counters.total_errs.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.counters.current_conns.fetch_sub(1, Relaxed);
        self.seconds.observe(self.started.elapsed().as_secs_f64());
    }
}

/// What clients of services did.
#[derive(Default)]
struct Clients(Mutex<HashMap<ClientLabels, Arc<Counters>>>);

impl Clients {
    fn of(&self, mut labels: ClientLabels) -> Arc<Counters> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&labels) {
            labels.client = OTHERS.to_owned();
        }
        Arc::clone(clients.entry(labels).or_default())
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

/// A metric of each client: its name, its help, and where it is counted.
type ClientMetric = (&'static str, &'static str, fn(&Counters) -> &AtomicU64);

const COUNTED: [ClientMetric; 4] = [
    ("gost_service_requests", "Connections that were served", |counters| &counters.total_conns),
    ("gost_service_transfer_input_bytes", "Bytes from clients", |counters| &counters.input),
    ("gost_service_transfer_output_bytes", "Bytes to clients", |counters| &counters.output),
    ("gost_service_handler_errors", "Connections that ended with an error", |counters| &counters.total_errs),
];

impl Collector for Clients {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let clients: Vec<_> = {
            let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            clients.iter().map(|(labels, counters)| (labels.clone(), Arc::clone(counters))).collect()
        };
        if clients.is_empty() {
            return Ok(());
        }
        let (name, help) = ("gost_service_requests_in_flight", "Connections that are being served");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, counters) in &clients {
            let now = i64::try_from(counters.current_conns.load(Relaxed)).unwrap_or(i64::MAX);
            ConstGauge::new(now).encode(metric.encode_family(labels)?)?;
        }
        for (name, help, counter) in COUNTED {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, counters) in &clients {
                ConstCounter::new(counter(counters).load(Relaxed)).encode(metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

/// The metrics of a chain.
#[derive(Clone)]
pub struct ChainMetrics {
    chain: String,
    families: Metrics,
}

impl ChainMetrics {
    /// An attempt to get to the chain's end by way of `node`, which counts as failed unless it is said to have succeeded.
    pub(crate) fn attempt(&self, node: &str) -> ChainAttempt<'_> {
        ChainAttempt { metrics: self, node: node.to_owned(), started: Instant::now(), has_failed: true }
    }

    fn labels(&self, node: &str) -> NodeLabels {
        NodeLabels { chain: self.chain.clone(), node: node.to_owned() }
    }
}

/// See [`ChainMetrics::attempt`].
pub(crate) struct ChainAttempt<'c> {
    metrics: &'c ChainMetrics,
    node: String,
    started: Instant,
    has_failed: bool,
}

impl ChainAttempt<'_> {
    /// The first node is connected to.
    pub(crate) fn connected(&self) {
        let seconds = &self.metrics.families.0.connect_seconds;
        seconds.get_or_create(&self.metrics.labels(&self.node)).observe(self.started.elapsed().as_secs_f64());
    }

    pub(crate) fn succeeded(mut self) {
        self.has_failed = false;
    }
}

impl Drop for ChainAttempt<'_> {
    fn drop(&mut self) {
        if self.has_failed {
            self.metrics.families.0.chain_errors.get_or_create(&self.metrics.labels(&self.node)).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn clients_beyond_the_bound_share_their_counters() {
        let clients = Clients::default();
        let of = |number: usize| clients.of(ClientLabels { service: "s".into(), client: number.to_string() });
        let first = of(0);
        (1..MAX_CLIENTS).for_each(|number| drop(of(number)));
        assert!(Arc::ptr_eq(&of(MAX_CLIENTS), &of(MAX_CLIENTS + 1)));
        assert!(Arc::ptr_eq(&of(0), &first));
    }

    #[tokio::test]
    async fn names_and_labels_are_gosts() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(registry.sub_registry_with_label(("host".into(), "h".into())));
        let service = metrics.service(&"s".into());
        let accepting = service.accepting();
        let client: std::net::SocketAddr = "[::1]:5".parse().unwrap();
        let request = service.request(&client.into());
        request.counters.input.fetch_add(3, Relaxed);
        metrics.records("r").inc();
        let chain = metrics.chain("c");
        let attempt = chain.attempt("n");
        attempt.connected();
        drop(attempt);
        chain.attempt("n").succeeded();
        let text = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        let line = |line: &str| assert!(text().lines().any(|found| found == line), "{line} in {}", text());
        line(r#"gost_services{host="h"} 1"#);
        line(r#"gost_service_requests_total{host="h",service="s",client="::1"} 1"#);
        line(r#"gost_service_requests_in_flight{host="h",service="s",client="::1"} 1"#);
        line(r#"gost_service_transfer_input_bytes_total{host="h",service="s",client="::1"} 3"#);
        line(r#"gost_service_transfer_output_bytes_total{host="h",service="s",client="::1"} 0"#);
        line(r#"gost_service_handler_errors_total{host="h",service="s",client="::1"} 0"#);
        line(r#"gost_recorder_records_total{host="h",recorder="r"} 1"#);
        line(r#"gost_chain_errors_total{host="h",chain="c",node="n"} 1"#);
        line(r#"gost_chain_node_connect_duration_seconds_count{host="h",chain="c",node="n"} 1"#);
        drop((accepting, request));
        line(r#"gost_services{host="h"} 0"#);
        line(r#"gost_service_requests_in_flight{host="h",service="s",client="::1"} 0"#);
        line(r#"gost_service_request_duration_seconds_count{host="h",service="s"} 1"#);
        line(r#"gost_service_request_duration_seconds_bucket{host="h",le="60.0",service="s"} 1"#);
    }
}
