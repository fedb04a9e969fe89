//! [`PluginClient`]: a bridge and its policies.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use drawspan_wit::{CallError, Module, OnError, Plugin};

use crate::layer::{
    Beside, CacheSettings, Cached, Deadline, FailSafe, Fallback, InFlight, Observed, Retry, Shadow, Store,
};
use crate::metrics::{Labels, Metrics};
use crate::{Backing, BackingError, BackingSettings, PluginCall};

/// What an operator writes in a `plugin:` block.
#[derive(Clone)]
pub struct PluginSettings {
    /// The block's name in logs and metrics: the entry's name in the config, followed by `.fallback` or `.shadow` for a block
    /// within its block.
    pub name: Arc<str>,
    /// Whose questions it answers; the same for the blocks within.
    pub module: Module,
    /// What answers.
    pub backing: BackingSettings,
    /// The wall clock of one call to this block, all attempts and all that they wait for included.
    pub timeout: Duration,
    /// Calls in flight; one more fails at once.
    pub concurrency: usize,
    /// Attempts after the first, for calls that may be repeated.
    pub retries: u32,
    /// Keeps replies, for calls that allow it.
    pub cache: Option<CacheSettings>,
    /// Asked when this one can't be reached.
    pub fallback: Option<Box<PluginSettings>>,
    /// Asked too, and compared.
    pub shadow: Option<Box<ShadowSettings>>,
    /// The operator's choice in place of the failure table's. That of the outermost block counts.
    pub on_error: Option<OnError>,
}

impl PluginSettings {
    /// A block with the config's defaults: no policies but a time and calls in flight.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, module: Module, backing: BackingSettings) -> Self {
        Self {
            name: name.into(),
            module,
            backing,
            timeout: Duration::from_secs(10),
            concurrency: 1024,
            retries: 0,
            cache: None,
            fallback: None,
            shadow: None,
            on_error: None,
        }
    }
}

/// What an operator writes as `shadow` and `sample`.
#[derive(Clone)]
pub struct ShadowSettings {
    /// What is asked.
    pub plugin: PluginSettings,
    /// The share of calls, from 0 to 1.
    pub sample: f64,
}

/// Why a plugin can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct LoadError {
    /// The name of the block that can't be used.
    pub plugin: Arc<str>,
    /// Why.
    pub source: BackingError,
}

/// The policies of one block, outside in: the second plugin, counting and logging, the kept replies, the deadline, the
/// attempts, the calls in flight; and beside the backing its shadow.
type Policies = Fallback<Observed<Cached<Deadline<Retry<InFlight<Shadow<Backing, Nested>>>>>>, Nested>;

/// A plugin as the gateway sees it: the policies of a block, and what a failure of it all means. Clones are one plugin.
#[derive(Clone)]
pub struct PluginClient(Arc<ArcSwap<FailSafe<Policies>>>);

impl PluginClient {
    /// Makes ready to answer every call of the module. Servers aren't contacted; components are compiled and started. Must
    /// run in a tokio runtime.
    ///
    /// # Errors
    /// When the settings of a block can't be used, or its component doesn't answer the module's calls.
    pub async fn load(settings: PluginSettings, metrics: &Metrics) -> Result<Self, LoadError> {
        let on_error = settings.on_error;
        let policies = FailSafe::new(policies(settings, metrics).await?, on_error);
        Ok(Self(Arc::new(ArcSwap::from_pointee(policies))))
    }

    /// Has calls answered as `other` answers them, from now on: those that are under way finish as they began.
    pub fn become_like(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }
}

/// The same plugin, whose failures stay failures: for tools, which want to see them, and for limiters.
pub struct Bare(PluginClient);

impl From<PluginClient> for Bare {
    fn from(client: PluginClient) -> Self {
        Self(client)
    }
}

impl<C: PluginCall> Plugin<C> for Bare {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        self.0.0.load_full().inner.call(call).await
    }
}

async fn policies(settings: PluginSettings, metrics: &Metrics) -> Result<Policies, LoadError> {
    let PluginSettings { name, module, backing, timeout, concurrency, retries, cache, fallback, shadow, .. } = settings;
    let failed = |source| LoadError { plugin: Arc::clone(&name), source };
    let labels = Labels::new(&name, module, backing.kind());
    let address = backing.to_string();

    let backing = Backing::load(backing, module, || metrics.component(&labels)).await.map_err(failed)?;
    let beside = match shadow {
        Some(shadow) => {
            let plugin = Nested::load(shadow.plugin, metrics).await?;
            Some(Beside::new(plugin, shadow.sample, labels.clone(), metrics.shadow(&labels)))
        }
        None => None,
    };
    let store = cache.map(|cache| Store::new(cache, timeout, metrics.cache(&labels))).transpose();
    let fallback = match fallback {
        Some(fallback) => Some((Nested::load(*fallback, metrics).await?, metrics.fallbacks(&labels))),
        None => None,
    };

    let plugin = Shadow::new(backing, beside);
    let plugin = InFlight::new(plugin, concurrency);
    let plugin = Retry::new(plugin, retries);
    let plugin = Deadline::new(plugin, timeout);
    let plugin = Cached::new(plugin, store.map_err(|error| failed(error.into()))?);
    let plugin = Observed::new(plugin, &labels, address, metrics);
    Ok(Fallback::new(plugin, fallback))
}

impl<C: PluginCall> Plugin<C> for PluginClient {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        self.0.load_full().call(call).await
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A block within a block, which may have blocks within in turn.
struct Nested(Box<Policies>);

impl Nested {
    /// In a box, since a future can't contain itself.
    fn load(settings: PluginSettings, metrics: &Metrics) -> Boxed<'_, Result<Self, LoadError>> {
        Box::pin(async move { Ok(Self(Box::new(policies(settings, metrics).await?))) })
    }
}

impl<C: PluginCall> Plugin<C> for Nested {
    fn call(&self, call: Arc<C>) -> impl Future<Output = Result<C::Reply, CallError>> + Send {
        let future: Boxed<'_, _> = Box::pin(self.0.call(call));
        future
    }
}

#[cfg(test)]
mod tests;
