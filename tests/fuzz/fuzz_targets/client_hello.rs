//! TLS ClientHellos and first bytes: read without a panic, the same wherever the bytes are cut; a disguise is read back.

#![no_main]

use drawspan_wire::gost_target;
use drawspan_wire::sniff::{Guess, Protocol};
use drawspan_wire::tls::{ClientHello, MAX_CLIENT_HELLO, ServerHello, disguise};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let piece = &bytes[..cut % (bytes.len() + 1)];

    assert!(bytes.len() < 5 || Protocol::guess(bytes) != Guess::More);
    assert!(Protocol::guess(piece) == Guess::More || Protocol::guess(piece) == Protocol::guess(bytes));

    if let Some(name) = gost_target::decode(bytes) {
        assert_eq!(gost_target::decode(gost_target::encode(&name).as_bytes()), Some(name));
    }

    if let Ok(Some((_, length))) = ServerHello::parse(bytes) {
        assert!(length <= bytes.len());
        assert_eq!(ServerHello::parse(&bytes[..length]), ServerHello::parse(bytes));
    }

    let hello = ClientHello::parse(bytes);
    if hello == Ok(None) {
        assert!(bytes.len() < MAX_CLIENT_HELLO, "wants more than its bound");
    }
    match ClientHello::parse(piece) {
        Ok(None) => {}
        early => assert_eq!(early, hello),
    }
    if let Ok(Some((hello, length))) = hello {
        if let Ok(records) = disguise(&bytes[..length], "cdn.example") {
            let (after, length) = ClientHello::parse(&records).unwrap().unwrap();
            assert_eq!(length, records.len());
            assert_eq!((after.alpn, after.version), (hello.alpn, hello.version));
            assert_eq!(after.server_name, hello.server_name.map(|_| "cdn.example".to_owned()));
        }
    }
});
