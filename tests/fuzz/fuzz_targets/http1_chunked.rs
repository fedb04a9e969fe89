//! A chunked body: its end is found without a panic, and at the same byte wherever the bytes are cut.

#![no_main]

use drawspan_wire::http1::{ChunkError, ChunkScanner};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let (first, second) = bytes.split_at(cut % (bytes.len() + 1));
    assert_eq!(scan([bytes, b""]), scan([first, second]));
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
