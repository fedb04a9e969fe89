use std::time::Duration;

use super::*;
use crate::{ConnectorKind, Dialer, NodeAddr};

fn refused(text: &str) -> String {
    match decode_node(text, false) {
        Ok(node) => panic!("{node:?}"),
        Err(reason) => reason,
    }
}

#[test]
fn a_node_is_read_as_in_a_config() {
    let text = r#"{"id":"7","name":"n","addr":"proxy.example.com:443","CONNECTOR":{"type":"socks5",
        "auth":{"username":"u","password":"hunter2"},"metadata":{"timeout":3}},
        "dialer":{"type":"tls","tls":{"secure":true}},"bypass":"nowhere","metadata":{"weight":"2","failTimeout":"5s"}}"#;
    let node = decode_node(text, false).unwrap();
    assert_eq!(node.addr.value, NodeAddr::Inet { host: "proxy.example.com".into(), port: 443 });
    assert!(matches!(node.connector.kind, ConnectorKind::Socks5(_)));
    let Dialer::Tls { tls, .. } = &node.dialer else { panic!() };
    assert_eq!((tls.secure, tls.server_name.as_deref()), (true, Some("proxy.example.com")));
    // Whether it exists is for the caller to see.
    assert_eq!(node.bypasses[0].as_str(), "nowhere");
    assert_eq!((node.weight, node.fail_timeout), (2, Some(Duration::from_secs(5))));

    let node = decode_node(r#"{"addr":":8080x","addr":"1.2.3.4:8080"}"#, false).unwrap();
    assert!(matches!((node.connector.kind, node.dialer), (ConnectorKind::Http(_), Dialer::Tcp)));
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    for (text, expected) in [
        ("", "the node is not JSON: EOF while parsing a value at line 1 column 0"),
        ("{} {}", "the node is not JSON: trailing characters at line 1 column 4"),
        ("null", "node: `addr` is missing"),
        ("[]", "node: expected a mapping, found a list"),
        ("{}", "node: `addr` is missing"),
        (r#"{"addr":"x"}"#, "node.addr: expected a host and a port"),
        (
            r#"{"addr":"x:1","connector":{"type":"masque"},"dialer":{"type":"tcpp"}}"#,
            "node.connector.type: connector type `masque` is not implemented; node.dialer.type: unknown dialer type `tcpp`",
        ),
        (r#"{"addr":"x:1","tlss":{}}"#, "node.tlss: unknown key"),
        (
            r#"{"addr":"x:1","connector":{"auth":{"username":"","password":"hunter2"}}}"#,
            "node.connector.auth: `username` is missing or empty",
        ),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
    assert_eq!(refused(&" ".repeat(MAX_NODE + 1)), "the node is longer than 65536 bytes");
    assert!(refused(&"[".repeat(MAX_NODE)).contains("recursion limit"));
}

#[test]
fn only_a_trusted_plugin_names_what_is_on_this_machine() {
    for text in [
        r#"{"addr":"x:1","interface":"eth0"}"#,
        r#"{"addr":"x:1","metadata":{"interface":"10.0.0.1"}}"#,
        r#"{"addr":"x:1","sockopts":{"mark":1}}"#,
        r#"{"addr":"x:1","metadata":{"so_mark":"1"}}"#,
        r#"{"addr":"/run/x.sock","dialer":{"type":"unix"}}"#,
        r#"{"addr":"/run/x.sock","network":"unix"}"#,
        r#"{"addr":"x:1","connector":{"auth":{"file":"tests/good/user.txt"}}}"#,
        r#"{"addr":"x:1","dialer":{"type":"tls","tls":{"caFile":"tests/good/ca.pem"}}}"#,
        r#"{"addr":"x:1","connector":{"type":"socks5","tls":{"caFile":"tests/good/ca.pem"}}}"#,
        r#"{"addr":"x:1","tls":{"certFile":"tests/good/cert.pem","keyFile":"tests/good/key.pem"}}"#,
    ] {
        assert!(refused(text).contains("a plugin that isn't trusted may not name "), "{text}: {}", refused(text));
        assert!(decode_node(text, true).is_ok(), "{text}: {:?}", decode_node(text, true));
    }
    assert!(decode_node(r#"{"addr":"x:1","netns":"y"}"#, true).is_err());
}

#[test]
fn expressions_are_counted() {
    let node = |count: usize| {
        let rule = vec!["HostRegexp(`a`)"; count].join(" || ");
        decode_node(&format!(r#"{{"addr":"x:1","matcher":{{"rule":"{rule}"}}}}"#), false)
    };
    assert!(node(16).is_ok());
    assert!(node(17).unwrap_err().contains("too many regular expressions"));
}
