//! [`Engine`]: what all components of a process share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cache::Cache;
use crate::compiled::Compiler;
use crate::host::{self, Host};
use crate::slow::SlowLane;

/// The largest linear memory that an instance can be given, in bytes.
pub(crate) const MAX_MEMORY: usize = 256 << 20;
/// How many instances of all components may live at once.
const MAX_INSTANCES: u32 = 1024;
/// How long guest code runs before it is asked to yield.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// How many ticks without a call until the ticker sleeps.
const IDLE_TICKS: u32 = 100;

/// What all components of a process share: compiler, cache, instance memory, and the ticker that interrupts guest code.
/// Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasmtime: wasmtime::Engine,
    linker: Linker<Host>,
    compiler: Compiler,
    ticker: Ticker,
    slow: SlowLane,
}

/// Why there is no engine: the machine lacks something that wasmtime needs.
#[derive(Debug, thiserror::Error)]
#[error("WebAssembly is not available here: {0}")]
pub struct EngineError(String);

impl Engine {
    /// Keeps compiled components in the folder `cache`, if given: it is made if need be, and must belong to the user and to
    /// no one else. A folder that can't be used costs time at start, nothing more, and is logged.
    ///
    /// # Errors
    /// When the machine lacks something that wasmtime needs.
    pub fn new(cache: Option<PathBuf>) -> Result<Self, EngineError> {
        let wasmtime = wasmtime::Engine::new(&config(Some(pooling())))
            .or_else(|error| {
                // A low limit on virtual memory forbids the pool's reservation; instances then cost more to make.
                tracing::warn!(%error, "no room for the pool of WebAssembly instances; instances are allocated one by one");
                wasmtime::Engine::new(&config(None))
            })
            .map_err(|error| EngineError(error.to_string()))?;
        let failed = |error: std::io::Error| EngineError(error.to_string());
        Ok(Self(Arc::new(Inner {
            linker: host::linker(&wasmtime).map_err(|error| EngineError(error.to_string()))?,
            compiler: Compiler::new(cache.and_then(|folder| Cache::open(folder, &wasmtime))),
            ticker: Ticker::start(wasmtime.weak()).map_err(failed)?,
            slow: SlowLane::start().map_err(failed)?,
            wasmtime,
        })))
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn linker(&self) -> &Linker<Host> {
        &self.0.linker
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.0.compiler
    }

    pub(crate) fn slow(&self) -> &SlowLane {
        &self.0.slow
    }

    /// Keeps the ticker going while the guard lives. Guest code runs under one only.
    pub(crate) fn busy(&self) -> Busy {
        self.0.ticker.state.begin();
        Busy(self.clone())
    }
}

pub(crate) struct Busy(Engine);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.ticker.state.calls.fetch_sub(1, SeqCst);
    }
}

fn config(pool: Option<PoolingAllocationConfig>) -> Config {
    let mut config = Config::new();
    config
        // Interfaces with `async func` aren't offered; without them a call costs less than half.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        .wasm_backtrace_max_frames(None);
    if let Some(pool) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

/// Room for components of any language: a Go or Python one is made of several core modules with large tables.
fn pooling() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(MAX_INSTANCES)
        .total_core_instances(MAX_INSTANCES * 4)
        .total_memories(MAX_INSTANCES)
        .total_tables(MAX_INSTANCES * 4)
        .total_stacks(MAX_INSTANCES)
        .max_memory_size(MAX_MEMORY)
        .table_elements(60_000)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_tables_per_module(4)
        .max_unused_warm_slots(64)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// A thread that advances the engine's epoch while guest code may be running, and sleeps otherwise.
struct Ticker {
    state: Arc<TickerState>,
}

struct TickerState {
    calls: AtomicUsize,
    ticking: AtomicBool,
    thread: OnceLock<Thread>,
}

impl TickerState {
    fn begin(&self) {
        self.calls.fetch_add(1, SeqCst);
        // The ticker clears the flag before it looks at `calls` for the last time, so one of the two sees the other.
        if !self.ticking.load(SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

impl Ticker {
    fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let state = Arc::new(TickerState {
            calls: AtomicUsize::new(0),
            ticking: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        let thread = std::thread::Builder::new().name("wasm-ticker".into()).spawn({
            let state = Arc::clone(&state);
            move || tick(&engine, &state)
        })?;
        let _ = state.thread.set(thread.thread().clone());
        Ok(Self { state })
    }
}

fn tick(engine: &EngineWeak, state: &TickerState) {
    let mut idle = 0;
    loop {
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        drop(engine);
        if state.calls.load(SeqCst) > 0 {
            idle = 0;
        } else {
            idle += 1;
        }
        if idle < IDLE_TICKS {
            state.ticking.store(true, SeqCst);
            std::thread::sleep(TICK);
        } else {
            state.ticking.store(false, SeqCst);
            if state.calls.load(SeqCst) == 0 {
                // Bounded, so that the thread notices the end of the engine.
                std::thread::park_timeout(Duration::from_secs(60));
            }
            idle = 0;
        }
    }
}
