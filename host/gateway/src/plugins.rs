//! [`Plugins`]: from `plugin:` blocks to clients.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drawspan_config::{Backing, Diagnostic, GrpcTarget, Instance, OnError, Place, Plugin, Secret, Tls, WasmPlugin};
use drawspan_plugin_client::{
    BackingSettings, Engine, GrpcSettings, HttpSettings, Metrics, PluginCall, PluginClient, PluginSettings, Target,
    TlsSettings, WasmSettings,
};

/// How long a component may take to start, when its calls have less time than that: a first start is slower than a call.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// What plugin clients are made with.
pub(crate) struct Plugins {
    metrics: Metrics,
    cache: Option<PathBuf>,
    /// Made when the first component is loaded; a gateway without one needs none.
    engine: Option<Engine>,
}

impl Plugins {
    pub(crate) fn new(metrics: Metrics, cache: Option<PathBuf>) -> Self {
        Self { metrics, cache, engine: None }
    }

    /// Makes ready a plugin that answers `C` under the name `name`.
    pub(crate) async fn load<C: PluginCall>(
        &mut self,
        name: &str,
        plugin: &Plugin,
    ) -> Result<PluginClient, Diagnostic> {
        let name: Arc<str> = name.into();
        let settings = PluginSettings {
            name: Arc::clone(&name),
            backing: self.backing(name, plugin)?,
            timeout: plugin.timeout,
            concurrency: plugin.concurrency as usize,
            on_error: plugin.on_error.map(|on_error| match on_error {
                OnError::Allow => drawspan_wit::OnError::Allow,
                OnError::Deny => drawspan_wit::OnError::Deny,
            }),
        };
        let failed = |error| Diagnostic::error(place(plugin), format!("`{}` can't be used: {error}", settings.name));
        PluginClient::load::<C>(settings.clone(), &self.metrics).await.map_err(failed)
    }

    fn backing(&mut self, name: Arc<str>, plugin: &Plugin) -> Result<BackingSettings, Diagnostic> {
        let max_reply = usize::try_from(plugin.max_reply).unwrap_or(usize::MAX);
        // Half of a call's time, so that the attempt's end is known to the calls that wait for it.
        let connect_timeout = (plugin.timeout / 2).min(Duration::from_secs(5));
        Ok(match &plugin.backing {
            Backing::Grpc { addr, token, tls } => BackingSettings::Grpc(GrpcSettings {
                target: match &addr.value {
                    GrpcTarget::Tcp { host, port } => Target::Tcp(host.clone(), *port),
                    GrpcTarget::Unix(path) => Target::Unix(path.clone()),
                },
                tls: tls.as_ref().map(tls_settings),
                token: token.as_ref().map(exposed),
                timeout: plugin.timeout,
                connect_timeout,
                max_reply,
            }),
            Backing::Http { addr, token, tls } => BackingSettings::Http(HttpSettings {
                url: addr.value.expose().clone(),
                tls: tls.as_ref().map(tls_settings),
                token: token.as_ref().map(exposed),
                connect_timeout,
                max_reply,
            }),
            Backing::Wasm(wasm) => {
                let start_timeout = plugin.timeout.max(START_TIMEOUT);
                BackingSettings::Wasm(wasm_settings(name, wasm, max_reply, start_timeout), self.engine(wasm)?)
            }
        })
    }

    fn engine(&mut self, wasm: &WasmPlugin) -> Result<Engine, Diagnostic> {
        if let Some(engine) = &self.engine {
            return Ok(engine.clone());
        }
        let engine =
            Engine::new(self.cache.clone()).map_err(|error| Diagnostic::error(&wasm.file.place, error.to_string()))?;
        Ok(self.engine.insert(engine).clone())
    }
}

/// Where a plugin that can't be used is reported: at its address.
fn place(plugin: &Plugin) -> &Place {
    match &plugin.backing {
        Backing::Grpc { addr, .. } => &addr.place,
        Backing::Http { addr, .. } => &addr.place,
        Backing::Wasm(wasm) => &wasm.file.place,
    }
}

fn wasm_settings(name: Arc<str>, wasm: &WasmPlugin, max_reply: usize, start_timeout: Duration) -> WasmSettings {
    WasmSettings {
        name,
        path: wasm.file.value.clone(),
        sha256: wasm.sha256.as_ref().map(|digest| hex(&digest.value)),
        instances: wasm.instances as usize,
        min_instances: wasm.min_instances as usize,
        max_calls: match wasm.instance {
            Instance::Fresh => 1,
            Instance::Reuse => wasm.max_calls.map_or(0, u64::from),
        },
        memory: usize::try_from(wasm.memory).unwrap_or(usize::MAX),
        config: pairs(&wasm.config),
        env: pairs(&wasm.env),
        max_reply,
        start_timeout,
    }
}

fn tls_settings(tls: &Tls) -> TlsSettings {
    TlsSettings {
        ca_file: tls.ca_file.as_ref().map(|path| path.value.clone()),
        cert_file: tls.identity.as_ref().map(|identity| identity.cert_file.value.clone()),
        key_file: tls.identity.as_ref().map(|identity| identity.key_file.value.clone()),
        secure: tls.secure,
        server_name: tls.server_name.clone(),
    }
}

fn exposed(secret: &Secret) -> String {
    secret.expose().to_owned()
}

fn pairs(map: &[(String, Secret)]) -> Vec<(String, String)> {
    map.iter().map(|(key, value)| (key.clone(), exposed(value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String doesn't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
