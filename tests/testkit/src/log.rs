//! [`LogLine`]: one line of the gateway's log.

use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;

/// A line of standard error: JSON when it is a log line, plain text otherwise.
#[derive(Clone, Debug)]
pub struct LogLine {
    text: String,
    json: Value,
}

impl LogLine {
    pub(crate) fn new(text: String) -> Self {
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { text, json }
    }

    /// The line as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A field's text; empty when the field is missing or not text.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_default()
    }

    /// Whether this says that something is wrong.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        matches!(self.field("level"), "warn" | "warning" | "error" | "fatal")
    }

    /// The service and address of a `listening on 127.0.0.1:34567/tcp` line, or `/udp`.
    #[must_use]
    pub fn listening(&self) -> Option<(&str, SocketAddr)> {
        let addr = self.field("msg").strip_prefix("listening on ")?;
        let addr = addr.strip_suffix("/tcp").or(addr.strip_suffix("/udp"))?;
        Some((self.field("service"), addr.parse().ok()?))
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
