//! What these tests share.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use drawspan_bridge_wasm::{
    Counters, Engine, Function, HostName, HttpHost, LoadError, StoreSettings, WasmBridge, WasmSettings,
};
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::{Call, CallError, ErrorKind, Plugin};
use tokio::time::timeout;
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
    WasmSettings { instances: 4, timeout: PATIENCE, start_timeout: PATIENCE, ..WasmSettings::new("plugin-0", path) }
}

/// The store `default` in memory, of so many bytes.
pub(crate) fn memory(size: usize) -> Vec<(String, StoreSettings)> {
    vec![("default".into(), StoreSettings::Memory { size })]
}

/// For a guest that wants `httpHosts` without a host to ask.
pub(crate) fn nobody() -> Vec<HttpHost> {
    vec![HttpHost { host: HostName::Name("name.invalid".into()), ports: None }]
}

/// A component of `tests/guests`, by its file.
pub(crate) fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/prebuilt").join(name)
}

/// An authenticator that does what the user name says.
pub(crate) struct Guest(pub(crate) Arc<WasmBridge>);

impl Guest {
    pub(crate) async fn start(name: &str, change: impl FnOnce(&mut WasmSettings)) -> Self {
        let mut settings = WasmSettings { name: name.into(), ..settings(guest(name)) };
        change(&mut settings);
        Self(load::<AuthenticationRequest>(&Engine::new(None).unwrap(), settings).await.unwrap())
    }

    /// The client id that it answers.
    pub(crate) async fn ask(&self, username: &str, password: &str) -> Result<String, CallError> {
        let request = AuthenticationRequest {
            username: username.into(),
            password: password.into(),
            client_address: None,
            service: "service-0".into(),
            certificate: None,
        };
        let answer = timeout(PATIENCE, self.0.call(Arc::new(request))).await.unwrap();
        Ok(answer?.map(|identity| identity.client_id).unwrap_or_default())
    }

    /// What it says when it is refused what it wants: the guest's own text.
    pub(crate) async fn refusal(&self, username: &str, password: &str) -> String {
        let error = self.ask(username, password).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{username} {password}: {error}");
        error.to_string().split_once("failed: ").unwrap_or_default().1.to_owned()
    }

    /// What ends the call without an answer of the guest's. The next one is answered.
    pub(crate) async fn failure(&self, username: &str, password: &str) -> CallError {
        let error = self.ask(username, password).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::Refused, "{username} {password}: {error}");
        assert_eq!(self.ask("ok", "").await.unwrap(), "ok", "after {username} {password}");
        error
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
