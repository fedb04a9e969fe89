//! What the tests of the policies put in the place of a plugin.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drawspan_wit::admission::AdmissionRequest;
use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use drawspan_wit::{Call, CallError, ErrorKind, Module, Plugin};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::Metrics;
use crate::metrics::Labels;

type Answer<C> = Result<<C as Call>::Reply, ErrorKind>;

/// Answers by how often it was asked before, and counts that.
pub(crate) struct Fake<C: Call> {
    asked: Arc<AtomicUsize>,
    gate: Option<Arc<Semaphore>>,
    answer: Arc<dyn Fn(usize) -> Answer<C> + Send + Sync>,
}

impl<C: Call> Clone for Fake<C> {
    fn clone(&self) -> Self {
        Self { asked: Arc::clone(&self.asked), gate: self.gate.clone(), answer: Arc::clone(&self.answer) }
    }
}

impl<C: Call> Fake<C> {
    pub(crate) fn new(answer: impl Fn(usize) -> Answer<C> + Send + Sync + 'static) -> Self {
        Self { asked: Arc::default(), gate: None, answer: Arc::new(answer) }
    }

    pub(crate) fn failing(kind: ErrorKind) -> Self {
        Self::new(move |_| Err(kind))
    }

    /// Answers when there is a permit.
    pub(crate) fn gated(mut self, gate: &Arc<Semaphore>) -> Self {
        self.gate = Some(Arc::clone(gate));
        self
    }

    /// Never answers.
    pub(crate) fn hanging() -> Self {
        Self::failing(ErrorKind::Refused).gated(&Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl<C: Call> Plugin<C> for Fake<C> {
    async fn call(&self, _: Arc<C>) -> Result<C::Reply, CallError> {
        let before = self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        (self.answer)(before).map_err(|kind| CallError::new(kind, "on purpose"))
    }
}

/// The identity of a user who is let in.
pub(crate) fn identity(client_id: &str) -> Option<Identity> {
    Some(Identity { client_id: client_id.into() })
}

/// May alice in?
pub(crate) fn authenticate() -> AuthenticationRequest {
    AuthenticationRequest {
        username: "alice".into(),
        password: "wonder".into(),
        client_address: Some("192.0.2.7:41806".into()),
        service: "service-0".into(),
        certificate: None,
    }
}

pub(crate) fn admit() -> AdmissionRequest {
    AdmissionRequest { network: "tcp".into(), client_address: "192.0.2.7:41806".into(), service: None }
}

/// A registry to look into, its metrics, and the labels of a plugin.
pub(crate) struct Counted {
    registry: Registry,
    pub(crate) metrics: Metrics,
    pub(crate) labels: Labels,
}

impl Counted {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        Self { registry, metrics, labels: Labels::new(&"auther-0".into(), Module::Auther, "grpc") }
    }

    /// Checks the value of `drawspan_plugin_<name>` with the plugin's labels and `labels`.
    #[track_caller]
    pub(crate) fn check(&self, name: &str, labels: &str, value: u64) {
        self.check_line(&format!("{name}{{plugin=\"auther-0\",module=\"auther\",backing=\"grpc\"{labels}}} {value}"));
    }

    /// Checks that there is `line`, which starts after `drawspan_plugin_`.
    #[track_caller]
    pub(crate) fn check_line(&self, line: &str) {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        assert!(text.contains(&format!("\ndrawspan_plugin_{line}\n")), "{line} is not in\n{text}");
    }
}

/// Lets every task that can go on do so.
pub(crate) async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}
