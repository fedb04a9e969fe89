//! `drawspan plugin wit`: the contract.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the package into this folder, e.g. `wit/deps/drawspan-plugin`
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.out {
        Some(folder) => {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            for (name, text) in drawspan_wit::SOURCES {
                let path = folder.join(name);
                fs::write(&path, text).with_context(|| path.display().to_string())?;
            }
        }
        None => {
            let mut out = std::io::stdout().lock();
            for (_, text) in drawspan_wit::SOURCES {
                writeln!(out, "{}", text.trim_end())?;
                writeln!(out)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
