//! What is taken out of a record.

use serde_json::Value;

/// Redacted unless the config says otherwise: what carries credentials in a record of an HTTP request.
const DEFAULT: &str = "authorization proxy-authorization cookie set-cookie password token";

/// Names of JSON fields, in lower case.
#[derive(Debug)]
pub struct Redactor {
    redact: Vec<String>,
    drop: Vec<String>,
}

impl Redactor {
    /// Reads names between spaces or commas: values of `redact` are replaced by `***`, fields of `drop` left out.
    pub fn new(redact: &str, drop: &str) -> Self {
        let names = |text: &str| common::entries(text).map(str::to_ascii_lowercase).collect();
        let redact = if redact.is_empty() { DEFAULT } else { redact };
        Self {
            redact: names(redact),
            drop: names(drop),
        }
    }

    /// A record as a line. A record that is no JSON object, a client's address for example, has no fields and stays as it is.
    pub fn line(&self, record: &[u8]) -> Result<String, String> {
        if !record.trim_ascii_start().starts_with(b"{") {
            return Ok(String::from_utf8_lossy(record).into_owned());
        }
        // Half an object is not written at all: who knows what is in it.
        let mut value = serde_json::from_slice(record).map_err(|_| "the record is damaged JSON")?;
        self.redact(&mut value);
        Ok(value.to_string())
    }

    /// At any depth: headers are objects in an object.
    fn redact(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let is_in = |names: &[String], field: &str| {
                    names.iter().any(|name| name.eq_ignore_ascii_case(field))
                };
                fields.retain(|field, _| !is_in(&self.drop, field));
                for (field, value) in fields {
                    if is_in(&self.redact, field) {
                        *value = "***".into();
                    } else {
                        self.redact(value);
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.redact(value)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_replaced_at_any_depth() {
        let redactor = Redactor::new("", "");
        let record = br#" {"host":"a","http":{"header":{"Authorization":["Basic eDp5"],"Accept":["*/*"]}},"l":[{"TOKEN":1}]}"#;
        assert_eq!(
            redactor.line(record).unwrap(),
            r#"{"host":"a","http":{"header":{"Accept":["*/*"],"Authorization":"***"}},"l":[{"TOKEN":"***"}]}"#
        );
    }

    #[test]
    fn the_config_decides_what_is_one() {
        let redactor = Redactor::new("Host, uri", "duration");
        let line = redactor
            .line(br#"{"host":"a","password":"b","duration":5}"#)
            .unwrap();
        assert_eq!(line, r#"{"host":"***","password":"b"}"#);
    }

    #[test]
    fn an_escaped_name_is_the_same_name() {
        let line = Redactor::new("", "")
            .line(br#"{"pass\u0077ord":"b"}"#)
            .unwrap();
        assert_eq!(line, r#"{"password":"***"}"#);
    }

    #[test]
    fn other_records_stay_as_they_are() {
        let redactor = Redactor::new("", "");
        assert_eq!(redactor.line(b"192.0.2.7").unwrap(), "192.0.2.7");
        assert_eq!(redactor.line(b"").unwrap(), "");
        assert!(redactor.line(br#"{"password":"b"#).is_err());
    }
}
