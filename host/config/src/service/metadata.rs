//! `services[].metadata`.

use std::time::Duration;

use crate::decode::{Context, Object};

use super::handler::{self, Reports};

/// Settings of a service as a whole.
#[derive(Clone, Debug)]
pub struct ServiceMetadata {
    /// Read a PROXY header of either version if one comes (`proxyProtocol` above 0). GOST waits up to 10 s for it.
    pub accept_proxy: bool,
    /// Keep statistics, and tell the observer.
    pub enable_stats: bool,
    /// How the observer is told.
    pub reports: Reports,
    /// How long a traffic limiter's answer is good for. Default 30 s, at least 1 s.
    pub limiter_refresh: Duration,
    /// What the traffic limiter is asked about; none: service and connections.
    pub limiter_scope: Option<LimiterScope>,
    /// Added to log lines and records.
    pub labels: Vec<(String, String)>,
    /// The handler goes directly; its chains have been dropped already.
    pub(crate) ignore_chain: bool,
}

/// What a service's traffic limiter is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimiterScope {
    /// The service as a whole.
    Service,
    /// Each connection.
    Connection,
}

const SCOPES: [(&str, LimiterScope); 2] = [("service", LimiterScope::Service), ("conn", LimiterScope::Connection)];

/// Service metadata that GOST knows and drawspan doesn't implement.
pub(super) const NOT_IMPLEMENTED: [&str; 6] = ["netns", "netns.out", "preUp", "postUp", "preDown", "postDown"];

pub(super) fn decode(metadata: &mut Object<'_>, cx: &mut Context) -> ServiceMetadata {
    let accept_proxy = metadata.take("proxyProtocol").and_then(|item| item.integer(0..=2, cx));
    let scope = metadata.take("limiter.scope").filter(|item| !item.node.value.is_zero());
    let labels = metadata.take("labels").map(|item| item.text_map(cx)).unwrap_or_default();
    ServiceMetadata {
        accept_proxy: accept_proxy.unwrap_or(0) > 0,
        enable_stats: metadata.flag("enableStats", cx),
        reports: handler::reports(metadata, &["observer.period", "observePeriod"], cx),
        limiter_refresh: handler::limiter_refresh(metadata, cx),
        limiter_scope: scope.and_then(|item| item.choice("scope", &SCOPES, cx)),
        labels: labels.into_iter().map(|(name, value)| (name, value.value)).collect(),
        ignore_chain: metadata.flag("ignoreChain", cx),
    }
}
