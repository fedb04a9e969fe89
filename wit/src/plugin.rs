//! [`Plugin`]: whatever can answer a call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{Call, CallError};

/// Answers calls of one kind: a bridge, a policy around another plugin, rules in the config, a group of plugins.
///
/// The future may be dropped at any point; whatever it was doing ends, and the plugin stays usable. It may be polled
/// from any thread.
pub trait Plugin<C: Call>: Send + Sync {
    /// Asks once. The request is shared so that a policy can keep it, repeat it or compare it.
    ///
    /// # Errors
    /// When there is no answer; the [kind](crate::ErrorKind) says why.
    fn call(&self, call: Arc<C>) -> impl Future<Output = Result<C::Reply, CallError>> + Send;
}

/// A shared plugin of unknown kind: what modules hold.
pub type BoxPlugin<C> = Arc<dyn DynPlugin<C>>;

/// [`Plugin`] as an object; see [`boxed`].
pub trait DynPlugin<C: Call>: Send + Sync {
    #[doc(hidden)]
    fn call_boxed(&self, call: Arc<C>) -> Pin<Box<dyn Future<Output = Result<C::Reply, CallError>> + Send + '_>>;
}

impl<C: Call, P: Plugin<C>> DynPlugin<C> for P {
    fn call_boxed(&self, call: Arc<C>) -> Pin<Box<dyn Future<Output = Result<C::Reply, CallError>> + Send + '_>> {
        Box::pin(self.call(call))
    }
}

impl<C: Call> Plugin<C> for BoxPlugin<C> {
    fn call(&self, call: Arc<C>) -> impl Future<Output = Result<C::Reply, CallError>> + Send {
        (**self).call_boxed(call)
    }
}

/// Makes a plugin one that modules can hold.
pub fn boxed<C: Call>(plugin: impl Plugin<C> + 'static) -> BoxPlugin<C> {
    Arc::new(plugin)
}
