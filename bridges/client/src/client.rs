//! [`PluginClient`]: a bridge and its policies.

use std::sync::Arc;
use std::time::Duration;

use drawspan_wit::{CallError, Module, OnError, Plugin};

use crate::layer::{Deadline, FailSafe, InFlight, Observed};
use crate::metrics::Metrics;
use crate::{Backing, BackingError, BackingSettings, PluginCall};

/// What an operator writes in a `plugin:` block.
#[derive(Clone)]
pub struct PluginSettings {
    /// The entry's name in the config.
    pub name: Arc<str>,
    /// What answers.
    pub backing: BackingSettings,
    /// The wall clock of one call, all that it waits for included.
    pub timeout: Duration,
    /// Calls in flight; one more fails at once.
    pub concurrency: usize,
    /// The operator's choice in place of the failure table's.
    pub on_error: Option<OnError>,
}

/// The policies, outside in: what a failure means, counting and logging it, the deadline, the calls in flight.
type Stack<P> = FailSafe<Observed<Deadline<InFlight<P>>>>;

/// A plugin as the gateway sees it.
pub struct PluginClient(Stack<Backing>);

impl PluginClient {
    /// Makes ready to answer `C`.
    ///
    /// # Errors
    /// When the settings can't be used, or the component doesn't answer `C`.
    pub async fn load<C: PluginCall>(settings: PluginSettings, metrics: &Metrics) -> Result<Self, BackingError> {
        let address = settings.backing.to_string();
        let kind = settings.backing.kind();
        let backing = Backing::load::<C>(settings.backing.clone()).await?;
        Ok(Self(stack(backing, C::MODULE, &settings, kind, &address, metrics)))
    }
}

fn stack<P>(
    plugin: P,
    module: Module,
    settings: &PluginSettings,
    backing: &'static str,
    address: &str,
    metrics: &Metrics,
) -> Stack<P> {
    let plugin = InFlight::new(plugin, settings.concurrency);
    let plugin = Deadline::new(plugin, settings.timeout);
    let plugin =
        Observed::new(plugin, &settings.name, module, address, metrics.plugin(&settings.name, module, backing));
    FailSafe::new(plugin, settings.on_error)
}

impl<C: PluginCall> Plugin<C> for PluginClient {
    fn call(&self, call: Arc<C>) -> impl Future<Output = Result<C::Reply, CallError>> + Send {
        self.0.call(call)
    }
}
