//! `drawspan plugin bindings`: the contract as C or Go, for languages whose compilers can't read WIT.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_bindgen_core::{Files, WorldGenerator};

use super::contract::World;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The language
    language: Language,
    #[command(flatten)]
    world: World,
    /// Where to write
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Language {
    C,
    Go,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (mut resolve, world) = args.world.resolve()?;
    let mut generator: Box<dyn WorldGenerator> = match args.language {
        Language::C => wit_bindgen_c::Opts::default().build(),
        Language::Go => wit_bindgen_go::Opts { format: wit_bindgen_go::Format::False, ..Default::default() }.build(),
    };
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files)?;
    for (name, content) in files.iter() {
        match name {
            // The author's own says which version of the runtime library is used.
            "go.mod" => {}
            "wit_exports.go" => write(&args.out, name, collecting(std::str::from_utf8(content)?)?.as_bytes())?,
            _ => write(&args.out, name, content)?,
        }
    }
    if matches!(args.language, Language::Go) {
        write(&args.out, "gc.go", include_bytes!("gc.go"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The header that a plugin in C is compiled with.
pub(crate) fn c_header(resolve: &mut Resolve, world: WorldId) -> anyhow::Result<String> {
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(resolve, world, &mut files)?;
    let header = files.iter().find(|(name, _)| name.ends_with(".h")).context("C bindings have a header")?;
    Ok(String::from_utf8(header.1.to_vec())?)
}

fn write(folder: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
    written.with_context(|| path.display().to_string())
}

/// Go's exports with a call of the collector in each, where the request has been taken over and its memory is no longer pinned:
/// see `gc.go`.
fn collecting(exports: &str) -> anyhow::Result<String> {
    const TAKEN: &str = "witRuntime.Unpin()\n";
    let functions = exports.matches("//go:wasmexport drawspan:").count();
    anyhow::ensure!(exports.matches(TAKEN).count() == functions, "the generated Go has another shape than expected");
    Ok(exports.replace(TAKEN, &format!("{TAKEN}collectGarbage()\n")))
}
