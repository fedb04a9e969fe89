//! The modules as the gateway's handlers see them: nouns that speak of connections and clients, over whatever answers.
//!
//! A noun turns domain values into a call and a reply into a domain value. It holds no policy and knows no transport:
//! rules from the config ([`UserTable`], [`BypassRules`] and so on) and groups ([`AnyOf`], [`AllOf`], [`BypassGroup`]) are plugins like any other.

mod admission;
mod admission_rules;
mod authenticator;
mod bypass;
mod bypass_rules;
mod conn;
mod hop;
mod host_table;
mod ingress;
mod ingress_rules;
mod ip_table;
mod limit_rules;
mod limiter;
mod name_table;
mod names;
mod observer;
mod recorder;
mod rewriter;
mod route_table;
mod router;
mod sd;
mod users;

pub use admission::{Admission, AllOf};
pub use admission_rules::AdmissionRules;
pub use authenticator::{AnyOf, Authenticator, ClientId};
pub use bypass::{Bypass, BypassGroup, BypassMember};
pub use bypass_rules::{BypassRules, TargetPattern};
pub use conn::{Addr, ClientCertificate, ConnInfo, Target};
pub use hop::Hop;
pub use host_table::HostTable;
pub use ingress::{Endpoint, Ingress};
pub use ingress_rules::IngressRules;
pub use ip_table::IpTable;
pub use limit_rules::{ConnLimiter, ConnPermit, LimitRules, RateLimiter};
pub use limiter::{Limited, Limiter, Rates};
pub use names::{Family, Hosts, Resolver};
pub use observer::{Event, EventDetail, EventSource, Observer, ServiceState, Stats, Status};
pub use recorder::Recorder;
pub use rewriter::Rewriter;
pub use route_table::RouteTable;
pub use router::Router;
pub use sd::{CallError, Service, ServiceDiscovery};
pub use users::UserTable;
