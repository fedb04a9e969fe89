//! `drawspan plugin component`: makes a component of the core module that a C or Go compiler puts out.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::contract::World;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The core module, made from the bindings of the same WIT
    module: PathBuf,
    /// The component's file
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    world: World,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (resolve, world) = args.world.resolve()?;
    let mut module = fs::read(&args.module).with_context(|| args.module.display().to_string())?;
    let component = (|| {
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        // The adapter is left out when the module calls nothing of WASI.
        ComponentEncoder::default().validate(true).module(&module)?.adapter(PREVIEW1, ADAPTER)?.encode()
    })()
    .with_context(|| format!("{} is not a module that implements {}", args.module.display(), args.world))?;
    fs::write(&args.out, component).with_context(|| args.out.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}
