//! Two sessions with each other, and one with a peer that is made of frames.

use std::time::Duration;

use drawspan_wire::smux::{self, Decoder, Event, INITIAL_WINDOW};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::*;
use crate::state::MAX_STREAMS;

const BOTH: [Version; 2] = [Version::V1, Version::V2];

fn pair(config: Config, pipe: usize) -> (Session, Session) {
    let (near, far) = duplex(pipe);
    (Session::client(near, config).unwrap(), Session::server(far, config).unwrap())
}

/// A server session, and its peer by hand.
fn by_hand(config: Config) -> (Session, DuplexStream) {
    let (near, far) = duplex(1 << 20);
    (Session::server(near, config).unwrap(), far)
}

fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + seed * 7 + at / 251) as u8).collect()
}

/// Reads frames until `length` bytes of them are there.
async fn frames(peer: &mut DuplexStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    peer.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// Whatever is there once everybody waits.
async fn available(peer: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while timeout(Duration::from_millis(1), peer.read_buf(&mut bytes)).await.is_ok_and(|read| read.unwrap() > 0) {}
    bytes
}

async fn gone(session: &Session) {
    while session.streams() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_streams_carry_what_they_are_given() {
    const STREAMS: usize = 300;
    for (version, pipe) in [(Version::V1, 100_000), (Version::V2, 100_000), (Version::V1, 7), (Version::V2, 7)] {
        let size = move |seed: usize| if pipe < 10 { seed * 3 } else { seed * seed * 5 % 400_000 };
        // Small enough that the limits are met all the time.
        let config = Config { receive_buffer: 100_000, stream_buffer: 3_000, max_frame: 1_111, ..Config::new(version) };
        let (near, far) = pair(config, pipe);
        let (near, far) = (std::sync::Arc::new(near), std::sync::Arc::new(far));
        let mut tasks = JoinSet::new();
        let accepting = std::sync::Arc::clone(&far);
        tasks.spawn(async move {
            let mut echoes = JoinSet::new();
            for _ in 0..STREAMS {
                let mut stream = accepting.accept().await.unwrap();
                echoes.spawn(async move {
                    let mut length = [0; 8];
                    stream.read_exact(&mut length).await.unwrap();
                    // Not piece by piece: reading that waits for writing may hold up what the writing waits for.
                    let mut got = vec![0; u64::from_be_bytes(length) as usize];
                    stream.read_exact(&mut got).await.unwrap();
                    stream.write_all(&got).await.unwrap();
                    stream.shutdown().await.unwrap();
                    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
                });
            }
            echoes.join_all().await;
        });
        for seed in 0..STREAMS {
            let session = std::sync::Arc::clone(&near);
            tasks.spawn(async move {
                let sent = pattern(seed, size(seed));
                let (mut read, mut write) = tokio::io::split(session.open().unwrap());
                let sending = async {
                    write.write_all(&(sent.len() as u64).to_be_bytes()).await.unwrap();
                    write.write_all(&sent).await.unwrap();
                };
                let mut got = Vec::new();
                tokio::join!(sending, async { read.read_to_end(&mut got).await.unwrap() });
                assert!(got == sent, "stream {seed} of {version:?}");
            });
        }
        tasks.join_all().await;
        gone(&near).await;
        gone(&far).await;
    }
}

#[tokio::test(start_paused = true)]
async fn frames_are_those_of_the_protocol() {
    let (near, mut peer) = duplex(1 << 20);
    let session = Session::client(near, Config::new(Version::V1)).unwrap();
    let mut stream = session.open().unwrap();
    stream.write_all(b"hello").await.unwrap();
    drop(stream);
    let second = session.open().unwrap();
    // What opens a stream goes first.
    let expected = b"\x01\0\0\0\x03\0\0\0\x01\0\0\0\x05\0\0\0\x01\x02\x05\0\x03\0\0\0hello\x01\x01\0\0\x03\0\0\0";
    assert_eq!(frames(&mut peer, expected.len()).await, expected);
    drop(second);
    assert_eq!(frames(&mut peer, 8).await, b"\x01\x01\0\0\x05\0\0\0");
    assert_eq!(session.streams(), 0);
    let (session, mut peer) = by_hand(Config::new(Version::V2));
    let _stream = session.open().unwrap();
    assert_eq!(frames(&mut peer, 8).await, b"\x02\0\0\0\x02\0\0\0");
}

#[tokio::test(start_paused = true)]
async fn a_stream_waits_for_its_window() {
    let (session, mut peer) = by_hand(Config::new(Version::V2));
    let mut stream = session.open().unwrap();
    let sent = pattern(1, 400_000);
    let writing = tokio::spawn(async move {
        stream.write_all(&sent).await.unwrap();
        stream
    });
    let mut decoder = Decoder::new(Version::V2);
    let mut received = 0;
    let mut count = |bytes: &[u8]| {
        let mut bytes = bytes;
        while let Some(event) = decoder.next(&mut bytes).unwrap() {
            if let Event::Data(2, data) = event {
                received += data.len();
            }
        }
        received
    };
    assert_eq!(count(&available(&mut peer).await), INITIAL_WINDOW as usize);
    // A smaller window than was thought: nothing more, until enough of it is free.
    peer.write_all(&smux::update(Version::V2, 2, 100_000, 65_536)).await.unwrap();
    assert_eq!(count(&available(&mut peer).await), INITIAL_WINDOW as usize);
    peer.write_all(&smux::update(Version::V2, 2, 262_144, 65_536)).await.unwrap();
    assert_eq!(count(&available(&mut peer).await), 262_144 + 65_536);
    peer.write_all(&smux::update(Version::V2, 2, 327_680, 1 << 31)).await.unwrap();
    assert_eq!(count(&available(&mut peer).await), 400_000);
    drop(writing.await.unwrap());
    peer.write_all(&smux::update(Version::V2, 2, 327_680, 1)).await.unwrap();
    assert_eq!(available(&mut peer).await, smux::close(Version::V2, 2));
    assert_eq!(session.ended(), None);
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_told_of_the_window_by_halves() {
    let (session, mut peer) = by_hand(Config { stream_buffer: 1_000, ..Config::new(Version::V2) });
    peer.write_all(&smux::open(Version::V2, 3)).await.unwrap();
    let mut stream = session.accept().await.unwrap();
    for (length, told) in [(10, Some(10)), (499, None), (1, Some(510)), (600, Some(1_110)), (10, None)] {
        peer.write_all(&smux::data(Version::V2, 3, length)).await.unwrap();
        peer.write_all(&vec![7; length.into()]).await.unwrap();
        stream.read_exact(&mut vec![0; length.into()]).await.unwrap();
        let update = told.map(|told| smux::update(Version::V2, 3, told, 1_000).to_vec());
        assert_eq!(available(&mut peer).await, update.unwrap_or_default(), "after {length}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_not_read_hold_up_the_peer_but_do_not_end_it() {
    for version in BOTH {
        let config = Config { receive_buffer: 200_000, ..Config::new(version) };
        let (near, mut peer) = duplex(1_000);
        let session = Session::server(near, config).unwrap();
        let flooding = tokio::spawn(async move {
            peer.write_all(&smux::open(version, 3)).await.unwrap();
            for _ in 0..10 {
                peer.write_all(&smux::data(version, 3, 60_000)).await.unwrap();
                peer.write_all(&[7; 60_000]).await.unwrap();
            }
            peer.write_all(&smux::close(version, 3)).await.unwrap();
            peer
        });
        let mut stream = session.accept().await.unwrap();
        // Far longer than the peer may be silent: it isn't, it can't be heard.
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(!flooding.is_finished());
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), 600_000);
        let _peer = flooding.await.unwrap();
        // Nor is what a dropped stream hadn't read lost for others.
        assert_eq!(session.ended(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_stream_has_not_read_makes_room() {
    let (near, mut peer) = duplex(1_000);
    let session = Session::server(near, Config { receive_buffer: 70_000, ..Config::new(Version::V1) }).unwrap();
    let sending = tokio::spawn(async move {
        for id in [3, 5] {
            peer.write_all(&smux::open(Version::V1, id)).await.unwrap();
            for _ in 0..2 {
                peer.write_all(&smux::data(Version::V1, id, 60_000)).await.unwrap();
                peer.write_all(&[7; 60_000]).await.unwrap();
            }
        }
        peer
    });
    drop(session.accept().await.unwrap());
    let mut second = session.accept().await.unwrap();
    second.read_exact(&mut vec![0; 120_000]).await.unwrap();
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_dead_after_a_while_and_one_that_lives_is_not() {
    let (session, mut peer) = by_hand(Config::new(Version::V1));
    let mut stream = session.open().unwrap();
    assert_eq!(frames(&mut peer, 8).await, smux::open(Version::V1, 2));
    let start = Instant::now();
    assert_eq!(frames(&mut peer, 8).await, smux::nop(Version::V1));
    assert_eq!(start.elapsed().as_secs(), 10);
    peer.write_all(&smux::nop(Version::V1)).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed().as_secs()), (std::io::ErrorKind::TimedOut, 40));
    assert_eq!(session.closed().await, Ended::Dead);
    assert!(session.accept().await.is_none() && session.open().is_err());
    assert!(stream.write_all(b"x").await.is_err());

    let (near, far) = pair(Config::new(Version::V2), 100);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!((near.ended(), far.ended()), (None, None));
    // One that hears nothing and says nothing, either.
    let (session, peer) = by_hand(Config { keepalive: None, ..Config::new(Version::V2) });
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(session.ended(), None);
    drop(peer);
    assert_eq!(session.closed().await, Ended::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_dead_too() {
    let (near, _peer) = duplex(1_000);
    let session = Session::client(near, Config::new(Version::V1)).unwrap();
    let mut stream = session.open().unwrap();
    let error = stream.write_all(&[7; 1 << 20]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_peer_has_ended_is_read_to_its_end_and_not_written() {
    for version in BOTH {
        let (session, mut peer) = by_hand(Config::new(version));
        peer.write_all(&smux::open(version, 3)).await.unwrap();
        peer.write_all(&smux::data(version, 3, 3)).await.unwrap();
        peer.write_all(b"end").await.unwrap();
        peer.write_all(&smux::close(version, 3)).await.unwrap();
        let mut stream = session.accept().await.unwrap();
        let mut got = String::new();
        stream.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "end");
        assert_eq!(stream.write(b"x").await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        drop(stream);
        gone(&session).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_writer_learns_that_its_stream_is_over() {
    let (session, mut peer) = by_hand(Config::new(Version::V2));
    let (mut read, mut write) = tokio::io::split(session.open().unwrap());
    let writing = tokio::spawn(async move {
        write.write_all(&[7; 1 << 20]).await.unwrap();
        write
    });
    available(&mut peer).await;
    peer.write_all(&smux::data(Version::V2, 2, 4)).await.unwrap();
    peer.write_all(b"last").await.unwrap();
    peer.write_all(&smux::close(Version::V2, 2)).await.unwrap();
    // What it wrote is lost; what it is to read isn't.
    let mut write = writing.await.unwrap();
    let mut got = String::new();
    read.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "last");
    assert_eq!(write.write(b"x").await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_dies_fails_its_streams_behind_what_came() {
    for version in BOTH {
        let (session, mut peer) = by_hand(Config::new(version));
        peer.write_all(&smux::open(version, 3)).await.unwrap();
        peer.write_all(&smux::data(version, 3, 9)).await.unwrap();
        peer.write_all(b"half").await.unwrap();
        drop(peer);
        assert_eq!(session.closed().await, Ended::Closed);
        // It was opened before: it isn't lost.
        let mut stream = session.accept().await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(stream.read(&mut [0; 4]).await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        assert!(session.accept().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_session_sends_what_was_written_and_closes() {
    for version in BOTH {
        let (near, far) = pair(Config::new(version), 1_000);
        let (mut first, mut second) = (near.open().unwrap(), near.open().unwrap());
        first.write_all(&[7; 60_000]).await.unwrap();
        drop(first);
        second.write_all(b"open").await.unwrap();
        drop(near);
        assert_eq!(second.write(b"x").await.unwrap_err().kind(), std::io::ErrorKind::NotConnected);
        assert_eq!(second.read(&mut [0]).await.unwrap_err().kind(), std::io::ErrorKind::NotConnected);
        let (mut whole, mut cut) = (far.accept().await.unwrap(), far.accept().await.unwrap());
        assert_eq!(whole.read_to_end(&mut Vec::new()).await.unwrap(), 60_000);
        let mut got = Vec::new();
        assert!(cut.read_to_end(&mut got).await.is_err());
        assert_eq!(got, b"open");
        assert!(far.accept().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_session_does_not_wait_for_a_dead_peer() {
    let (near, mut peer) = duplex(1_000);
    let session = Session::client(near, Config { keepalive: None, ..Config::new(Version::V1) }).unwrap();
    session.open().unwrap().write_all(&[7; 30_000]).await.unwrap();
    drop(session);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(peer.read_to_end(&mut Vec::new()).await.unwrap() <= 1_000);
}

#[tokio::test(start_paused = true)]
async fn hostile_peers_end_their_session() {
    let long = smux::data(Version::V2, 3, 5);
    for (frame, ended) in [
        (&smux::nop(Version::V1)[..], "speaks smux version 1, not 2"),
        (b"GET / HTTP/1.1\r\n", "version 71"),
        (&[2, 9, 0, 0, 0, 0, 0, 0], "command 9"),
        (&[2, 0, 1, 0, 0, 0, 0, 0], "with 1 bytes"),
        (&smux::open(Version::V2, 4), "our numbers"),
        (&smux::update(Version::V2, 2, 1, 1), "more than it was sent"),
        (&smux::update(Version::V2, 2, u32::MAX, u32::MAX), ""),
        (&long, ""),
    ] {
        let (session, mut peer) = by_hand(Config::new(Version::V2));
        let _stream = session.open().unwrap();
        peer.write_all(frame).await.unwrap();
        if ended.is_empty() {
            available(&mut peer).await;
            assert_eq!(session.ended(), None);
        } else {
            let reason = session.closed().await.to_string();
            assert!(reason.contains(ended), "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn streams_are_bounded() {
    let (session, mut peer) = by_hand(Config::new(Version::V1));
    let ids = || (0..).map(|at| at * 2 + 3);
    for id in ids().take(MAX_STREAMS) {
        peer.write_all(&smux::open(Version::V1, id)).await.unwrap();
    }
    assert_eq!(available(&mut peer).await, b"");
    let next = ids().nth(MAX_STREAMS).unwrap();
    peer.write_all(&smux::open(Version::V1, next)).await.unwrap();
    assert_eq!(available(&mut peer).await, smux::close(Version::V1, next));
    assert_eq!(session.streams(), MAX_STREAMS);
    // One that doesn't listen.
    let (near, mut peer) = duplex(100);
    let session = Session::server(near, Config::new(Version::V1)).unwrap();
    for id in ids() {
        if peer.write_all(&smux::open(Version::V1, id)).await.is_err() {
            break;
        }
    }
    assert!(matches!(session.ended(), Some(Ended::Broken(_))));
}

#[tokio::test]
async fn waiting_costs_nothing() {
    let (near, far) = pair(Config::new(Version::V2), 1_000);
    let (mut out, waiting) = (near.open().unwrap(), far.accept());
    out.write_all(b"x").await.unwrap();
    let mut stream = waiting.await.unwrap();
    // Given up, and asked again: nothing is lost.
    for _ in 0..3 {
        let _ = timeout(Duration::ZERO, far.accept()).await;
        let _ = timeout(Duration::ZERO, out.read_u8()).await;
    }
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    stream.write_all(b"y").await.unwrap();
    assert_eq!(out.read_u8().await.unwrap(), b'y');
    let mut next = near.open().unwrap();
    next.write_all(b"z").await.unwrap();
    assert_eq!(far.accept().await.unwrap().read_u8().await.unwrap(), b'z');
}

#[test]
fn settings_that_can_not_be() {
    let config = Config::new(Version::V1);
    let second = Duration::from_secs(1);
    let keepalive = |interval, timeout| Config { keepalive: Some(Keepalive { interval, timeout }), ..config };
    for (config, error) in [
        (keepalive(Duration::ZERO, second), Some(ConfigError::Interval)),
        (keepalive(2 * second, second), Some(ConfigError::Timeout)),
        (Config { max_frame: 0, ..config }, Some(ConfigError::Frame)),
        (Config { stream_buffer: 0, ..config }, Some(ConfigError::Buffer)),
        (Config { stream_buffer: 2, receive_buffer: 1, ..config }, Some(ConfigError::Buffer)),
        (Config { receive_buffer: 1 << 31, ..config }, Some(ConfigError::Buffer)),
        (keepalive(second, second), None),
        (config, None),
    ] {
        assert_eq!(config.check().err(), error, "{config:?}");
    }
}
