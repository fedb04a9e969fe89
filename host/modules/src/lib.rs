//! The modules as the gateway's handlers see them: nouns that speak of connections and clients, over whatever answers.
//!
//! A noun turns domain values into a call and a reply into a domain value. It holds no policy and knows no transport:
//! rules from the config ([`UserTable`]) and groups ([`AnyOf`], [`AllOf`], [`BypassGroup`]) are plugins like any other.

mod admission;
mod authenticator;
mod bypass;
mod conn;
mod hop;
mod ingress;
mod limiter;
mod names;
mod observer;
mod recorder;
mod rewriter;
mod router;
mod sd;
mod users;

pub use admission::{Admission, AllOf};
pub use authenticator::{AnyOf, Authenticator, ClientId};
pub use bypass::{Bypass, BypassGroup, BypassMember};
pub use conn::{Addr, ConnInfo, Target};
pub use hop::Hop;
pub use ingress::{Endpoint, Ingress};
pub use limiter::{Limited, Limiter};
pub use names::{Family, Hosts, Resolver};
pub use observer::Observer;
pub use recorder::Recorder;
pub use rewriter::Rewriter;
pub use router::Router;
pub use sd::ServiceDiscovery;
pub use users::UserTable;
