//! Where configuration text comes from, and positions in it.

use std::fmt;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// One configuration text: a file, standard input, or a command line argument.
pub struct Source {
    name: String,
    text: String,
    folder: PathBuf,
    /// Whether the text is one command line argument: then positions are columns only.
    is_argument: bool,
    /// Byte ranges that hold secrets; unset until the text has been parsed.
    secrets: OnceLock<Vec<Range<usize>>>,
}

impl Source {
    /// `name` is what diagnostics call the source; relative paths in `text` are resolved against `folder`.
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>, folder: &Path) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
            folder: folder.to_path_buf(),
            is_argument: false,
            secrets: OnceLock::new(),
        })
    }

    /// A command line argument in which the byte ranges `secrets` must never be shown.
    pub(crate) fn argument(name: String, text: &str, secrets: Vec<Range<usize>>) -> Arc<Self> {
        Arc::new(Self {
            name,
            text: text.to_owned(),
            folder: PathBuf::new(),
            is_argument: true,
            secrets: OnceLock::from(secrets),
        })
    }

    /// What diagnostics call this source, e.g. `gost.yaml`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text, secrets included.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The folder against which relative paths in this source are resolved.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Records which byte ranges must never be shown. Only the first call counts.
    pub(crate) fn hide(&self, ranges: Vec<Range<usize>>) {
        self.secrets.get_or_init(|| ranges);
    }

    /// The secret ranges that matter for the line at `line`.
    pub(crate) fn hidden(&self, line: &Range<usize>) -> Vec<Range<usize>> {
        let Some(secrets) = self.secrets.get() else {
            // Nobody knows which values are secrets in a text that could not be parsed.
            let value = after_key(&self.text[line.clone()]);
            return value.map(|r| line.start + r.start..line.start + r.end).into_iter().collect();
        };
        let here = |r: &&Range<usize>| r.start < line.end && line.start < r.end;
        let mut hidden: Vec<_> = secrets.iter().filter(here).cloned().collect();
        // A comment beside a secret may well be another one.
        if let Some(last) = hidden.iter().map(|r| r.end).max().filter(|last| *last < line.end) {
            let comment = self.text[last..line.end].find(" #");
            hidden.extend(comment.map(|i| last + i + 1..line.end));
        }
        hidden
    }
}

/// All of a line but the key it starts with, if it starts with one.
fn after_key(line: &str) -> Option<Range<usize>> {
    let is_key = |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric() || " _.-\"{[".contains(c));
    let rest = match line.split_once(':') {
        Some((key, rest)) if is_key(key) && (rest.is_empty() || rest.starts_with(' ')) => rest,
        _ => line,
    };
    let value = rest.trim();
    let start = line.len() - rest.trim_start().len();
    (!value.is_empty()).then(|| start..start + value.len())
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A position in a [`Source`]: a byte range, or the source as a whole.
#[derive(Clone)]
pub struct Place {
    source: Arc<Source>,
    span: Option<Range<usize>>,
}

/// Where something stands is no part of what it says: all places are equal.
impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl Place {
    /// The bytes `span` of `source`; a range that is out of bounds or cuts a character is moved to where it doesn't.
    pub(crate) fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        let start = source.text.floor_char_boundary(span.start);
        let end = source.text.floor_char_boundary(span.end.max(start));
        Self { source: Arc::clone(source), span: Some(start..end) }
    }

    /// The source itself, for what has no line: an unreadable or empty file.
    pub(crate) fn whole(source: &Arc<Source>) -> Self {
        Self { source: Arc::clone(source), span: None }
    }

    /// The source this place is in.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The byte range in the source's text.
    pub(crate) fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }

    /// Line and column, both counted from 1, the column in characters.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        let span = self.span.as_ref()?;
        let before = &self.source.text[..span.start];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source.name())?;
        match self.line_column() {
            Some((_, column)) if self.source.is_argument => write!(f, ":{column}"),
            Some((line, column)) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A configured value and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
