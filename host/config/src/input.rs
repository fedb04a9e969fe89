//! What a configuration is read from.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::tree::Node;
use crate::{Diagnostic, Place, Source, command_line, yaml};

/// One of the things a configuration is made of.
#[derive(Clone)]
pub enum Input {
    /// A YAML or JSON file (`-C gost.yaml`). Relative paths in it are resolved against its folder.
    File(PathBuf),
    /// Text from elsewhere: standard input, or JSON on the command line.
    Text {
        /// What diagnostics call it, e.g. `<stdin>`.
        name: String,
        /// YAML or JSON.
        text: String,
        /// Relative paths in it are resolved against this folder.
        folder: PathBuf,
    },
    /// Flags of the command line.
    CommandLine(CommandLine),
}

/// The flags that stand for a part of a configuration, each with one URL.
#[derive(Clone, Default)]
pub struct CommandLine {
    /// `-L`: services `service-0` and so on.
    pub listen: Vec<String>,
    /// `-F`: the hops of `chain-0`, which all those services use.
    pub forward: Vec<String>,
    /// `-metrics`: replaces the section.
    pub metrics: Option<String>,
}

impl Input {
    /// The file that it is, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text { .. } | Self::CommandLine(_) => None,
        }
    }

    /// Parses the input; at most one error is possible before there is a tree.
    pub(crate) fn tree(&self) -> Result<Node, Diagnostic> {
        match self {
            Self::File(path) => yaml::parse(&read(path)?),
            Self::Text { name, text, folder } => yaml::parse(&Source::new(name, without_mark(text), folder)),
            Self::CommandLine(flags) => Ok(command_line::tree(flags)),
        }
    }
}

fn read(path: &Path) -> Result<Arc<Source>, Diagnostic> {
    let name = path.display().to_string();
    let folder = path.parent().unwrap_or(Path::new(""));
    let unreadable = |why: String| {
        let place = Place::whole(&Source::new(&name, "", folder));
        Diagnostic::error(&place, format!("can't read the configuration: {why}"))
    };
    let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        unreadable(format!("not UTF-8 from byte {at}"))
    })?;
    Ok(Source::new(&name, without_mark(&text), folder))
}

/// Text without a byte order mark, which would shift all positions.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
