//! Websocket frames: taken apart without a panic, into the same stream wherever the bytes are cut.

#![no_main]

use drawspan_wire::websocket::{
    Decoder, Event, Frame, FrameHead, MAX_CONTROL, Overheard, Role, Step, WebsocketError,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (server, size, bytes) = input;
    let role = if server { Role::Server } else { Role::Client };
    let whole = feed(role, bytes, bytes.len().max(1));
    let pieces = feed(role, bytes, usize::from(size).max(1));
    assert_eq!(whole, pieces);
    assert_eq!(overhear(bytes, bytes.len().max(1)), overhear(bytes, usize::from(size).max(1)));
});

/// What somebody between the two ends makes of the same bytes.
fn overhear(bytes: &[u8], size: usize) -> Vec<Frame> {
    let (mut overheard, mut frames) = (Overheard::new(8), Vec::new());
    bytes.chunks(size).for_each(|piece| overheard.hear(piece, |frame| frames.push(frame)));
    frames
}

/// The stream and the control frames in `bytes`, up to the first error.
fn feed(role: Role, bytes: &[u8], size: usize) -> (Vec<u8>, Vec<Vec<u8>>, Option<WebsocketError>) {
    let mut decoder = Decoder::new(role);
    let (mut stream, mut control, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
    for piece in bytes.chunks(size) {
        buffer.extend(piece);
        loop {
            let Step { event, consumed } = match decoder.step(&mut buffer) {
                Ok(step) => step,
                Err(error) => return (stream, control, Some(error)),
            };
            match event {
                Event::More => break,
                Event::Data(range) => stream.extend(&buffer[range]),
                Event::Ping(range) | Event::Close(range) => control.push(buffer[range].to_vec()),
                Event::Pong => control.push(Vec::new()),
            }
            buffer.drain(..consumed);
        }
        assert!(buffer.len() < FrameHead::MAX + MAX_CONTROL);
    }
    (stream, control, None)
}
