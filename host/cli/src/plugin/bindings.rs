//! `drawspan plugin bindings`: the contract as C or Go, for languages whose compilers can't read WIT.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
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
    // The author's own go.mod says which version of the runtime library is used.
    for (name, content) in files.iter().filter(|(name, _)| *name != "go.mod") {
        let path = args.out.join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
        written.with_context(|| path.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
