//! `drawspan plugin serve`: a component as a plugin server for GOST.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use drawspan_plugin_client::{Bare, PluginCall};
use drawspan_plugin_serve::{Options, Server};
use drawspan_wit::{CallError, ErrorKind, Module, Plugin};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::inspect;
use super::target::{self, Component};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The component's file
    file: String,
    /// Serve gRPC on this address, e.g. `127.0.0.1:8000`
    #[arg(long, value_name = "ADDR")]
    grpc: Option<String>,
    /// Serve HTTP on this address; each module has its path, e.g. `/auther`
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// What callers must present: metadata `token`, or `Authorization: Bearer`
    #[arg(long)]
    token: Option<String>,
    /// Serve with TLS: PEM certificate chain
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// PEM private key
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    component: Component,
}

/// The component, once per module that it exports.
struct Served(HashMap<Module, Bare>);

impl<C: PluginCall> Plugin<C> for Served {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        match self.0.get(&C::MODULE) {
            Some(plugin) => plugin.call(call).await,
            None => Err(CallError::new(ErrorKind::Refused, "not exported")),
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.grpc.is_none() && args.http.is_none() {
        bail!("nothing to serve: give --grpc ADDR, --http ADDR, or both");
    }
    crate::logging::init(&drawspan_config::Log::default(), 0)?;
    let modules = inspect::modules(&args.file)?;
    let mut plugins = target::plugins();
    let mut served = HashMap::new();
    for module in &modules {
        served.insert(*module, args.component.load(&mut plugins, *module, &args.file).await?);
    }
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(Arc::new(tls(cert, key)?)),
        _ => None,
    };
    let needs_token = args.token.is_some();
    let options = Options { token: args.token, tls, ..Options::default() };
    let names: Vec<_> = modules.iter().map(|module| module.as_str()).collect();
    let server = Server::new(Served(served), modules, options);

    let shutdown = CancellationToken::new();
    let grpc = listen(args.grpc.as_deref(), "grpc").await?;
    let http = listen(args.http.as_deref(), "http").await?;
    tracing::info!(kind = "plugin", "serving {}", names.join(", "));
    if needs_token && http.is_some() {
        tracing::warn!(
            kind = "plugin",
            "GOST 3.2.6 sends no token over HTTP; whatever it asks fails, and its bypasses let everything pass then"
        );
    }
    let grpc = async {
        if let Some(listener) = grpc {
            Arc::clone(&server).serve_grpc(listener, shutdown.clone()).await;
        }
    };
    let http = async {
        if let Some(listener) = http {
            Arc::clone(&server).serve_http(listener, shutdown.clone()).await;
        }
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let signals = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    };
    tokio::join!(grpc, http, signals);
    Ok(ExitCode::SUCCESS)
}

async fn listen(address: Option<&str>, protocol: &str) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    // As in Go: without a host on every address.
    let bind = if address.starts_with(':') { format!("[::]{address}") } else { address.to_owned() };
    let listener = TcpListener::bind(bind).await.with_context(|| format!("can't listen on {address}"))?;
    tracing::info!(kind = "plugin", "listening on {}/{protocol}", listener.local_addr()?);
    Ok(Some(listener))
}

fn tls(cert: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.with_context(|| cert.display().to_string())?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_no_client_auth().with_single_cert(chain, key)?)
}
