//! [`Host`]: what an instance sees of the world.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::ResourceLimiter;
use wasmtime::component::{ComponentType, Lift, Linker, ResourceTable};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bridge::WasmSettings;
use crate::http::{Hooks, HttpClient};
use crate::keyvalue::{Bucket, StoreSettings};
use crate::log::{GuestLog, LogStream};
use crate::sockets::{self, Addresses};

/// How many handles an instance may hold: open files, sockets, streams, requests, things to wait for. One more is a trap.
const HANDLES: usize = 512;
/// The most random bytes that are made at once.
const RANDOM: u64 = 1 << 20;

/// A folder that a component sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The folder. It is opened for each instance.
    pub host: PathBuf,
    /// What the component calls it, e.g. `/data`.
    pub guest: String,
    /// Whether the component may change what is in it.
    pub writable: bool,
}

/// What one plugin's instances are given: the same for each of them.
pub(crate) struct Grants {
    config: WasiConfigVariables,
    env: Vec<(String, String)>,
    mounts: Vec<Mount>,
    connect: Arc<[Addresses]>,
    http: Option<Arc<HttpClient>>,
    stores: Vec<Bucket>,
    memory: usize,
    log: Arc<GuestLog>,
}

impl Grants {
    /// Must run in a tokio runtime, on which connections to stores live then.
    pub(crate) fn new(settings: &WasmSettings) -> Self {
        let log = Arc::new(GuestLog::new(&settings.name, settings.log));
        let store =
            |(name, store): &(String, StoreSettings)| Bucket::new(name, store, settings.timeout, settings.max_reply);
        Self {
            config: settings.config.iter().cloned().collect(),
            env: settings.env.clone(),
            mounts: settings.mounts.clone(),
            connect: settings.connect.as_slice().into(),
            http: HttpClient::new(settings, &log),
            stores: settings.keyvalue.iter().map(store).collect(),
            memory: settings.memory,
            log,
        }
    }

    /// What is linked for them besides what everybody has.
    pub(crate) fn linked(&self) -> Linked {
        Linked { http: self.http.is_some(), keyvalue: !self.stores.is_empty() }
    }

    /// The store of `wasi:keyvalue` that was granted under this name.
    pub(crate) fn store(&self, name: &str) -> Option<Bucket> {
        self.stores.iter().find(|store| store.name() == name).cloned()
    }
}

/// Interfaces that are linked only when they were granted.
#[derive(Clone, Copy)]
pub(crate) struct Linked {
    pub(crate) http: bool,
    pub(crate) keyvalue: bool,
}

/// The state of one instance.
pub(crate) struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
    grants: Arc<Grants>,
    limits: Limits,
}

impl Host {
    /// Opens the folders that were granted.
    pub(crate) fn new(grants: Arc<Grants>) -> wasmtime::Result<Self> {
        // No files, no network, no arguments but for what was granted; output goes to the log. Clocks and randomness are real.
        let mut wasi = WasiCtx::builder();
        wasi.envs(&grants.env)
            .stdout(LogStream::new(&grants.log))
            .stderr(LogStream::new(&grants.log))
            .max_random_size(RANDOM)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        for Mount { host, guest, writable } in &grants.mounts {
            let permissions = if *writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            wasi.preopened_dir(host, guest, permissions)
                .map_err(|error| wasmtime::format_err!("can't open the mount {}: {error}", host.display()))?;
        }
        if !grants.connect.is_empty() {
            sockets::grant(&mut wasi, &grants.connect, &grants.log);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Ok(Self {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks::new(grants.http.as_ref()),
            table,
            limits: Limits { memory_left: grants.memory, memory: grants.memory },
            grants,
        })
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

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Everything that any component may import without a grant. Functions of WASI that need one are there and find nothing.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    sockets::count(&mut linker)?;
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

/// Why guest code was stopped.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LimitReached(String);

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        // A trap rather than a failed `memory.grow`: the operator then reads this, and not what the guest made of it.
        if more > self.memory_left {
            return Err(
                LimitReached(format!("it wants more memory than the {} MiB of `memory`", self.memory >> 20)).into()
            );
        }
        self.memory_left -= more;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > 60_000 {
            return Err(LimitReached(format!("it wants a table of {desired} elements")).into());
        }
        Ok(true)
    }
}
