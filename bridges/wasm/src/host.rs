//! [`Host`]: what an instance sees of the world.

use std::sync::Arc;

use wasmtime::ResourceLimiter;
use wasmtime::component::{ComponentType, Lift, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};

use crate::bridge::WasmSettings;
use crate::keyvalue::Bucket;
use crate::log::{GuestLog, LogStream};

/// What one plugin's instances are given: the same for each of them.
pub(crate) struct Grants {
    config: WasiConfigVariables,
    env: Vec<(String, String)>,
    memory: usize,
    log: Arc<GuestLog>,
    stores: Vec<Bucket>,
}

impl Grants {
    pub(crate) fn new(settings: &WasmSettings) -> Self {
        Self {
            config: settings.config.iter().cloned().collect(),
            env: settings.env.clone(),
            memory: settings.memory,
            log: Arc::new(GuestLog::new(&settings.name)),
            stores: settings.keyvalue.iter().map(|(name, size)| Bucket::new(name.clone(), *size)).collect(),
        }
    }

    /// The store of `wasi:keyvalue` that was granted under this name.
    pub(crate) fn store(&self, name: &str) -> Option<Bucket> {
        self.stores.iter().find(|store| store.name() == name).cloned()
    }
}

/// The state of one instance.
pub(crate) struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    grants: Arc<Grants>,
    limits: Limits,
}

impl Host {
    pub(crate) fn new(grants: Arc<Grants>) -> Self {
        // No files, no network, no arguments; output goes to the log. Clocks and randomness are real.
        let mut wasi = WasiCtx::builder();
        wasi.envs(&grants.env)
            .stdout(LogStream::new(&grants.log))
            .stderr(LogStream::new(&grants.log))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        Self {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            limits: Limits { memory_left: grants.memory, memory: grants.memory },
            grants,
        }
    }

    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    pub(crate) fn table(&self) -> &ResourceTable {
        &self.table
    }

    pub(crate) fn table_mut(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    pub(crate) fn limits(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limits
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Everything that any component may import without a grant. Functions of WASI that need one are there and find nothing.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_config::add_to_linker(&mut linker, |host: &mut Host| WasiConfig::from(&host.grants.config))?;
    linker.instance("wasi:logging/logging@0.1.0-draft")?.func_wrap(
        "log",
        |store, (level, _context, message): (Level, String, String)| {
            let log: &GuestLog = &store.data().grants.log;
            log.line(level.into(), message.trim_end());
            Ok(())
        },
    )?;
    Ok(linker)
}

/// `wasi:logging/logging.level`. Made from what a guest passes, never here.
#[allow(dead_code, reason = "its values are lifted")]
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warn => Self::WARN,
            Level::Error | Level::Critical => Self::ERROR,
        }
    }
}

/// The limits of one instance. A component may be made of several modules with a memory each: they share `memory`.
struct Limits {
    memory_left: usize,
    memory: usize,
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        // A trap rather than a failed `memory.grow`: the operator then reads this, and not what the guest made of it.
        wasmtime::ensure!(
            more <= self.memory_left,
            "it wants more memory than the {} MiB of `memory`",
            self.memory >> 20
        );
        self.memory_left -= more;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        wasmtime::ensure!(desired <= 60_000, "it wants a table of {desired} elements");
        Ok(true)
    }
}
