//! Requests and replies as JSON: the records of the WIT package in serde's form, with bytes as base64.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use drawspan_wit::{Call, Module};
use serde_json::Value;

/// Whether the module's records hold bytes, in a field `data` or as the whole reply.
pub(crate) fn has_bytes(module: Module) -> bool {
    matches!(module, Module::Recorder | Module::Rewriter)
}

/// Reads a request. A key that the record doesn't have is an error.
pub(crate) fn request<C: Call>(text: &str) -> anyhow::Result<C> {
    let mut value: Value = serde_json::from_str(text).context("the request is not JSON")?;
    if has_bytes(C::MODULE)
        && let Some(data) = value.get_mut("data")
        && let Some(text) = data.as_str()
    {
        *data = BASE64_STANDARD.decode(text).context("`data` is not base64")?.into();
    }
    let request: C =
        serde_json::from_value(value.clone()).with_context(|| format!("not a request of {}", C::FUNCTION))?;
    let known = serde_json::to_value(&request)?;
    if let Some(key) = unknown(&value, &known) {
        bail!("{} has no field `{key}`; its fields are {}", C::FUNCTION, fields(&known));
    }
    Ok(request)
}

fn unknown<'a>(value: &'a Value, known: &Value) -> Option<&'a str> {
    let keys = value.as_object()?.keys();
    keys.map(String::as_str).find(|key| known.get(key).is_none())
}

fn fields(record: &Value) -> String {
    record.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

/// Writes a reply.
pub(crate) fn reply<C: Call>(reply: &C::Reply) -> anyhow::Result<Value> {
    let value = serde_json::to_value(reply)?;
    let bytes = |values: &Vec<Value>| {
        values.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect()
    };
    Ok(match value.as_array().filter(|_| has_bytes(C::MODULE)).and_then(bytes) {
        Some(bytes) => Value::String(BASE64_STANDARD.encode::<Vec<u8>>(bytes)),
        None => value,
    })
}
