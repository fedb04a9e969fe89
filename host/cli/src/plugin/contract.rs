//! The author's WIT: the folder `wit` of a plugin's project.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wit_bindgen_core::wit_parser::{Resolve, WorldId};

#[derive(clap::Args)]
pub(crate) struct World {
    /// The plugin's WIT package, with what it refers to in `deps`
    #[arg(long, value_name = "FOLDER", default_value = "wit")]
    wit: PathBuf,
    /// The world that the plugin implements; needed if the package has several
    #[arg(long)]
    world: Option<String>,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.world {
            Some(world) => write!(f, "the world `{world}` of {}", self.wit.display()),
            None => write!(f, "the world of {}", self.wit.display()),
        }
    }
}

impl World {
    pub(crate) fn resolve(&self) -> anyhow::Result<(Resolve, WorldId)> {
        let place = || format!("{}: `drawspan plugin new` writes one that is right", self.wit.display());
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(Path::new(&self.wit)).with_context(place)?;
        let world = resolve.select_world(&[package], self.world.as_deref()).with_context(place)?;
        Ok((resolve, world))
    }
}
