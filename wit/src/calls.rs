//! The calls, in the order of the WIT package, each with its row of the failure table.
//!
//! GOST's answers to a failing plugin differ between transports and versions; here each call has one.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use crate::admission::{AdmissionRequest, Verdict};
use crate::authenticator::{AuthenticationRequest, Identity};
use crate::bypass::{BypassRequest, Match};
use crate::hop::HopRequest;
use crate::host_mapper::LookupRequest;
use crate::ingress::{GetRuleRequest, SetRuleRequest};
use crate::observer::ObserveRequest;
use crate::recorder::WriteRequest;
use crate::resolver::ResolveRequest;
use crate::rewriter::RewriteRequest;
use crate::router::{Route, RouteRequest};
use crate::service_discovery::{DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest, Service};
use crate::traffic_limiter::{LimitRequest, LimitScope, Rates};
use crate::types::AddressFamily;
use crate::{Call, ErrorKind, Leave, Module, OnError, every_call, node};

/// What the calls' self-checks ask about: names and addresses that are nobody's.
const HOST: &str = "self-check.invalid";
const TARGET: &str = "self-check.invalid:443";
const CLIENT: &str = "192.0.2.1:1024";

/// An address without its port; what isn't `ip:port` as it is.
fn without_port(address: &str) -> String {
    address.parse::<SocketAddr>().map_or_else(|_| address.to_owned(), |address| address.ip().to_string())
}

/// The longest list in a reply. A plugin is not trusted to be short.
pub const LONGEST_LIST: usize = 10_000;

/// What is wrong with a list if it is longer.
pub fn too_long<T>(list: &[T]) -> Option<String> {
    (list.len() > LONGEST_LIST).then(|| format!("a list of {} entries", list.len()))
}

/// `onError: allow` for what guards a door: only while the plugin can't be reached, since a client may be able to cause
/// anything else.
fn opens(on_error: Option<OnError>, kind: ErrorKind) -> bool {
    on_error == Some(OnError::Allow) && kind == ErrorKind::Unavailable
}

macro_rules! leave {
    ($module:expr ; $($call:ty),*) => {{
        let mut leave = Leave { cache: false, repeat: false, shadow: false };
        $(if <$call as Call>::MODULE as u8 == $module as u8 {
            leave = leave.or(<$call as Call>::LEAVE);
        })*
        leave
    }};
}

impl Module {
    /// What may be done with at least one of the module's calls.
    #[must_use]
    pub const fn leave(self) -> Leave {
        every_call!(leave, self)
    }

    /// Whether the operator's `onError` changes what a failure of one of the module's calls means.
    #[must_use]
    pub const fn heeds_on_error(self) -> bool {
        match self {
            Self::Auther | Self::Admission | Self::Bypass | Self::Hop | Self::Limiter | Self::Hosts => true,
            Self::Resolver
            | Self::Ingress
            | Self::Router
            | Self::Sd
            | Self::Recorder
            | Self::Observer
            | Self::Rewriter => false,
        }
    }
}

impl Call for AuthenticationRequest {
    type Reply = Option<Identity>;
    const MODULE: Module = Module::Auther;
    const FUNCTION: &'static str = "authenticate";
    /// Not repeated: a plugin may count attempts.
    const LEAVE: Leave = Leave { cache: true, repeat: false, shadow: true };

    /// Denies; a client that is let in by `onError: allow` is anonymous.
    fn on_failure(&self, on_error: Option<OnError>, kind: ErrorKind) -> Option<Self::Reply> {
        Some(opens(on_error, kind).then(|| Identity { client_id: String::new() }))
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        reply.is_none()
    }

    fn cache_key(&self, mut state: &mut dyn Hasher) {
        let client = self.client_address.as_deref().map(without_port);
        (&self.service, &self.username, &self.password, client, &self.certificate).hash(&mut state);
    }
}

impl Call for AdmissionRequest {
    type Reply = Verdict;
    const MODULE: Module = Module::Admission;
    const FUNCTION: &'static str = "admit";
    const LEAVE: Leave = Leave::QUESTION;

