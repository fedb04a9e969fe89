//! [`Plugins`]: from `plugin:` blocks to clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drawspan_config::{
    Backing, ComponentAddr, Config, Diagnostic, GrpcTarget, Instance, OnError, Place, Plugin, Secret, Tls, WasmPlugin,
};
use drawspan_plugin_client::{
    BackingSettings, Bare, CacheSettings, Engine, GrpcSettings, HttpSettings, LoadError, Metrics, PluginClient,
    PluginSettings, ShadowSettings, Source, Target, TlsSettings, WasmSettings,
};
use drawspan_wit::Module;
use prometheus_client::registry::Registry;

use crate::gateway::Gateway;
use crate::grants;
use crate::without_effect::without_effect;

/// How long a component may take to start, when its calls have less time than that: a first start is slower than a call.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes clients of `plugin:` blocks, and knows those that it made.
pub struct Plugins {
    metrics: Metrics,
    cache: Option<PathBuf>,
    /// Made when the first component is loaded; a gateway without one needs none.
    engine: Option<Engine>,
    warnings: Vec<Diagnostic>,
    /// What was made ready, in the order of the config.
    made: Vec<Made>,
    /// During a reload: what serves now, as far as the new config hasn't come to it.
    serving: Option<Vec<Made>>,
}

#[derive(Clone)]
struct Made {
    name: Arc<str>,
    module: Module,
    block: Plugin,
    client: PluginClient,
    /// During a reload: what it is to replace.
    old: Option<(Plugin, PluginClient)>,
}

/// What a reload came to.
#[derive(Default)]
pub struct Reloaded {
    /// The plugins that are others now.
    pub plugins: Vec<Arc<str>>,
    /// A `plugin:` block has a key that takes a restart: `trusted`, or `onError` of a limiter.
    pub restart: bool,
}

impl Plugins {
    /// Compiled components are kept in `cache`, if given.
    #[must_use]
    pub fn new(metrics: Metrics, cache: Option<PathBuf>) -> Self {
        Self { metrics, cache, engine: None, warnings: Vec::new(), made: Vec::new(), serving: None }
    }

    /// What the operator should know of the blocks made ready so far, and wasn't told yet.
    pub fn take_warnings(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.warnings)
    }

    /// Makes ready a plugin that answers the calls of `module` under the name `name`.
    pub(crate) async fn load(
        &mut self,
        name: &str,
        module: Module,
        plugin: &Plugin,
    ) -> Result<PluginClient, Diagnostic> {
        let old = self.next_serving(name, module);
        if let Some(made) = old.as_ref().filter(|made| made.block == *plugin) {
            let client = made.client.clone();
            self.made.extend(old);
            return Ok(client);
        }
        let settings = self.settings(name.into(), module, plugin)?;
        let client =
            PluginClient::load(settings, &self.metrics).await.map_err(|error| unusable(name, plugin, &error))?;
        let (block, old) = (plugin.clone(), old.map(|old| (old.block, old.client)));
        self.made.push(Made { name: name.into(), module, block, client: client.clone(), old });
        Ok(client)
    }

    /// The same, with failures that stay failures: for tools, and for a limiter, which remembers.
    ///
    /// # Errors
    /// When it can't be used, at its address.
    pub async fn load_bare(&mut self, name: &str, module: Module, plugin: &Plugin) -> Result<Bare, Diagnostic> {
        self.load(name, module, plugin).await.map(Bare::from)
    }

    /// What serves under that name; hops of several chains may share one.
    fn next_serving(&mut self, name: &str, module: Module) -> Option<Made> {
        let serving = self.serving.as_mut()?;
        let index = serving.iter().position(|made| *made.name == *name && made.module == module)?;
        Some(serving.remove(index))
    }

    /// Makes ready the plugins whose blocks are others in `config`, each of them asked once where that has no effect. When all
    /// of `config` is well they take over: calls that are under way finish where they began. What `config` says besides is only
    /// checked.
    ///
    /// # Errors
    /// All that is wrong with `config`; everything stays as it was then.
    pub async fn reload(&mut self, config: &Config) -> Result<Reloaded, Vec<Diagnostic>> {
        let mut next = Self {
            engine: self.engine.clone(),
            serving: Some(self.made.clone()),
            ..Self::new(self.metrics.clone(), self.cache.clone())
        };
        let outcome = Gateway::load(config, Registry::default(), &mut next).await;
        self.engine = next.engine;
        self.warnings.extend(next.warnings);
        outcome?;
        let mut reloaded = Reloaded::default();
        for made in &mut next.made {
            let Some((block, client)) = made.old.take() else { continue };
            client.become_like(&made.client);
            made.client = client;
            let is_limiter = made.module == Module::Limiter;
            reloaded.restart |=
                block.trusted != made.block.trusted || is_limiter && block.on_error != made.block.on_error;
            reloaded.plugins.push(Arc::clone(&made.name));
        }
        // Those that the config doesn't have any more serve until a restart.
        next.made.extend(next.serving.into_iter().flatten());
        self.made = next.made;
        Ok(reloaded)
    }

    /// The settings of a block and those within, each named by its key after the block around it.
    fn settings(&mut self, name: Arc<str>, module: Module, plugin: &Plugin) -> Result<PluginSettings, Diagnostic> {
        self.warnings.extend(without_effect(&name, module, plugin));
        let fallback = match &plugin.fallback {
            Some(fallback) => Some(Box::new(self.settings(format!("{name}.fallback").into(), module, fallback)?)),
            None => None,
        };
        let shadow = match &plugin.shadow {
            Some(shadow) => Some(Box::new(ShadowSettings {
                plugin: self.settings(format!("{name}.shadow").into(), module, &shadow.plugin)?,
                sample: shadow.sample,
            })),
            None => None,
        };
        Ok(PluginSettings {
            name: Arc::clone(&name),
            module,
            backing: self.backing(name, module, plugin)?,
            timeout: plugin.timeout,
            concurrency: plugin.concurrency as usize,
            retries: plugin.retries.as_ref().map_or(0, |retries| retries.value),
            cache: plugin.cache.as_ref().map(|cache| CacheSettings {
                ttl: cache.ttl,
                negative_ttl: cache.negative_ttl,
                size: cache.size.into(),
            }),
            fallback,
            shadow,
            on_error: on_error(plugin),
        })
    }

    fn backing(&mut self, name: Arc<str>, module: Module, plugin: &Plugin) -> Result<BackingSettings, Diagnostic> {
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
                if let Some(cache) = &self.cache {
                    grants::keep_from(cache, wasm)?;
                }
                let settings = wasm_settings(name, module, plugin, wasm, max_reply);
                let settings = WasmSettings { self_check: self.serving.is_some(), ..settings };
                BackingSettings::Wasm(settings, self.engine(wasm)?)
            }
        })
    }

    fn engine(&mut self, wasm: &WasmPlugin) -> Result<Engine, Diagnostic> {
        if let Some(engine) = &self.engine {
            return Ok(engine.clone());
        }
        let engine =
            Engine::new(self.cache.clone()).map_err(|error| Diagnostic::error(&wasm.addr.place, error.to_string()))?;
        Ok(self.engine.insert(engine).clone())
    }
}

