//! `selector`: which of several candidates is used.

use std::time::Duration;

use crate::decode::{Context, Object, Unknown};

/// How one of several nodes or chains is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Among the healthy candidates.
    pub strategy: Strategy,
    /// So many failures in a row make a candidate unhealthy, for `fail_timeout`. Default 1, at least 1.
    pub max_fails: u32,
    /// Counted from the last failure. Default 10 s (30 s for what a command line sets), never 0.
    pub fail_timeout: Duration,
}

/// The ways to choose among healthy candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// One after another.
    Round,
    /// By chance, in proportion to their weights.
    Random,
    /// Always the first.
    Fifo,
    /// By the hash of the client id, else of the client's address or the target ([`crate::HashSource`]).
    Hash,
}

const STRATEGIES: [(&str, Strategy); 7] = [
    ("round", Strategy::Round),
    ("rr", Strategy::Round),
    ("random", Strategy::Random),
    ("rand", Strategy::Random),
    ("fifo", Strategy::Fifo),
    ("ha", Strategy::Fifo),
    ("hash", Strategy::Hash),
];

impl Default for Selector {
    fn default() -> Self {
        Self { strategy: Strategy::Round, max_fails: 1, fail_timeout: Duration::from_secs(10) }
    }
}

/// Reads the `selector` of `object`.
pub(crate) fn decode(object: &mut Object<'_>, cx: &mut Context) -> Selector {
    let default = Selector::default();
    let mut object = object.section("selector", cx);
    // GOST: an unknown strategy is `round`.
    let strategy = object.take("strategy").filter(|item| !item.node.value.is_zero());
    let strategy = strategy.and_then(|item| item.choice("strategy", &STRATEGIES, cx));
    let max_fails = object.integer("maxFails", 1..=1_000_000, cx);
    let fail_timeout = object.duration("failTimeout", cx);
    object.finish(&["maxLatency"], Unknown::Warn, cx);
    Selector {
        strategy: strategy.unwrap_or(default.strategy),
        max_fails: max_fails.unwrap_or(default.max_fails),
        fail_timeout: fail_timeout.unwrap_or(default.fail_timeout),
    }
}
