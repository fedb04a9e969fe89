//! Readers for paths of files that must exist.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::{Context, Item};
use crate::At;

impl Item<'_> {
    /// `path` as seen from the folder of the source that this value is in.
    pub(crate) fn in_folder(&self, path: &str) -> PathBuf {
        self.place().source().folder().join(path)
    }

    /// The path of a readable file.
    pub(crate) fn file(&self, cx: &mut Context) -> Option<At<PathBuf>> {
        if !self.is_allowed("files", cx) {
            return None;
        }
        let path = self.in_folder(&self.text(cx)?);
        self.readable(path, cx)
    }

    /// Reports a `path` that isn't a readable file.
    pub(crate) fn readable(&self, path: PathBuf, cx: &mut Context) -> Option<At<PathBuf>> {
        // Opening a pipe would wait for its other end, so look before.
        let opened = path.metadata().and_then(|metadata| match metadata.is_file() {
            true => File::open(&path).map(drop),
            false => Err(io::Error::other("not a file")),
        });
        match opened {
            Ok(()) => Some(self.at(path)),
            Err(error) => {
                cx.push(self.error(format!("can't read `{}`: {error}", path.display())));
                None
            }
        }
    }
}