/// The operator's choice in place of the failure table's.
pub(crate) fn on_error(plugin: &Plugin) -> Option<drawspan_wit::OnError> {
    plugin.on_error.as_ref().map(|on_error| match on_error.value {
        OnError::Allow => drawspan_wit::OnError::Allow,
        OnError::Deny => drawspan_wit::OnError::Deny,
    })
}

/// The block within `plugin` that `path`, such as `.fallback.shadow`, leads to.
fn block<'a>(plugin: &'a Plugin, path: &str) -> &'a Plugin {
    path.split('.').fold(plugin, |plugin, key| match (key, &plugin.fallback, &plugin.shadow) {
        ("fallback", Some(fallback), _) => fallback,
        ("shadow", _, Some(shadow)) => &shadow.plugin,
        _ => plugin,
    })
}

fn unusable(name: &str, plugin: &Plugin, error: &LoadError) -> Diagnostic {
    let plugin = block(plugin, error.plugin.strip_prefix(name).unwrap_or_default());
    Diagnostic::error(place(plugin), format!("`{}` can't be used: {error}", error.plugin))
}

/// Where a plugin that can't be used is reported: at its address.
fn place(plugin: &Plugin) -> &Place {
    match &plugin.backing {
        Backing::Grpc { addr, .. } => &addr.place,
        Backing::Http { addr, .. } => &addr.place,
        Backing::Wasm(wasm) => &wasm.addr.place,
    }
}

fn wasm_settings(name: Arc<str>, module: Module, plugin: &Plugin, wasm: &WasmPlugin, max_reply: usize) -> WasmSettings {
    WasmSettings {
        keyvalue: grants::stores(module, &name, wasm),
        name,
        source: match &wasm.addr.value {
            ComponentAddr::File(path) => Source::File(path.clone()),
            ComponentAddr::Https(url) => Source::Https(url.expose().clone()),
        },
        sha256: wasm.sha256.as_ref().map(|digest| digest.value),
        instances: wasm.instances as usize,
        min_instances: wasm.min_instances as usize,
        max_calls: match wasm.instance {
            Instance::Fresh => 1,
            Instance::Reuse => wasm.max_calls.map_or(0, u64::from),
        },
        memory: usize::try_from(wasm.memory).unwrap_or(usize::MAX),
        config: pairs(&wasm.config),
        env: pairs(&wasm.env),
        mounts: grants::mounts(wasm),
        connect: grants::connect(wasm),
        http_hosts: grants::http_hosts(wasm),
        log: wasm.log,
        timeout: plugin.timeout,
        max_reply,
        start_timeout: plugin.timeout.max(START_TIMEOUT),
        self_check: false,
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

#[cfg(test)]
mod tests {
    use drawspan_config::{AutherKind, Input, load};

    use super::*;

    /// The file is there, and isn't a component.
    const CONFIG: &str = "services: [{name: s, addr: ':0', handler: {type: http}}]
authers:
- name: auther-0
  plugin:
    addr: 127.0.0.1:8000
    fallback:
      addr: 127.0.0.1:8001
      shadow: {type: wasm, addr: Cargo.toml}
";

    #[tokio::test]
    async fn a_component_that_cant_be_used_is_reported_at_its_block() {
        let input =
            Input::Text { name: "test.yaml".into(), text: CONFIG.into(), folder: env!("CARGO_MANIFEST_DIR").into() };
        let config = load(&[input], true).unwrap_or_else(|errors| panic!("{errors:?}")).config;
        let AutherKind::Plugin(plugin) = &config.authers[0].kind else { panic!("{config:?}") };
        let mut plugins = Plugins::new(Metrics::register(&mut Registry::default()), None);
        let error = plugins.load("auther-0", Module::Auther, plugin).await.err().unwrap();
        assert!(error.message.starts_with("`auther-0.fallback.shadow` can't be used: "), "{}", error.message);
        assert_eq!(error.place.line_column(), Some((8, 34)));
    }
}
