//! Names to addresses by DNS servers that the config names (GOST reference, modules 4.7).
//!
//! [`Nameservers`] is a resolver like any plugin. A [`Nameserver`] has a cache and asks a
//! [`Server`](drawspan_proxy::dns::Server): over UDP, TCP, TLS or HTTPS, directly or through a chain.

mod cache;
mod message;
mod nameserver;
mod nameservers;

pub use nameserver::{Nameserver, NameserverSettings, Prefer, Ttl};
pub use nameservers::Nameservers;
