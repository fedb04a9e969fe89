//! [`WasmBridge`]: one plugin, in its sandbox.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use drawspan_bridge_transport::{TlsSettings, redacted};
use drawspan_wit::{Call, CallError, ErrorKind, Plugin};
use prometheus_client::metrics::counter::Counter;
use tokio::time::timeout;
use url::Url;

use crate::edition::{Edition, Plan};
use crate::fetch::fetch;
use crate::host::{Grants, Mount};
use crate::http::HttpHost;
use crate::keyvalue::StoreSettings;
use crate::slow::{AbortOnDrop, Credit, Pace};
use crate::sockets::Addresses;
use crate::watch::watch;
use crate::{Engine, Function, LoadError};

/// What an operator writes about a component (the `plugin:` block).
#[derive(Clone)]
pub struct WasmSettings {
    /// The entry's name in the config; told to `lifecycle.init` and put before the component's log lines.
    pub name: Arc<str>,
    /// Where the component is.
    pub source: Source,
    /// The component's SHA-256; anything else is refused. One that is fetched must have it.
    pub sha256: Option<[u8; 32]>,
    /// The most instances at a time, at least 1.
    pub instances: usize,
    /// How many are kept ready, at most `instances`.
    pub min_instances: usize,
    /// An instance is replaced after so many calls; 0: never, 1: each call has a fresh one.
    pub max_calls: u64,
    /// The linear memory of one instance, in bytes; at most 256 MiB.
    pub memory: usize,
    /// For `wasi:config` and `lifecycle.init`. May hold secrets.
    pub config: Vec<(String, String)>,
    /// The environment. May hold secrets.
    pub env: Vec<(String, String)>,
    /// The folders that it sees.
    pub mounts: Vec<Mount>,
    /// The addresses that it may connect to.
    pub connect: Vec<Addresses>,
    /// The hosts that it may send HTTP requests to; without any, `wasi:http` isn't there.
    pub http_hosts: Vec<HttpHost>,
    /// The stores of `wasi:keyvalue`, by name; without any, `wasi:keyvalue` isn't there.
    pub keyvalue: Vec<(String, StoreSettings)>,
    /// The lines that are kept of what it logs, per second.
    pub log: NonZeroU32,
    /// How long an HTTP request or an operation on a store may take. Whatever a call waits for ends with the call; this is
    /// for what a component leaves running behind it.
    pub timeout: Duration,
    /// The largest reply, in bytes. What the component passes to the gateway at once is bounded by it too.
    pub max_reply: usize,
    /// How long starting an instance may take at load.
    pub start_timeout: Duration,
    /// Whether each question without side effects is asked once before the component serves, as it is of every newer file.
    pub self_check: bool,
}

impl WasmSettings {
    /// A component that is granted nothing, with the defaults of the config.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, source: impl Into<Source>) -> Self {
        Self {
            name: name.into(),
            source: source.into(),
            sha256: None,
            instances: 8,
            min_instances: 1,
            max_calls: 0,
            memory: 64 << 20,
            config: Vec::new(),
            env: Vec::new(),
            mounts: Vec::new(),
            connect: Vec::new(),
            http_hosts: Vec::new(),
            keyvalue: Vec::new(),
            log: const { NonZeroU32::new(100).unwrap() },
            timeout: Duration::from_secs(10),
            max_reply: 4 << 20,
            start_timeout: Duration::from_secs(10),
            self_check: false,
        }
    }
}

/// Where a component is.
#[derive(Clone)]
pub enum Source {
    /// A file, which is watched.
    File(PathBuf),
    /// An `https` URL. It is fetched once and kept in the cache.
    Https(Url),
}

impl<P: Into<PathBuf>> From<P> for Source {
    fn from(path: P) -> Self {
        Self::File(path.into())
    }
}

/// As logs show it: without credentials.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Https(url) => f.write_str(&redacted(url)),
        }
    }
}

