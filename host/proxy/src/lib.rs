//! The data plane: listeners, handlers and what they share.
//!
//! A [`listener`] accepts, the gateway makes a [`Conn`] of it, a [`handler`] speaks the client's protocol and asks the
//! modules, a [`Router`] connects to the target, and [`net`] moves the bytes.

mod conn;
pub mod connector;
pub mod dialer;
pub mod direct;
pub mod dns;
pub mod handler;
pub mod listener;
mod metrics;
pub mod net;
mod observe;
pub mod router;
mod service;
mod shaper;
pub mod tls;
mod websocket;

pub use conn::Conn;
pub use direct::Direct;
pub use metrics::{ChainMetrics, Metrics, ServiceMetrics};
pub use observe::{ClientCounters, ClientReporter, Reports, ServiceReporter};
pub use router::{DialError, DialReason, Router, Upstream, Wanted};
pub use service::{Layer, Service};
pub use shaper::{LimitSource, ServiceScope, Shaper};
pub use websocket::{WsClient, WsServer};
