//! smux frames: read without a panic, and with the same outcome wherever the bytes are cut.

#![no_main]

use drawspan_wire::smux::{Decoder, Event, SmuxError, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let version = if choice % 2 == 0 { Version::V1 } else { Version::V2 };
    let size = usize::from(choice / 2) + 1;
    assert_eq!(events(version, bytes, size), events(version, bytes, bytes.len().max(1)));
});

/// Everything that is in `bytes`, as text; data byte by byte, since a frame's may come in pieces.
fn events(version: Version, bytes: &[u8], size: usize) -> (Vec<String>, Option<SmuxError>) {
    let (mut decoder, mut found) = (Decoder::new(version), Vec::new());
    for mut piece in bytes.chunks(size) {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(Event::Data(id, data))) => found.extend(data.iter().map(|byte| format!("{id}: {byte}"))),
                Ok(Some(event)) => found.push(format!("{event:?}")),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(piece.is_empty(), "bytes are left");
    }
    (found, None)
}