    /// Denies.
    fn on_failure(&self, on_error: Option<OnError>, kind: ErrorKind) -> Option<Self::Reply> {
        Some(if opens(on_error, kind) { Verdict::Admitted } else { Verdict::Denied })
    }

    fn self_check() -> Option<Self> {
        Some(Self { network: "tcp".into(), client_address: CLIENT.into(), service: None })
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        *reply == Verdict::Denied
    }

    fn cache_key(&self, mut state: &mut dyn Hasher) {
        (&self.network, without_port(&self.client_address), &self.service).hash(&mut state);
    }
}

impl Call for BypassRequest {
    type Reply = Match;
    const MODULE: Module = Module::Bypass;
    const FUNCTION: &'static str = "contains";
    const LEAVE: Leave = Leave::QUESTION;

    /// Matched: a service refuses. GOST: its stable HTTP client answers false. A hop or a node, which ask for no service,
    /// have to know: a hop that the target bypasses is left out, and what can't be told must not send it past the chain.
    fn on_failure(&self, on_error: Option<OnError>, _: ErrorKind) -> Option<Self::Reply> {
        match on_error {
            Some(OnError::Allow) => Some(Match::Unmatched),
            _ if self.service.is_none() => None,
            _ => Some(Match::Matched),
        }
    }

    fn self_check() -> Option<Self> {
        Some(Self {
            network: "tcp".into(),
            target_address: TARGET.into(),
            host: None,
            path: None,
            client_id: None,
            service: None,
        })
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        *reply == Match::Unmatched
    }
}

impl Call for HopRequest {
    type Reply = Option<String>;
    const MODULE: Module = Module::Hop;
    const FUNCTION: &'static str = "select";
    const LEAVE: Leave = Leave::QUESTION;

    /// The dial fails. GOST: no node, which on the first hop means a direct connection; so does `onError: allow`.
    fn on_failure(&self, on_error: Option<OnError>, _: ErrorKind) -> Option<Self::Reply> {
        (on_error == Some(OnError::Allow)).then_some(None)
    }

    fn self_check() -> Option<Self> {
        Some(Self {
            network: Some("tcp".into()),
            target_address: Some(TARGET.into()),
            host: None,
            path: None,
            client_id: None,
            source_address: Some(CLIENT.into()),
        })
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        reply.is_none()
    }

    fn flaw(reply: &Self::Reply) -> Option<String> {
        node(reply.as_deref()?.as_bytes()).err()
    }

    fn cache_key(&self, mut state: &mut dyn Hasher) {
        let source = self.source_address.as_deref().map(without_port);
        (&self.network, &self.target_address, &self.host, &self.path, &self.client_id, source).hash(&mut state);
    }
}

impl Call for LimitRequest {
    type Reply = Rates;
    const MODULE: Module = Module::Limiter;
    const FUNCTION: &'static str = "limit";
    const LEAVE: Leave = Leave::QUESTION;

    /// No limit, or with `onError: deny` nothing passes. The limiter asks only for keys that it doesn't remember.
    fn on_failure(&self, on_error: Option<OnError>, _: ErrorKind) -> Option<Self::Reply> {
        let rate = (on_error == Some(OnError::Deny)).then_some(0);
        Some(Rates { upload: rate, download: rate })
    }

    fn self_check() -> Option<Self> {
        Some(Self {
            scope: LimitScope::Service,
            service: "self-check".into(),
            network: "tcp".into(),
            target_address: None,
            client_id: None,
            source_address: None,
        })
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        reply.upload.is_none() && reply.download.is_none()
    }

    fn cache_key(&self, mut state: &mut dyn Hasher) {
        let source = self.source_address.as_deref().map(without_port);
        (self.scope, &self.service, &self.network, &self.target_address, &self.client_id, source).hash(&mut state);
    }
}

impl Call for LookupRequest {
    type Reply = Vec<String>;
    const MODULE: Module = Module::Hosts;
    const FUNCTION: &'static str = "lookup";
    const LEAVE: Leave = Leave::QUESTION;

    /// Not in the table, unless `onError: deny` makes it an error.
    fn on_failure(&self, on_error: Option<OnError>, _: ErrorKind) -> Option<Self::Reply> {
        (on_error != Some(OnError::Deny)).then(Vec::new)
    }

