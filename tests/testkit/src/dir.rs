//! [`Dir`]: a folder of its own for each test.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary folder, removed when dropped.
pub struct Dir(TempDir);

impl Dir {
    /// An empty folder.
    #[must_use]
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("drawspan-test-").tempdir().expect("a temporary folder"))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where a file of this name lies, or would lie.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file and returns its absolute path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Default for Dir {
    fn default() -> Self {
        Self::new()
    }
}
