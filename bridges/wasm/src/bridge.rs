//! [`WasmBridge`]: one plugin, in its sandbox.

use std::any::TypeId;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drawspan_wit::lifecycle::InitRequest;
use drawspan_wit::{Call, CallError, ErrorKind, Plugin};
use tokio::time::timeout;
use wasmtime::component::ComponentExportIndex;

use crate::component::{Loaded, one_line};
use crate::host::{Grants, Mount};
use crate::http::HttpHost;
use crate::instance::{Instance, Template};
use crate::keyvalue::StoreSettings;
use crate::pool::{Lease, Pool};
use crate::sockets::Addresses;
use crate::{Engine, LoadError};

/// What an operator writes about a component (the `plugin:` block).
#[derive(Clone)]
pub struct WasmSettings {
    /// The entry's name in the config; told to `lifecycle.init` and put before the component's log lines.
    pub name: Arc<str>,
    /// The component's file.
    pub path: PathBuf,
    /// The file's SHA-256; anything else is refused.
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
}

impl WasmSettings {
    /// A component that is granted nothing, with the defaults of the config.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
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
        }
    }
}

/// Answers calls by asking a component, in one of a pool of instances.
///
/// A call runs on its caller's thread for a millisecond or two, and then on threads of low priority. Dropping the call stops
/// the guest at its next yield, within a tick.
pub struct WasmBridge {
    shared: Arc<Shared>,
    start_timeout: Duration,
    /// The functions that this plugin is asked; there are one to four.
    functions: Vec<(TypeId, ComponentExportIndex)>,
}

struct Shared {
    template: Template,
    pool: Pool,
    min_instances: usize,
}

impl WasmBridge {
    /// Reads, checks and compiles the component, away from the threads that serve connections. Takes seconds for a large one
    /// that isn't in the cache.
    ///
    /// # Errors
    /// When the file isn't a component that can run here.
    pub async fn load(engine: &Engine, settings: WasmSettings) -> Result<Self, LoadError> {
        let grants = Arc::new(Grants::new(&settings));
        let WasmSettings {
            name,
            path,
            sha256,
            instances,
            min_instances,
            max_calls,
            config,
            max_reply,
            start_timeout,
            ..
        } = settings;
        let loaded = {
            let (engine, linked) = (engine.clone(), grants.linked());
            tokio::task::spawn_blocking(move || Loaded::read(&engine, &path, sha256, linked))
                .await
                .unwrap_or_else(|error| Err(LoadError::Invalid(error.to_string())))?
        };
        let init = loaded.init().map(|index| (index, InitRequest { name: name.to_string(), config }));
        let template = Template { engine: engine.clone(), loaded, grants, init, max_reply };
        let shared = Arc::new(Shared { template, pool: Pool::new(instances, max_calls), min_instances });
        Ok(Self { shared, start_timeout, functions: Vec::new() })
    }

    /// Makes ready to answer `C`: finds the function, starts an instance (with `lifecycle.init`), compares the types, and
    /// keeps `min_instances` warm.
    ///
    /// # Errors
    /// When the component doesn't export it, or an instance doesn't start.
    pub async fn bind<C: Call>(&mut self) -> Result<(), LoadError> {
        let interface = C::MODULE.interface();
        let loaded = &self.shared.template.loaded;
        let parent = loaded.interface(C::MODULE)?;
        let missing = || LoadError::Shape { interface, reason: format!("it has no function `{}`", C::FUNCTION) };
        let index = loaded.component.get_export_index(Some(&parent), C::FUNCTION).ok_or_else(missing)?;

        let shared = Arc::clone(&self.shared);
        let started = self.shared.template.engine.slow().run(async move {
            let mut lease = shared.pool.take().await.map_err(|error| LoadError::Start(error.to_string()))?;
            let mut instance = match lease.instance.take() {
                Some(instance) => instance,
                None => Instance::start(&shared.template).await.map_err(|error| LoadError::Start(error.to_string()))?,
            };
            instance.bind::<C>(index).map_err(|error| LoadError::Shape { interface, reason: one_line(&error) })?;
            lease.instance = Some(instance);
            shared.pool.give_back(lease);
            let filled = shared.pool.fill(&shared.template, shared.min_instances).await;
            filled.map_err(|error| LoadError::Start(error.to_string()))
        });
        match timeout(self.start_timeout, started).await {
            Ok(Ok(result)) => result?,
            Ok(Err(error)) => return Err(LoadError::Start(error.to_string())),
            Err(_) => return Err(LoadError::Start(format!("it was not ready within {:?}", self.start_timeout))),
        }
        self.functions.push((TypeId::of::<C>(), index));
        Ok(())
    }
}

impl<C: Call> Plugin<C> for WasmBridge {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let id = TypeId::of::<C>();
        let function = self.functions.iter().find(|(of, _)| *of == id).map(|(_, index)| *index);
        let index =
            function.ok_or_else(|| CallError::new(ErrorKind::BadReply, format!("{} is not bound", C::FUNCTION)))?;
        let lease = self.shared.pool.take().await?;
        let work = serve(Arc::clone(&self.shared), lease, index, call);
        let (lease, result) = self
            .shared
            .template
            .engine
            .slow()
            .run(work)
            .await
            .map_err(|error| CallError::new(ErrorKind::Trapped, format!("the host failed: {error}")))?;
        if lease.instance.is_none() {
            self.replenish();
        }
        self.shared.pool.give_back(lease);
        result
    }
}

/// One call on the leased instance, which stays in the lease if it is fit for another.
async fn serve<C: Call>(
    shared: Arc<Shared>,
    mut lease: Lease,
    index: ComponentExportIndex,
    call: Arc<C>,
) -> (Lease, Result<C::Reply, CallError>) {
    let instance = match lease.instance.take() {
        Some(instance) => Ok(instance),
        None => Instance::start(&shared.template).await,
    };
    let result = match instance {
        Err(error) => Err(error),
        Ok(mut instance) => {
            let result = instance.call(&shared.template, index, call).await;
            if result.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::Refused) {
                lease.instance = Some(instance);
            }
            result
        }
    };
    (lease, result)
}

impl WasmBridge {
    /// Replaces an instance that died, so that the next call needn't wait for it.
    fn replenish(&self) {
        let shared = Arc::clone(&self.shared);
        self.shared.template.engine.slow().spawn(async move {
            // An instance that can't be started is the next call's error.
            drop(shared.pool.fill(&shared.template, shared.min_instances).await);
        });
    }
}
