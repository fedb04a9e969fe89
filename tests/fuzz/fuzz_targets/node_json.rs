//! A node as a hop plugin returns it: read or refused without a panic and in bounded time, and nothing local named by one that
//! isn't trusted.

#![no_main]

use drawspan_config::{ConnectorKind, Dialer, NodeAddr, decode_node};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| match decode_node(text, false) {
    Err(reason) => assert!(!reason.is_empty()),
    Ok(node) => {
        assert!(matches!(node.addr.value, NodeAddr::Inet { .. }) && !matches!(node.dialer, Dialer::Unix));
        assert!(node.egress.interfaces.is_empty() && node.egress.mark.is_none());
        let tls = match (&node.connector.kind, &node.dialer) {
            (ConnectorKind::Socks5(socks5), _) => socks5.tls.as_ref(),
            (_, Dialer::Tls { tls, .. } | Dialer::Wss(_, tls)) => Some(tls),
            _ => None,
        };
        assert!(tls.is_none_or(|tls| tls.ca_file.is_none() && tls.identity.is_none()));
    }
});
