//! The `log` section.

use std::path::PathBuf;

use crate::decode::{Context, Item, Object, Unknown};

/// Where log lines go and which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
    /// Where they go.
    pub output: LogOutput,
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
    Fatal,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// logfmt.
    Text,
}

/// Destination of log lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
    /// Nowhere.
    None,
    /// Appended to a file. GOST: relative to the working directory.
    File(PathBuf),
}

const LEVELS: [(&str, LogLevel); 6] = [
    ("trace", LogLevel::Trace),
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("warn", LogLevel::Warn),
    ("error", LogLevel::Error),
    ("fatal", LogLevel::Fatal),
];

const FORMATS: [(&str, LogFormat); 2] = [("json", LogFormat::Json), ("text", LogFormat::Text)];

const NOT_IMPLEMENTED: [&str; 1] = ["rotation"];

pub(crate) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Log> {
    let mut object = Object::new(item, cx)?;
    let level = object.take("level").and_then(|item| item.choice("level", &LEVELS, cx));
    let format = object.take("format").and_then(|item| item.choice("format", &FORMATS, cx));
    let output = object.take("output").and_then(|item| item.text(cx));
    object.finish(&NOT_IMPLEMENTED, Unknown::Warn, cx);
    Some(Log {
        level: level.unwrap_or_default(),
        format: format.unwrap_or_default(),
        output: match output.as_deref() {
            None | Some("" | "stderr") => LogOutput::Stderr,
            Some("stdout") => LogOutput::Stdout,
            Some("none" | "null") => LogOutput::None,
            Some(path) => LogOutput::File(path.into()),
        },
    })
}
