//! Which plugin a subcommand is about: the address, and what else a `plugin:` block says.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use drawspan_config::{Diagnostic, Input};
use drawspan_gateway::Plugins;
use drawspan_plugin_client::{Bare, Metrics};
use drawspan_wit::Module;
use serde_json::{Map, Value, json};

/// The keys of a `plugin:` block that have a flag. `--plugin` takes all of them.
#[derive(Args, Clone)]
pub(crate) struct Settings {
    /// `token`
    #[arg(long)]
    token: Option<String>,
    /// `tls.caFile`: verify the server with it
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
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

impl Settings {
    /// The plugin at `address`: `grpc://…`, `grpcs://…`, `http://…`, `https://…`, or a component's file.
    pub(crate) async fn load(&self, module: Module, address: &str) -> anyhow::Result<Bare> {
        let block = self.block(address)?;
        let input = Input::Text { name: "the command line".into(), text: block.to_string(), folder: PathBuf::new() };
        let (plugin, warnings) = drawspan_config::load_plugin(&input).map_err(|findings| told(&findings))?;
        crate::report(&warnings);
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        let mut plugins = Plugins::new(metrics, crate::cache_folder());
        plugins.load_bare(address, module, &plugin).await.map_err(|finding| told(&[finding]))
    }

    fn block(&self, address: &str) -> anyhow::Result<Value> {
        let mut block = match &self.plugin {
            Some(text) => serde_json::from_str(text).context("--plugin is not a JSON object")?,
            None => Map::new(),
        };
        let (kind, addr, tls) = match address.split_once("://") {
            Some(("grpc", rest)) => ("grpc", rest, false),
            Some(("grpcs", rest)) => ("grpc", rest, true),
            Some(("http", _)) => ("http", address, false),
            Some(("https", _)) => ("http", address, self.ca.is_some()),
            Some(("file", _)) | None => ("wasm", address, false),
            Some((scheme, _)) => bail!("`{scheme}://` is not known; write grpc://, grpcs://, http://, https:// or a file"),
        };
        let mut put = |key: &str, value: Value| {
            block.insert(key.into(), value);
        };
        put("type", kind.into());
        put("addr", addr.into());
        if tls {
            put("tls", self.ca.as_ref().map_or_else(|| json!({}), |ca| json!({"caFile": ca})));
        }
        if let Some(token) = &self.token {
            put("token", token.as_str().into());
        }
        if let Some(timeout) = &self.timeout {
            put("timeout", timeout.as_str().into());
        }
        if !self.config.is_empty() {
            let pairs = self.config.iter().map(|pair| pair.split_once('=').map(|(k, v)| (k.into(), v.into())));
            let pairs: Option<Map<String, Value>> = pairs.collect();
            put("config", pairs.context("--config takes KEY=VALUE")?.into());
        }
        if !self.keyvalue.is_empty() {
            let stores: Map<String, Value> =
                self.keyvalue.iter().map(|name| (name.clone(), json!({"type": "memory"}))).collect();
            put("keyvalue", stores.into());
        }
        Ok(block.into())
    }
}

fn told(findings: &[Diagnostic]) -> anyhow::Error {
    let messages = findings.iter().map(|finding| match &finding.help {
        Some(help) => format!("{}; {help}", finding.message),
        None => finding.message.clone(),
    });
    anyhow::Error::msg(messages.collect::<Vec<_>>().join("\n       "))
}
