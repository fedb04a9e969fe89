//! [`Call`]: one function of the contract as a value.

use std::hash::{Hash, Hasher};

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::{ErrorKind, Module};

/// Hands the request types of all calls, in the order of the WIT package, to the macro `$then`: `$then! { … ; Request, … }`, with
/// what else it was given before the semicolon.
#[macro_export]
macro_rules! every_call {
    ($then:ident $(, $($given:tt)*)?) => {
        $then! {
            $($($given)*)? ;
            $crate::authenticator::AuthenticationRequest,
            $crate::admission::AdmissionRequest,
            $crate::bypass::BypassRequest,
            $crate::hop::HopRequest,
            $crate::traffic_limiter::LimitRequest,
            $crate::host_mapper::LookupRequest,
            $crate::resolver::ResolveRequest,
            $crate::ingress::GetRuleRequest,
            $crate::ingress::SetRuleRequest,
            $crate::router::RouteRequest,
            $crate::service_discovery::RegisterRequest,
            $crate::service_discovery::RenewRequest,
            $crate::service_discovery::DeregisterRequest,
            $crate::service_discovery::GetServicesRequest,
            $crate::recorder::WriteRequest,
            $crate::observer::ObserveRequest,
            $crate::rewriter::RewriteRequest
        }
    };
}

/// What the operator wrote as `onError`: how a module answers when its plugin can't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Carry on as if the plugin had nothing against it.
    Allow,
    /// Refuse.
    Deny,
}

/// What may be done with a call besides asking once. Each call says it, in `calls.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// A reply may be kept and given again.
    pub cache: bool,
    /// After a failure it may be asked once more.
    pub repeat: bool,
    /// Another plugin may be asked too, for comparison.
    pub shadow: bool,
}

impl Leave {
    /// A question without side effects.
    pub const QUESTION: Self = Self { cache: true, repeat: true, shadow: true };
    /// A message whose effect is the point.
    pub const MESSAGE: Self = Self { cache: false, repeat: false, shadow: false };

    /// What may be done with either of two calls.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            cache: self.cache || other.cache,
            repeat: self.repeat || other.repeat,
            shadow: self.shadow || other.shadow,
        }
    }
}

/// One function of the contract. Its request record implements this, so that bridges and policies can be written once
/// for all calls.
///
/// Requests hold credentials: they are never logged, and never formatted with `{:?}` into anything that is.
pub trait Call:
    ComponentType + Lower + Serialize + DeserializeOwned + Clone + Eq + Hash + Send + Sync + Sized + 'static
{
    /// The answer.
    type Reply: ComponentType + Lift + Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static;

    /// The module that asks.
    const MODULE: Module;
    /// The function's name in the WIT interface [`Module::interface`], e.g. `authenticate`.
    const FUNCTION: &'static str;
    /// What may be done with it besides asking once.
    const LEAVE: Leave;

    /// What the module answers when its plugin can't, or `None` where the error is the caller's to handle.
    ///
    /// This is the failure table of the user's guide, and the only place where it is written. `on_error` is the
    /// operator's choice, `None` when not configured. `kind` matters because what a client may be able to cause
    /// (a trap, a missed deadline, an overload) must never let that client in.
    fn on_failure(&self, on_error: Option<OnError>, kind: ErrorKind) -> Option<Self::Reply>;

    /// A question to try a plugin with before it serves; none where asking has an effect.
    fn self_check() -> Option<Self> {
        None
    }

    /// Whether a reply says no, or that there is nothing: such a reply is kept for `negativeTTL`.
    fn is_negative(reply: &Self::Reply) -> bool;

    /// What is wrong with a reply that its type allows; it is then a bad one, whoever gave it.
    fn flaw(_reply: &Self::Reply) -> Option<String> {
        None
    }

    /// What replies are kept by: everything that a plugin may look at, but for the port of a client's address, which is new
    /// with each connection.
    fn cache_key(&self, state: &mut dyn Hasher) {
        let mut state = state;
        self.hash(&mut state);
    }
}
