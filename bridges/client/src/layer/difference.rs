//! Where two replies differ, without saying what they are.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// The fields in which `a` and `b` differ, by name and joined by commas; `reply` when it isn't a matter of fields.
pub(crate) fn differing_fields<T: Serialize>(a: &T, b: &T) -> String {
    let mut fields = BTreeSet::new();
    // The records are plain data; what isn't JSON has no fields.
    if let (Ok(a), Ok(b)) = (serde_json::to_value(a), serde_json::to_value(b)) {
        collect(&a, &b, "", &mut fields);
    }
    match fields.is_empty() {
        true => "reply".to_owned(),
        false => fields.into_iter().collect::<Vec<_>>().join(", "),
    }
}

fn collect(a: &Value, b: &Value, path: &str, fields: &mut BTreeSet<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), &path, fields);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| collect(a, b, path, fields));
        }
        _ if a != b && !path.is_empty() => {
            fields.insert(path.to_owned());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use drawspan_wit::admission::Verdict;
    use drawspan_wit::authenticator::Identity;
    use drawspan_wit::service_discovery::Service;
    use drawspan_wit::traffic_limiter::Rates;

    use super::*;

    #[test]
    fn fields_are_named_and_their_values_are_not() {
        let identity = |id: &str| Some(Identity { client_id: id.into() });
        assert_eq!(differing_fields(&identity("alice"), &identity("hunter2")), "client_id");
        assert_eq!(differing_fields(&identity("alice"), &None), "reply");
        assert_eq!(differing_fields(&Verdict::Admitted, &Verdict::Denied), "reply");
        assert_eq!(differing_fields(&Some(vec![1_u8, 2]), &Some(vec![1, 3])), "reply");
        let rates = |upload, download| Rates { upload, download };
        assert_eq!(differing_fields(&rates(Some(1), None), &rates(None, Some(2))), "download, upload");
        assert_eq!(differing_fields(&rates(Some(1), None), &rates(Some(2), None)), "upload");
        let service = |id: &str| Service {
            id: id.into(),
            name: "web".into(),
            node: "a".into(),
            network: "tcp".into(),
            address: "192.0.2.7:80".into(),
        };
        let (a, b) = ([service("1"), service("2")], [service("1"), service("3")]);
        assert_eq!(differing_fields(&a, &b), "id");
    }
}
