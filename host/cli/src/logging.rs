//! Log lines as GOST writes them (GOST reference, admin 3): one JSON object or one logfmt line per event.
//!
//! An event's `name` field is written under its `kind`: `"kind":"auther","auther":"auther-0"`.

use std::fmt::{self, Write as _};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::sync::Mutex;

use anyhow::Context as _;
use drawspan_config::{Log, LogFormat, LogLevel, LogOutput};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging for the whole process. `debug` counts `-D`s; it and `GOST_LOGGER_LEVEL` go before the config.
pub(crate) fn init(log: &Log, debug: u8) -> anyhow::Result<()> {
    let output: Box<dyn Write + Send> = match &log.output {
        LogOutput::Stderr => Box::new(io::stderr()),
        LogOutput::Stdout => Box::new(io::stdout()),
        LogOutput::None => Box::new(io::sink()),
        LogOutput::File(path) => {
            let open = || {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                OpenOptions::new().append(true).create(true).open(path)
            };
            Box::new(open().with_context(|| format!("log file {}", path.display()))?)
        }
    };
    let level = match (debug, std::env::var("GOST_LOGGER_LEVEL").ok().as_deref()) {
        (0, Some("trace")) => LevelFilter::TRACE,
        (0, Some("debug")) => LevelFilter::DEBUG,
        (0, Some("info")) => LevelFilter::INFO,
        (0, Some("warn")) => LevelFilter::WARN,
        (0, Some("error" | "fatal")) => LevelFilter::ERROR,
        (0, _) => configured(log.level),
        (1, _) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let lines = Lines { format: log.format, output: Mutex::new(output) };
    // Libraries speak up only when something is wrong.
    let filter = Targets::new().with_target("drawspan", level).with_default(LevelFilter::WARN.min(level));
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().context("logging")
}

fn configured(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Fatal => LevelFilter::ERROR,
    }
}

struct Lines {
    format: LogFormat,
    output: Mutex<Box<dyn Write + Send>>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(Map::new());
        let level = match *event.metadata().level() {
            Level::TRACE => "trace",
            Level::DEBUG => "debug",
            Level::INFO => "info",
            Level::WARN => "warn",
            Level::ERROR => "error",
        };
        let now = Timestamp::now();
        fields.0.insert("time".into(), format!("{now:.3}").into());
        fields.0.insert("level".into(), level.into());
        // Reserved, so that it comes before the other fields.
        fields.0.insert("msg".into(), "".into());
        event.record(&mut fields);
        let mut fields = fields.0;
        if let Some(name) = fields.shift_remove("name") {
            let kind = fields.get("kind").and_then(Value::as_str).unwrap_or("name").to_owned();
            fields.insert(kind, name);
        }
        let mut line = match self.format {
            LogFormat::Json => Value::Object(fields).to_string(),
            LogFormat::Text => logfmt(&fields),
        };
        line.push('\n');
        // A log that can't be written must not stop the gateway; a poisoned lock only means that a writer panicked.
        let mut output = self.output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = output.write_all(line.as_bytes());
    }
}

fn logfmt(fields: &Map<String, Value>) -> String {
    let mut line = String::new();
    for (key, value) in fields {
        let separator = if line.is_empty() { "" } else { " " };
        // Writing to a String doesn't fail.
        let _ = match value {
            Value::String(text)
                if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'=') =>
            {
                write!(line, "{separator}{key}={text}")
            }
            value => write!(line, "{separator}{key}={value}"),
        };
    }
    line
}

/// An event's fields, as JSON.
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}
