//! The `drawspan` command.

mod args;
mod logging;
mod plugin;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use drawspan_config::{Diagnostic, Input, Loaded, Secret};
use drawspan_gateway::{Gateway, Plugins, Reloaded};
use drawspan_plugin_client::Metrics;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Command, ConfigArgs};

/// How long connections have to finish after a first SIGTERM or SIGINT. A second one cuts them off.
const GRACE: Duration = Duration::from_secs(10);
/// The config is wrong; nothing was started.
const BAD_CONFIG: u8 = 2;

fn main() -> ExitCode {
    let args = Args::read();
    match args.command {
        None => start(&args.config, Mode::Run),
        Some(Command::Run(config)) => start(&config, Mode::Run),
        Some(Command::Check(config)) => start(&config, Mode::Check),
        Some(Command::Plugin { command }) => plugin::run(command).unwrap_or_else(|error| {
            // Whoever read along may have read enough: `… | head`.
            let is_unread = error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe);
            if !is_unread {
                let _ = writeln!(io::stderr(), "error: {}", drawspan_wit::chain(error.as_ref()));
            }
            ExitCode::FAILURE
        }),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Run,
    Check,
}

fn start(args: &ConfigArgs, mode: Mode) -> ExitCode {
    let result = args.inputs().map_err(Failure::Other).and_then(|inputs| {
        if let Some(format) = args.output {
            let text = drawspan_config::render(&inputs, format).map_err(Failure::Config)?;
            return io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::Other(error.into()));
        }
        let Loaded { config, warnings, besides_plugins } =
            drawspan_config::load(&inputs, args.strict).map_err(Failure::Config)?;
        report(&warnings);
        logging::init(&config.log, args.debug).map_err(Failure::Other)?;
        let runtime = tokio::runtime::Runtime::new().context("can't start threads").map_err(Failure::Other)?;
        runtime.block_on(async {
            let mut registry = Registry::default();
            let mut plugins = Plugins::new(Metrics::register(&mut registry), cache_folder());
            let gateway = Gateway::load(&config, registry, &mut plugins).await.map_err(Failure::Config)?;
            report(&plugins.take_warnings());
            let reload = Reload { inputs, strict: args.strict, plugins, besides_plugins };
            match mode {
                Mode::Check => Ok(()),
                Mode::Run => run(gateway, reload).await.map_err(Failure::Other),
            }
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(diagnostics)) => {
            report(&diagnostics);
            BAD_CONFIG.into()
        }
        Err(Failure::Other(error)) => {
            let _ = writeln!(io::stderr(), "error: {}", drawspan_wit::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

enum Failure {
    Config(Vec<Diagnostic>),
    Other(anyhow::Error),
}

pub(crate) fn report(diagnostics: &[Diagnostic]) {
    let mut stderr = io::stderr().lock();
    for diagnostic in diagnostics {
        let _ = writeln!(stderr, "{diagnostic}\n");
    }
}

/// As many files as the system lets us have: two for each connection. Go programs do the same, GOST among them.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!("the limit of open files stays at {:?}: {error}", limit.current);
    }
}

/// What a SIGHUP reads again.
struct Reload {
    inputs: Vec<Input>,
    strict: bool,
    plugins: Plugins,
    besides_plugins: Secret,
}

impl Reload {
    /// Has the plugins be what the config now says. A config that is wrong changes nothing.
    async fn reload(&mut self) {
        let outcome = match drawspan_config::load(&self.inputs, self.strict) {
            Ok(Loaded { config, warnings, besides_plugins }) => {
                report(&warnings);
                self.plugins.reload(&config).await.map(|reloaded| (reloaded, besides_plugins))
            }
            Err(diagnostics) => Err(diagnostics),
        };
        report(&self.plugins.take_warnings());
        match outcome {
            Ok((Reloaded { plugins, restart }, besides_plugins)) => {
                tracing::info!("config reloaded; plugins that changed: {}", plugins.join(", "));
                if restart || besides_plugins != self.besides_plugins {
                    tracing::warn!("something besides `plugin` blocks changed in the config; that takes a restart");
                }
            }
            Err(diagnostics) => {
                report(&diagnostics);
                tracing::error!("the config can't be used; everything stays as it was");
            }
        }
    }
}

async fn run(gateway: Gateway, mut reload: Reload) -> anyhow::Result<()> {
    allow_files();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let hangups = async {
        while hangup.recv().await.is_some() {
            reload.reload().await;
        }
    };
    let mut stop = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let bound = gateway.bind().await?;
    let (first, again) = tokio::sync::oneshot::channel::<()>();
    let serving = bound.run(async { drop(again.await) }, GRACE);
    let signals = async {
        stop().await;
        drop(first);
        stop().await;
    };
    tokio::select! {
        () = serving => {}
        () = hangups => {}
        () = signals => tracing::warn!("told to stop again; connections were cut off"),
    }
    Ok(())
}

/// Where compiled components are kept: `$XDG_CACHE_HOME/drawspan`, else `~/.cache/drawspan`, else nowhere.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("drawspan"))
}
