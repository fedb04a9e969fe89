//! [`Edition`]: a plugin as its file was at one time.

use std::any::TypeId;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use drawspan_wit::lifecycle::InitRequest;
use drawspan_wit::{Call, CallError, ErrorKind};
use tokio::time::timeout;
use wasmtime::component::ComponentExportIndex;

use crate::bridge::WasmSettings;
use crate::component::Loaded;
use crate::function::Function;
use crate::host::Grants;
use crate::instance::{Instance, Template};
use crate::pool::{Lease, Pool};
use crate::slow::{Credit, Pace};
use crate::{Counters, Engine, LoadError};

/// What every edition of a plugin is made with.
pub(crate) struct Plan {
    pub(crate) engine: Engine,
    pub(crate) settings: WasmSettings,
    /// The component's file.
    pub(crate) path: PathBuf,
    /// Made once, so that stores and the log's rate are those of the plugin, whatever its file.
    pub(crate) grants: Arc<Grants>,
    pub(crate) functions: Vec<Function>,
    pub(crate) counters: Counters,
    pub(crate) credit: Credit,
    pub(crate) pace: Arc<Pace>,
}

/// One state of a plugin's file, running.
///
/// A call stays with the edition that it began with. When another edition takes over, an edition lives as long as its calls.
pub(crate) struct Edition {
    pub(crate) template: Template,
    pub(crate) pool: Pool,
    /// One call broke.
    pub(crate) suspicious: Wary,
    functions: Vec<(TypeId, ComponentExportIndex)>,
    plan: Arc<Plan>,
}

/// How many of the next calls are treated with care: what a client made a component do it can have done again.
#[derive(Default)]
pub(crate) struct Wary(AtomicU32);

impl Wary {
    const CALLS: u32 = 16;

    pub(crate) fn begin(&self) {
        self.0.store(Self::CALLS, Relaxed);
    }

    /// Whether it is one of those calls.
    pub(crate) fn counts(&self) -> bool {
        self.0.load(Relaxed) > 0 && self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

impl Plan {
    /// Reads, checks and compiles the file, away from the threads that serve connections.
    pub(crate) async fn read(self: &Arc<Self>) -> Result<Loaded, LoadError> {
        let plan = Arc::clone(self);
        let read = move || {
            let settings = &plan.settings;
            Loaded::read(&plan.engine, &plan.path, settings.sha256, plan.grants.linked())
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(LoadError::Invalid(error.to_string())))
    }
}

impl Edition {
    /// Finds the functions, starts an instance (with `lifecycle.init`), compares the types, and keeps the wanted number of
    /// instances warm. With `check` each question without side effects is asked once.
    pub(crate) async fn start(plan: &Arc<Plan>, loaded: Loaded, check: bool) -> Result<Arc<Self>, LoadError> {
        let find = |function: &Function| Ok((function.id, (function.find)(&loaded)?));
        let functions = plan.functions.iter().map(find).collect::<Result<Vec<_>, LoadError>>()?;
        let settings = &plan.settings;
        let request = || InitRequest { name: settings.name.to_string(), config: settings.config.clone() };
        let init = loaded.init().map(|index| (index, request()));
        let template = Template {
            engine: plan.engine.clone(),
            loaded,
            grants: Arc::clone(&plan.grants),
            init,
            max_reply: settings.max_reply,
        };
        let pool = Pool::new(settings.instances, settings.max_calls);
        let edition = Arc::new(Self { template, pool, suspicious: Wary::default(), functions, plan: Arc::clone(plan) });
        let warm = Arc::clone(&edition).warm_up(check);
        let mut account = plan.credit.open();
        let warm = plan.engine.slow().run(warm, account.as_mut(), |warm| warm);
        let done = timeout(settings.start_timeout, warm).await;
        if let Some(account) = account {
            account.settle();
        }
        match done {
            Ok(Ok(result)) => result.map(|()| edition),
            Ok(Err(error)) => Err(LoadError::Start(error.to_string())),
            Err(_) => Err(LoadError::Start(format!("it was not ready within {:?}", settings.start_timeout))),
        }
    }

    async fn warm_up(self: Arc<Self>, check: bool) -> Result<(), LoadError> {
        let failed = |error: CallError| LoadError::Start(error.to_string());
        let mut lease = self.pool.take().await.map_err(failed)?;
        let mut instance = Instance::start(&self.template).await.map_err(failed)?;
        for (function, (_, index)) in self.plan.functions.iter().zip(&self.functions) {
            (function.bind)(&mut instance, *index)?;
            if check {
                (function.check)(&mut instance, &self.template, *index).await?;
            }
        }
        lease.instance = Some(instance);
        self.pool.give_back(lease);
        self.fill().await.map_err(failed)
    }

    /// Where the function is that answers `C`.
    pub(crate) fn function<C: Call>(&self) -> Result<ComponentExportIndex, CallError> {
        let id = TypeId::of::<C>();
        let found = self.functions.iter().find(|(of, _)| *of == id).map(|(_, index)| *index);
        found.ok_or_else(|| CallError::new(ErrorKind::BadReply, format!("{} is not bound", C::FUNCTION)))
    }

    /// Replaces instances that are gone, so that the next call needn't wait for one.
    pub(crate) async fn fill(&self) -> Result<(), CallError> {
        self.pool.fill(&self.template, self.plan.settings.min_instances).await
    }

    /// One call on the leased instance, which stays in the lease if it is fit for another.
    pub(crate) async fn serve<C: Call>(
        self: Arc<Self>,
        mut lease: Lease,
        index: ComponentExportIndex,
        call: Arc<C>,
    ) -> (Lease, Result<C::Reply, CallError>) {
        let instance = lease.instance.take();
        let mut result = self.ask(&mut lease, instance, index, Arc::clone(&call)).await;
        if C::LEAVE.repeat && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Trapped) {
            self.plan.counters.repeats.inc();
            result = self.ask(&mut lease, None, index, call).await;
        }
        (lease, result)
    }

    /// Asks `instance`, or a new one.
    async fn ask<C: Call>(
        &self,
        lease: &mut Lease,
        instance: Option<Instance>,
        index: ComponentExportIndex,
        call: Arc<C>,
    ) -> Result<C::Reply, CallError> {
        let mut instance = match instance {
            Some(instance) => instance,
            None => Instance::start(&self.template).await?,
        };
        let result = instance.call(&self.template, index, call).await;
        if result.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::Refused) {
            lease.instance = Some(instance);
        }
        result
    }
}
