//! [`Cache`]: compiled components on disk, and those that were fetched.
//!
//! What is loaded from here is native code that runs in our process. So the folder must belong to our user and be closed
//! to everyone else, is never followed through a symbolic link, and each artefact is checked against its digest before it
//! is loaded. An artefact's name is made of the component's digest and the engine's settings, so a stale one is never met.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::component::hex;

const DIGEST: usize = 32;

pub(crate) struct Cache {
    folder: PathBuf,
    engine: u64,
}

impl Cache {
    /// `None` if the folder can't be used, which is logged.
    pub(crate) fn open(folder: PathBuf, engine: &Engine) -> Option<Self> {
        if let Err(error) = prepare(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "compiled components are not cached");
            return None;
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Some(Self { folder, engine: hasher.finish() })
    }

    /// The compiled form of the component whose digest is `source`, if it is here and intact.
    pub(crate) fn get(&self, engine: &Engine, source: &str) -> Option<Component> {
        let path = self.path(source);
        let file = fs::read(&path).ok()?;
        let intact =
            file.split_at_checked(DIGEST).filter(|(digest, artefact)| Sha256::digest(artefact)[..] == **digest);
        let Some((_, artefact)) = intact else {
            tracing::warn!(file = %path.display(), "a damaged artefact is compiled anew");
            return None;
        };
        // SAFETY: the artefact was written by `put`, in a folder that only our user can write, and is intact. wasmtime itself
        // refuses an artefact of another version or with other settings.
        #[allow(unsafe_code, reason = "see above; the only way to load a compiled component")]
        let component = unsafe { Component::deserialize(engine, artefact) };
        component
            .inspect_err(|error| tracing::warn!(file = %path.display(), %error, "an unfit artefact is compiled anew"))
            .ok()
    }

    /// Keeps `component`. What fails is logged: it costs time at the next start, nothing more.
    pub(crate) fn put(&self, component: &Component, source: &str) {
        let artefact = component.serialize().map_err(|error| io::Error::other(error.to_string()));
        let result = artefact.and_then(|artefact| write(&self.path(source), &[&Sha256::digest(&artefact), &artefact]));
        if let Err(error) = result {
            tracing::warn!(folder = %self.folder.display(), %error, "a compiled component could not be cached");
        }
    }

    /// Where a component that was fetched is kept, and whether it is there, intact.
    pub(crate) fn fetched(&self, digest: &[u8; DIGEST]) -> (PathBuf, bool) {
        let path = self.folder.join(format!("{}.wasm", hex(digest)));
        let is_intact = fs::read(&path).is_ok_and(|bytes| Sha256::digest(&bytes)[..] == digest[..]);
        (path, is_intact)
    }

    fn path(&self, source: &str) -> PathBuf {
        self.folder.join(format!("{source}-{:016x}.cwasm", self.engine))
    }
}

/// Writes a file that is there as a whole or not at all.
pub(crate) fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let unique = format!("{}.{:?}.tmp", std::process::id(), std::thread::current().id());
    let temporary = path.with_extension(unique);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| drop(fs::remove_file(&temporary)))
}

fn prepare(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() {
        return Err(io::Error::other("it is not a folder"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to someone else"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(io::Error::other("others can enter it; its mode must be 0700"));
    }
    Ok(())
}
