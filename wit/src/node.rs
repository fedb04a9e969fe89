//! [`node`]: what a hop may say.

use serde_json::{Deserializer, Map, Value};

/// The first JSON value in `bytes`, which is how Go reads a node.
///
/// # Errors
/// Why it is none: a node is an object with an `addr`. That is all that is looked at here; whoever dials it reads the rest.
pub fn node(bytes: &[u8]) -> Result<&str, String> {
    let mut values = Deserializer::from_slice(bytes).into_iter::<Map<String, Value>>();
    let first = values.next().ok_or("the node is empty")?;
    let node = first.map_err(|error| format!("the node is not a JSON object: {error}"))?;
    let mut addr = node.iter().filter(|(key, _)| key.eq_ignore_ascii_case("addr")).map(|(_, value)| value);
    if !addr.any(|addr| addr.as_str().is_some_and(|addr| !addr.is_empty())) {
        return Err("the node has no addr".into());
    }
    let text = bytes.get(..values.byte_offset()).unwrap_or(bytes).trim_ascii();
    std::str::from_utf8(text).map_err(|_| "the node is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_an_object_with_an_address() {
        for (bytes, text) in [
            (r#"{"addr":"a:1"}"#, r#"{"addr":"a:1"}"#),
            (" {\"Addr\":\"a:1\"}\n trailing", r#"{"Addr":"a:1"}"#),
            (r#"{"name":"n","addr":"é:1"}{}"#, r#"{"name":"n","addr":"é:1"}"#),
        ] {
            assert_eq!(node(bytes.as_bytes()), Ok(text));
        }
        for bytes in ["", " ", "{}", "null", "[]", r#""a:1""#, r#"{"addr":""}"#, r#"{"addr":1}"#, r#"{"addr":"a:1""#] {
            assert!(node(bytes.as_bytes()).is_err(), "{bytes}");
        }
        assert!(node(b"{\"addr\":\"\xff\"}").is_err());
    }
}
