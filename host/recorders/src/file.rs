//! [`File`]: records one after the other in a file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drawspan_wit::recorder::WriteRequest;

use crate::Sink;

/// Appends records to a file. It is opened for each batch, so that it may be moved away at any time.
pub struct File {
    path: PathBuf,
    separator: String,
}

impl File {
    /// `separator` is written after each record. The file and its folders are made if they aren't there.
    ///
    /// # Errors
    /// When nothing can be appended to the file.
    pub fn new(path: PathBuf, separator: String) -> io::Result<Self> {
        open(&path)?;
        Ok(Self { path, separator })
    }
}

impl Sink for File {
    const AT_A_TIME: usize = 1;
    const BATCH: usize = 1024;

    async fn keep(&self, records: &[Arc<WriteRequest>]) -> Result<(), String> {
        let separator = self.separator.as_bytes();
        let bytes = records.iter().flat_map(|record| [record.data.as_slice(), separator]).collect::<Vec<_>>().concat();
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || open(&path)?.write_all(&bytes)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().append(true).create(true).open(path)
}
