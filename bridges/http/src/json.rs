//! JSON as Go reads it: the first value of the text, keys in any case, `null` as "not there".

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use drawspan_bridge_gost::unusable;
use drawspan_wit::CallError;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Reads a server's reply. The keys of `T` are lower case, and default when missing.
pub(crate) fn reply<T: DeserializeOwned>(body: &[u8]) -> Result<T, CallError> {
    first(body).map_err(|reason| unusable(format!("the reply {reason}")))
}

/// Reads a client's request. The keys of `T` are lower case, and default when missing.
pub(crate) fn request<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    first(body).map_err(|reason| format!("the request {reason}"))
}

fn first<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let first = serde_json::Deserializer::from_slice(body).into_iter::<Value>().next();
    let value = match first {
        None => return Err("is empty".into()),
        Some(Err(error)) => return Err(format!("is not JSON: {error}")),
        Some(Ok(Value::Null)) => Value::Object(Map::new()),
        Some(Ok(value @ Value::Object(_))) => fold(value),
        Some(Ok(_)) => return Err("is not a JSON object".into()),
    };
    serde_json::from_value(value).map_err(|error| format!("is not as it should be: {error}"))
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

/// As Go reads it: padded, and the bits that pad the last digit may be anything.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Bytes, which are base64 in JSON.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Base64(pub(crate) Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(&self.0, &BASE64))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?.into_bytes();
        text.retain(|byte| !matches!(byte, b'\r' | b'\n'));
        BASE64.decode(text).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_go_reads_them() {
        let read = |text: &str| serde_json::from_value::<Base64>(text.into()).map(|bytes| bytes.0).ok();
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("aGVsbG8=", Some(b"hello")),
            ("aGVs\r\nbG8=\n", Some(b"hello")),
            ("+/==", Some(b"\xfb")),
            ("aGVsbG9=", Some(b"hello")),
            ("aGVsbG8", None),
            ("-_==", None),
            ("aGVs bG8=", None),
            ("aGVsbG8=aGVsbG8=", None),
        ] {
            assert_eq!(read(text).as_deref(), bytes, "{text:?}");
        }
        assert_eq!(to_vec(&Base64(b"\xfb\xff".into())), br#""+/8=""#);
    }
}
