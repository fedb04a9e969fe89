//! What these tests share.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use drawspan_bridge_wasm::{Counters, Engine, Function, LoadError, WasmBridge, WasmSettings};
use drawspan_wit::Call;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Long enough for a busy machine, short enough for a person.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A component of `guest-examples`, by its folder.
pub(crate) fn example(folder: &str) -> PathBuf {
    let module = folder.split('-').next().unwrap_or_default();
    examples().join(folder).join(module).with_extension("wasm")
}

pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-examples")
}

pub(crate) fn settings(path: PathBuf) -> WasmSettings {
    WasmSettings {
        name: "plugin-0".into(),
        source: path.into(),
        sha256: None,
        instances: 4,
        min_instances: 1,
        max_calls: 0,
        memory: 64 << 20,
        config: vec![],
        env: vec![],
        keyvalue: vec![],
        max_reply: 4 << 20,
        start_timeout: PATIENCE,
    }
}

/// A plugin that answers `C`.
pub(crate) async fn load<C: Call>(engine: &Engine, settings: WasmSettings) -> Result<Arc<WasmBridge>, LoadError> {
    load_all(engine, settings, vec![Function::of::<C>()]).await.map(Arc::new)
}

/// A plugin that answers all of `functions`.
pub(crate) async fn load_all(
    engine: &Engine,
    settings: WasmSettings,
    functions: Vec<Function>,
) -> Result<WasmBridge, LoadError> {
    WasmBridge::load(engine, settings, functions, Counters::default()).await
}

/// What plugins wrote to the log: name and line.
static LINES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Keeps what plugins write to the log from now on, for [`logged`].
pub(crate) fn keep_log() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(KeepLines)).unwrap();
    });
}

/// What the plugin `name` wrote to the log.
pub(crate) fn logged(name: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|(plugin, _)| plugin == name).map(|(_, line)| line.clone()).collect()
}

struct KeepLines;

impl<S: Subscriber> Layer<S> for KeepLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        if !line.plugin.is_empty() {
            LINES.lock().unwrap_or_else(PoisonError::into_inner).push((line.plugin, line.message));
        }
    }
}

#[derive(Default)]
struct Line {
    plugin: String,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "plugin" => self.plugin = format!("{value:?}"),
            "message" => self.message = format!("{value:?}"),
            _ => {}
        }
    }
}
