//! Where a request wants to go and who sends it: read without a panic, and a target means the same when written out.

#![no_main]

use drawspan_wire::http1::{
    Credentials, HostPort, RequestHead, RequestTarget, is_dns_name, named_host, origin_form, url_host,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Credentials::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = is_dns_name(text);
        if let Ok(address) = HostPort::parse(text, 80) {
            assert_reads_back(&address);
        }
    }
    if let Ok(head) = RequestHead::parse(bytes) {
        let _ = url_host(&head);
        let origin = origin_form(&head);
        assert!(!origin.contains([' ', '\r', '\n']), "{origin:?} would break the request line");
        if let Ok(Some(host)) = named_host(&head, 80) {
            assert_reads_back(&host);
        }
        if let Some(value) = head.headers.get("proxy-authorization") {
            let _ = Credentials::parse(value);
        }
        if let Ok(target) = RequestTarget::of(&head) {
            assert_reads_back(target.address());
            if let RequestTarget::Forward { path, .. } = &target {
                assert!(path.starts_with('/') || path == "*", "{path:?} would break the request line");
                assert!(!path.contains([' ', '\r', '\n']), "{path:?} would break the request line");
            }
        }
    }
});

fn assert_reads_back(address: &HostPort) {
    assert!(!address.host.is_empty());
    assert_eq!(HostPort::parse(&address.to_string(), 0).as_ref(), Ok(address));
}