    fn self_check() -> Option<Self> {
        Some(Self { family: AddressFamily::Any, host: HOST.into(), client_id: None })
    }

    fn flaw(reply: &Self::Reply) -> Option<String> {
        too_long(reply)
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        reply.is_empty()
    }
}

impl Call for ResolveRequest {
    type Reply = Vec<String>;
    const MODULE: Module = Module::Resolver;
    const FUNCTION: &'static str = "resolve";
    const LEAVE: Leave = Leave::QUESTION;

    /// An error: the dial fails.
    fn on_failure(&self, _: Option<OnError>, _: ErrorKind) -> Option<Self::Reply> {
        None
    }

    fn self_check() -> Option<Self> {
        Some(Self { family: AddressFamily::Any, host: HOST.into(), client_id: None })
    }

    fn flaw(reply: &Self::Reply) -> Option<String> {
        too_long(reply)
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        reply.is_empty()
    }
}

impl Call for GetRuleRequest {
    type Reply = Option<String>;
    const MODULE: Module = Module::Ingress;
    const FUNCTION: &'static str = "get-rule";
    const LEAVE: Leave = Leave::QUESTION;

    /// No rule.
    fn on_failure(&self, _: Option<OnError>, _: ErrorKind) -> Option<Self::Reply> {
        Some(None)
    }

    fn self_check() -> Option<Self> {
        Some(Self { host: HOST.into(), service: None })
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        reply.is_none()
    }
}

impl Call for RouteRequest {
    type Reply = Option<Route>;
    const MODULE: Module = Module::Router;
    const FUNCTION: &'static str = "get-route";
    const LEAVE: Leave = Leave::QUESTION;

    /// No route: the packet is dropped.
    fn on_failure(&self, _: Option<OnError>, _: ErrorKind) -> Option<Self::Reply> {
        Some(None)
    }

    fn self_check() -> Option<Self> {
        Some(Self { destination: "192.0.2.1".into(), router_id: None })
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        reply.is_none()
    }
}

/// Six calls are the same to the letter: messages, whose failure the caller handles and logs.
macro_rules! message {
    ($request:ty, $module:expr, $function:literal) => {
        impl Call for $request {
            type Reply = ();
            const MODULE: Module = $module;
            const FUNCTION: &'static str = $function;
            const LEAVE: Leave = Leave::MESSAGE;

            /// An error, which the caller handles and logs.
            fn on_failure(&self, _: Option<OnError>, _: ErrorKind) -> Option<()> {
                None
            }

            fn is_negative((): &()) -> bool {
                false
            }
        }
    };
}

message!(SetRuleRequest, Module::Ingress, "set-rule");
message!(RegisterRequest, Module::Sd, "register");
message!(RenewRequest, Module::Sd, "renew");
message!(DeregisterRequest, Module::Sd, "deregister");
message!(WriteRequest, Module::Recorder, "write");
message!(ObserveRequest, Module::Observer, "observe");

impl Call for GetServicesRequest {
    type Reply = Vec<Service>;
    const MODULE: Module = Module::Sd;
    const FUNCTION: &'static str = "get-services";
    const LEAVE: Leave = Leave::QUESTION;

    /// An error: the dial fails.
    fn on_failure(&self, _: Option<OnError>, _: ErrorKind) -> Option<Self::Reply> {
        None
    }

    fn self_check() -> Option<Self> {
        Some(Self { name: "self-check".into() })
    }

    fn flaw(reply: &Self::Reply) -> Option<String> {
        too_long(reply)
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        reply.is_empty()
    }
}

impl Call for RewriteRequest {
    type Reply = Option<Vec<u8>>;
    const MODULE: Module = Module::Rewriter;
    const FUNCTION: &'static str = "rewrite";
    /// Not repeated and not kept: bodies are large, and no two requests are the same.
    const LEAVE: Leave = Leave { cache: false, repeat: false, shadow: true };

    /// Unchanged.
    fn on_failure(&self, _: Option<OnError>, _: ErrorKind) -> Option<Self::Reply> {
        Some(None)
    }

    fn is_negative(reply: &Self::Reply) -> bool {
        reply.is_none()
    }
}
