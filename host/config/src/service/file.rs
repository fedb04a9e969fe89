//! Metadata of the `file` and `metrics` handlers.

use std::path::PathBuf;

use crate::At;
use crate::decode::{Context, Object};
use crate::node::url_path;

/// Settings of a server of files.
#[derive(Clone, Debug)]
pub struct FileHandler {
    /// The folder; it was there when the configuration was loaded. Default: the working directory.
    pub dir: At<PathBuf>,
    /// Clients may upload (`put`).
    pub put: bool,
}

/// Settings of a server of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsHandler {
    /// Default `/metrics`.
    pub path: String,
}

pub(super) fn decode(metadata: &mut Object<'_>, cx: &mut Context) -> Option<FileHandler> {
    let dir = match metadata.take_any(&["file.dir", "dir"]).filter(|item| !item.node.value.is_zero()) {
        Some(item) => {
            let path = item.in_folder(&item.text(cx)?);
            if !path.is_dir() {
                cx.push(item.error(format!("no folder `{}`", path.display())));
            }
            item.at(path)
        }
        None => metadata.at(PathBuf::from(".")),
    };
    Some(FileHandler { dir, put: metadata.flag("put", cx) })
}

pub(super) fn metrics(metadata: &mut Object<'_>, cx: &mut Context) -> MetricsHandler {
    let path = metadata.take_any(&["metrics.path", "path"]).and_then(|item| url_path(&item, cx));
    MetricsHandler { path: path.unwrap_or_else(|| "/metrics".into()) }
}
