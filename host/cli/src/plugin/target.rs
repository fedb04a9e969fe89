//! Which plugin a subcommand is about: the address, and what else a `plugin:` block says.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use drawspan_config::{Diagnostic, Input, Severity};
use drawspan_gateway::Plugins;
use drawspan_plugin_client::{Bare, Metrics};
use drawspan_wit::Module;
use serde_json::{Map, Value, json};

/// How keys are given.
const FLAGS: &str = "--config KEY=VALUE, --keyvalue STORE, --plugin JSON";

/// The keys of a component's `plugin:` block that have a flag. `--plugin` takes all of them.
#[derive(Args, Clone)]
pub(crate) struct Component {
    /// `timeout`, e.g. `500ms`
    #[arg(long)]
    timeout: Option<String>,
    /// `config` of a component; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// `keyvalue` of a component: a store in memory, by name; may be repeated
    #[arg(long, value_name = "STORE")]
    keyvalue: Vec<String>,
    /// Other keys of a `plugin:` block, as JSON
    #[arg(long, value_name = "JSON")]
    plugin: Option<String>,
}

/// The same, and those of a plugin server's.
#[derive(Args, Clone)]
pub(crate) struct Settings {
    /// `token`
    #[arg(long)]
    token: Option<String>,
    /// `tls.caFile`: verify the server with it
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    component: Component,
}

impl Settings {
    /// The flags that apply to a server, or to a component: for tools that ask one of each.
    pub(crate) fn of_its_kind(&self, is_server: bool) -> Self {
        let Self { token, ca, component } = self.clone();
        match is_server {
            true => Self { component: Component { config: Vec::new(), keyvalue: Vec::new(), ..component }, token, ca },
            false => Self { token: None, ca: None, component },
        }
    }

    /// The plugin at `address`: `grpc://…`, `grpcs://…`, `http://…`, `https://…`, or a component's file.
    pub(crate) async fn load(&self, plugins: &mut Plugins, module: Module, address: &str) -> anyhow::Result<Bare> {
        load(plugins, module, address, self.block(address)?).await
    }

    /// The same component, with a new instance for each call, and with stores of its own.
    pub(crate) async fn load_fresh(&self, plugins: &mut Plugins, module: Module, file: &str) -> anyhow::Result<Bare> {
        let mut block = self.block(file)?;
        block.retain(|key, _| !key.eq_ignore_ascii_case("instance"));
        block.insert("instance".into(), "fresh".into());
        load(plugins, module, file, block).await
    }

    fn block(&self, address: &str) -> anyhow::Result<Map<String, Value>> {
        let is_server = is_server(address)?;
        let (kind, addr, tls) = match address.split_once("://") {
            _ if !is_server => ("wasm", address, false),
            Some(("grpc", rest)) => ("grpc", rest, false),
            Some(("grpcs", rest)) => ("grpc", rest, true),
            Some(("https", _)) => ("http", address, self.ca.is_some()),
            _ => ("http", address, false),
        };
        let mut block = self.component.block()?;
        block.insert("type".into(), kind.into());
        block.insert("addr".into(), addr.into());
        if tls {
            let tls = self.ca.as_ref().map_or_else(|| json!({}), |ca| json!({"caFile": ca}));
            block.insert("tls".into(), tls);
        }
        if let Some(token) = &self.token {
            block.insert("token".into(), token.as_str().into());
        }
        Ok(block)
    }
}

/// Whether it is the address of a plugin server; or a component's file.
pub(crate) fn is_server(address: &str) -> anyhow::Result<bool> {
    const SCHEMES: &str = "a plugin server's address begins with grpc://, grpcs://, http:// or https://";
    match address.split_once("://") {
        Some(("grpc" | "grpcs" | "http" | "https", _)) => Ok(true),
        Some(("file", _)) => Ok(false),
        Some((scheme, _)) => bail!("`{scheme}://` is not known; {SCHEMES}"),
        None if Path::new(address).exists() => Ok(false),
        None => bail!("{address}: no such file; {SCHEMES}"),
    }
}

impl Component {
    /// The component in `file`.
    pub(crate) async fn load(&self, plugins: &mut Plugins, module: Module, file: &str) -> anyhow::Result<Bare> {
        let mut block = self.block()?;
        block.insert("type".into(), "wasm".into());
        block.insert("addr".into(), file.into());
        load(plugins, module, file, block).await
    }

    fn block(&self) -> anyhow::Result<Map<String, Value>> {
        let mut block = match &self.plugin {
            Some(text) => serde_json::from_str(text).context("--plugin is not a JSON object")?,
            None => Map::new(),
        };
        if let Some(timeout) = &self.timeout {
            block.insert("timeout".into(), timeout.as_str().into());
        }
        if !self.config.is_empty() {
            let pairs = self.config.iter().map(|pair| pair.split_once('=').map(|(k, v)| (k.into(), v.into())));
            let pairs: Option<Map<String, Value>> = pairs.collect();
            block.insert("config".into(), pairs.context("--config takes KEY=VALUE")?.into());
        }
        if !self.keyvalue.is_empty() {
            let memory = |name: &String| (name.clone(), json!({"type": "memory"}));
            block.insert("keyvalue".into(), self.keyvalue.iter().map(memory).collect::<Map<_, _>>().into());
        }
        Ok(block)
    }
}

/// What a subcommand makes its plugins with: one for all of them, since they share an engine.
pub(crate) fn plugins() -> Plugins {
    let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
    Plugins::new(metrics, crate::cache_folder())
}

/// The flags are right, and the plugin can't be used.
#[derive(Debug)]
pub(crate) struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// Reads the block as a config's would be, so that its keys mean the same, and makes the plugin ready.
async fn load(plugins: &mut Plugins, module: Module, name: &str, block: Map<String, Value>) -> anyhow::Result<Bare> {
    let text = Value::from(block).to_string();
    let input = Input::Text { name: "the command line".into(), text, folder: PathBuf::new() };
    let (plugin, warnings) = drawspan_config::load_plugin(&input).map_err(|findings| told(&findings))?;
    crate::report(&warnings);
    if plugin.on_error.is_some() {
        bail!("`onError` is for a gateway's config; here a failure is told as it is");
    }
    let plugin = plugins.load_bare(name, module, &plugin).await.map_err(|finding| {
        let mut told = told(&[finding]).to_string();
        // What asks for a key is written for those who have a config.
        if ["plugin block", "lifecycle.init"].iter().any(|part| told.contains(part)) {
            told.push_str(&format!("\n       keys of a plugin block are flags here: {FLAGS}"));
        }
        Unusable(told)
    })?;
    crate::report(&plugins.take_warnings());
    Ok(plugin)
}

/// What is wrong; warnings beside it would only be in the way.
fn told(findings: &[Diagnostic]) -> anyhow::Error {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let messages = errors.map(|finding| match &finding.help {
        Some(help) => format!("{}; {help}", finding.message),
        None => finding.message.clone(),
    });
    anyhow::Error::msg(messages.collect::<Vec<_>>().join("\n       "))
}