/// What happened to a plugin besides its calls. Cheap to clone; clones count together.
#[derive(Clone, Default)]
pub struct Counters {
    /// Calls that trapped and were asked again on a fresh instance.
    pub repeats: Counter,
    /// Newer files that took over.
    pub swaps: Counter,
    /// Newer files that could not be used.
    pub refused: Counter,
}

/// Answers calls by asking a component, in one of a pool of instances.
///
/// A call runs on its caller's thread, which it leaves to others every millisecond. All that a plugin's calls compute there beyond the
/// first millisecond or two of each is a tenth of a core, and 20 ms at a time; calls that broke or were given up count sixteenfold.
/// Then they go on, or begin, on threads of low priority: from 20 ms on with pauses, and from the beginning after one that broke.
/// Dropping the call stops the guest at its next yield, within a tick. A question without side effects that traps is asked once
/// more, on a fresh instance.
///
/// The component's file is watched: when it changes, what it is then takes over if it can serve. Dropping the bridge ends that.
pub struct WasmBridge {
    shared: Arc<Shared>,
    _watch: Option<AbortOnDrop<()>>,
}

pub(crate) struct Shared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) current: ArcSwap<Edition>,
}

impl WasmBridge {
    /// Makes ready to answer the calls of `functions`: reads, checks and compiles the component, away from the threads that
    /// serve connections, starts an instance (with `lifecycle.init`), compares the types, and keeps `min_instances` warm. Takes
    /// seconds for a large component that isn't in the cache. Must run in a tokio runtime.
    ///
    /// # Errors
    /// When the file isn't a component that can run here, doesn't export one of `functions`, or an instance doesn't start.
    pub async fn load(
        engine: &Engine,
        settings: WasmSettings,
        functions: Vec<Function>,
        counters: Counters,
    ) -> Result<Self, LoadError> {
        let grants = Arc::new(Grants::new(&settings));
        let (path, may_change) = match &settings.source {
            Source::File(path) => (path.clone(), true),
            Source::Https(url) => (
                fetch(engine, url, settings.sha256, &TlsSettings { secure: true, ..TlsSettings::default() }).await?,
                false,
            ),
        };
        let (credit, pace) = (Credit::new(), Pace::new());
        let plan = Arc::new(Plan { engine: engine.clone(), settings, path, grants, functions, counters, credit, pace });
        let current = ArcSwap::new(Edition::start(&plan, plan.read().await?, plan.settings.self_check).await?);
        let shared = Arc::new(Shared { plan, current });
        let watch = may_change.then(|| engine.slow().spawn(watch(Arc::clone(&shared)))).flatten();
        Ok(Self { shared, _watch: watch.map(AbortOnDrop) })
    }
}

impl<C: Call> Plugin<C> for WasmBridge {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let edition = self.shared.current.load_full();
        let index = edition.function::<C>()?;
        let lease = edition.pool.take().await?;
        let plan = &self.shared.plan;
        let (slow, pace) = (plan.engine.slow(), Arc::clone(&plan.pace));
        let work = Arc::clone(&edition).serve(lease, index, call);
        let suspect = edition.suspicious.counts();
        let mut account = plan.credit.open();
        let done = slow.run(work, account.as_mut(), |work| pace.keep(work, suspect)).await;
        let (lease, result) =
            done.map_err(|error| CallError::new(ErrorKind::Trapped, format!("the host failed: {error}")))?;
        if result.as_ref().is_err_and(|error| error.kind() != ErrorKind::Refused) {
            edition.suspicious.begin();
        } else if let Some(account) = account {
            account.settle();
        }
        let is_lost = lease.instance.is_none();
        edition.pool.give_back(lease);
        // Not after one that served its `maxCalls`: with `instance: fresh` the two threads would only be in each other's way.
        if is_lost {
            // An instance that can't be started is the next call's error.
            let (pace, patience) = (Arc::clone(&plan.pace), plan.settings.start_timeout);
            slow.spawn(timeout(patience, pace.keep(async move { edition.fill().await.is_ok() }, true)));
        }
        result
    }
}
