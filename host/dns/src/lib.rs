//! Names to addresses by DNS servers that the config names (GOST reference, modules 4.7).
//!
//! [`Nameservers`] is a resolver like any plugin. A [`Nameserver`] has a cache and asks by an `Exchange`: over UDP, TCP, TLS or HTTPS.

mod cache;
mod exchange;
mod message;
mod nameserver;
mod nameservers;

pub use exchange::{SetupError, Transport};
pub use nameserver::{Nameserver, NameserverSettings, Prefer, Ttl};
pub use nameservers::Nameservers;
