//! `drawspan plugin inspect`: what a component is.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use drawspan_bridge_wasm::Engine;
use drawspan_wit::{Module, PACKAGE};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The component's file
    file: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let found = inspect(&args.file)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: {} bytes, sha256 {}", args.file, found.size, found.sha256)?;
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

/// The modules that a component answers.
pub(crate) fn modules(file: &str) -> anyhow::Result<Vec<Module>> {
    Ok(inspect(file)?.exports.into_iter().map(|(module, _)| module).collect())
}

fn inspect(file: &str) -> anyhow::Result<drawspan_bridge_wasm::Inspection> {
    let path = Path::new(file.strip_prefix("file://").unwrap_or(file));
    Ok(drawspan_bridge_wasm::inspect(&Engine::new(crate::cache_folder())?, path)?)
}
