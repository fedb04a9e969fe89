//! [`Call`]: one function of the contract as a value.

use wasmtime::component::{ComponentType, Lift, Lower};

use crate::{ErrorKind, Module};

/// What the operator wrote as `onError`: how a module answers when its plugin can't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Carry on as if the plugin had nothing against it.
    Allow,
    /// Refuse.
    Deny,
}

/// One function of the contract. Its request record implements this, so that bridges and policies can be written once
/// for all calls.
///
/// Requests hold credentials: they are never logged, and never formatted with `{:?}` into anything that is.
pub trait Call: ComponentType + Lower + Clone + Send + Sync + Sized + 'static {
    /// The answer.
    type Reply: ComponentType + Lift + Clone + Send + Sync + 'static;

    /// The module that asks.
    const MODULE: Module;
    /// The function's name in the WIT interface [`Module::interface`], e.g. `authenticate`.
    const FUNCTION: &'static str;

    /// What the module answers when its plugin can't, or `None` where the error is the caller's to handle.
    ///
    /// This is the failure table of the user's guide, and the only place where it is written. `on_error` is the
    /// operator's choice, `None` when not configured. `kind` matters because what a client may be able to cause
    /// (a trap, a missed deadline, an overload) must never let that client in.
    fn on_failure(&self, on_error: Option<OnError>, kind: ErrorKind) -> Option<Self::Reply>;
}
