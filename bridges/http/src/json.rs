//! JSON as Go reads it: the first value of the text, keys in any case, `null` as "not there".

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Reads the first value in `body`. The fields of `T` are lower case, and default when missing.
pub(crate) fn from_slice<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let first = serde_json::Deserializer::from_slice(body).into_iter::<Value>().next();
    let value = match first {
        None => return Err("the reply is empty".into()),
        Some(Err(error)) => return Err(format!("the reply is not JSON: {error}")),
        Some(Ok(Value::Null)) => Value::Object(Map::new()),
        Some(Ok(value @ Value::Object(_))) => fold(value),
        Some(Ok(_)) => return Err("the reply is not a JSON object".into()),
    };
    serde_json::from_value(value).map_err(|error| format!("the reply is not as it should be: {error}"))
}

/// Lower-cases keys and drops nulls, at every level.
fn fold(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.to_lowercase(), fold(v))).collect(),
        ),
        Value::Array(values) => Value::Array(values.into_iter().map(fold).collect()),
        other => other,
    }
}

/// Compact, fields in declaration order.
#[allow(
    clippy::expect_used,
    reason = "no map with keys other than strings, and no Serialize that fails, is ever passed"
)]
pub(crate) fn to_vec(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a struct of strings, numbers and lists is always JSON")
}
