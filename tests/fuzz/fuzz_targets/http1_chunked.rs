//! A chunked body: its end is found without a panic, and at the same byte wherever the bytes are cut.

#![no_main]

use drawspan_wire::http1::{BodyLength, BodyScanner, ChunkError, ChunkScanner};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let (first, second) = bytes.split_at(cut % (bytes.len() + 1));
    let whole = scan([bytes, b""]);
    assert_eq!(whole, scan([first, second]));
    assert_eq!(whole.map(|(belonging, _)| belonging), decode([bytes, b""]).map(|(belonging, _)| belonging));
    assert_eq!(decode([bytes, b""]), decode([first, second]));
});

/// How many bytes belong to the body, and whether it is complete.
fn scan(pieces: [&[u8]; 2]) -> Result<(usize, bool), ChunkError> {
    let mut scanner = ChunkScanner::new();
    let mut belonging = 0;
    for piece in pieces {
        let here = scanner.scan(piece)?;
        assert!(here == piece.len() || scanner.is_complete(), "stopped inside a body");
        belonging += here;
    }
    Ok((belonging, scanner.is_complete()))
}

/// How many bytes belong to the body, and its content.
fn decode(pieces: [&[u8]; 2]) -> Result<(usize, Vec<u8>), ChunkError> {
    let (mut scanner, mut content) = (BodyScanner::new(BodyLength::Chunked), Vec::new());
    let mut belonging = 0;
    for piece in pieces {
        belonging += scanner.decode(piece, |part| content.extend_from_slice(part))?;
    }
    Ok((belonging, content))
}
