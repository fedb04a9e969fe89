//! `drawspan plugin inspect`: what a component is.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use drawspan_bridge_wasm::{Engine, LoadError};
use drawspan_wit::{Module, PACKAGE};

use super::target;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The component's file
    file: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let found = inspect(&args.file)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: {} bytes, sha256 {}", args.file, found.size, found.sha256)?;
    if found.exports.is_empty() {
        writeln!(out, "answers  no module")?;
    }
    for (module, version) in &found.exports {
        writeln!(out, "answers  {:<10} {PACKAGE}/{}@{version}", module.as_str(), module.interface())?;
    }
    if found.lifecycle {
        writeln!(out, "reads its `config` at start ({PACKAGE}/lifecycle)")?;
    }
    for import in &found.imports {
        writeln!(out, "imports  {import}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The modules that a component answers, at least one.
pub(crate) fn modules(file: &str) -> anyhow::Result<Vec<Module>> {
    let modules: Vec<_> = inspect(file)?.exports.into_iter().map(|(module, _)| module).collect();
    anyhow::ensure!(
        !modules.is_empty(),
        "{file}: it exports no interface of a module ({PACKAGE}); see `drawspan plugin wit`"
    );
    Ok(modules)
}

fn inspect(file: &str) -> anyhow::Result<drawspan_bridge_wasm::Inspection> {
    anyhow::ensure!(!target::is_server(file)?, "{file}: this takes a component's file, not a server's address");
    let path = Path::new(file.strip_prefix("file://").unwrap_or(file));
    drawspan_bridge_wasm::inspect(&Engine::new(crate::cache_folder())?, path).map_err(|error| match error {
        // It has the path in it.
        LoadError::Read { .. } => error.into(),
        _ => anyhow::Error::from(error).context(path.display().to_string()),
    })
}
