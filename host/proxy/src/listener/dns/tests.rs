use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

async fn listener(read_timeout: Duration) -> DnsListener {
    let streams = DnsStreams { tls: None, https: false, read_timeout, write_timeout: Duration::from_secs(60) };
    DnsListener::bind("127.0.0.1:0", DnsMode::Streams(streams), TaskTracker::new()).await.unwrap()
}

async fn accept(listener: &DnsListener) -> DnsQuestion {
    match listener.accept().await.unwrap().transport {
        Transport::Dns(question) => question,
        other => panic!("{other:?}"),
    }
}

/// A question that ends with that byte, with its length before it.
fn framed(last: u8) -> Vec<u8> {
    [&[0, 13][..], &[0; 12], &[last]].concat()
}

/// What comes while the listener goes on.
async fn read(listener: &DnsListener, client: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    tokio::select! {
        read = client.read_exact(&mut bytes) => read.unwrap(),
        accepted = listener.accept() => panic!("another question: {:?}", accepted.map(|it| it.transport)),
    };
    bytes
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn answers_come_in_any_order_and_after_the_last_question() {
    let listener = listener(LONG).await;
    let mut client = TcpStream::connect(listener.local_addr()).await.unwrap();
    // In pieces, and with an answer among them, which is nobody's.
    let nonsense = [&[0, 12, 0, 0, 0x80][..], &[0; 9]].concat();
    for part in [&framed(1)[..5], &framed(1)[5..], &nonsense, &framed(2)] {
        client.write_all(part).await.unwrap();
    }
    client.shutdown().await.unwrap();
    let (first, second) = (accept(&listener).await, accept(&listener).await);
    assert_eq!((first.message().last(), second.message().last(), first.network()), (Some(&1), Some(&2), "tcp"));
    second.answer(b"two".to_vec()).await;
    assert_eq!(read(&listener, &mut client, 5).await, b"\0\x03two");
    first.answer(b"one".to_vec()).await;
    assert_eq!(read(&listener, &mut client, 5).await, b"\0\x03one");
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "the end");
}

#[tokio::test]
async fn a_silent_connection_ends_even_if_a_question_has_no_answer() {
    let listener = listener(SHORT).await;
    let mut silent = TcpStream::connect(listener.local_addr()).await.unwrap();
    let mut asking = TcpStream::connect(listener.local_addr()).await.unwrap();
    asking.write_all(&framed(1)).await.unwrap();
    drop(accept(&listener).await);
    for client in [&mut silent, &mut asking] {
        let mut byte = [0];
        tokio::select! {
            read = client.read(&mut byte) => assert_eq!(read.unwrap(), 0),
            accepted = listener.accept() => panic!("a question: {:?}", accepted.map(|it| it.transport)),
        }
    }
}

#[tokio::test]
async fn who_sends_too_much_waits_or_is_cut_off() {
    let listener = listener(LONG).await;
    let mut client = TcpStream::connect(listener.local_addr()).await.unwrap();
    for last in 0..=stream::PIPELINE {
        client.write_all(&framed(u8::try_from(last).unwrap())).await.unwrap();
    }
    let mut questions = Vec::new();
    for _ in 0..stream::PIPELINE {
        questions.push(accept(&listener).await);
    }
    // One answer makes room for one question.
    questions.remove(0).answer(b"x".to_vec()).await;
    assert_eq!(usize::from(*accept(&listener).await.message().last().unwrap()), stream::PIPELINE);
    let mut client = TcpStream::connect(listener.local_addr()).await.unwrap();
    client.write_all(&[0xff, 0xff, 0]).await.unwrap();
    let mut byte = [0];
    tokio::select! {
        read = client.read(&mut byte) => assert_eq!(read.unwrap_or(0), 0),
        accepted = listener.accept() => panic!("a question: {:?}", accepted.map(|it| it.transport)),
    }
}

#[tokio::test]
async fn without_a_listener_connections_end() {
    let listener = listener(LONG).await;
    let mut client = TcpStream::connect(listener.local_addr()).await.unwrap();
    client.write_all(&framed(1)).await.unwrap();
    let question = accept(&listener).await;
    drop(listener);
    question.answer(b"last".to_vec()).await;
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"\0\x04last");
}

#[tokio::test]
async fn questions_beyond_the_room_are_dropped() {
    let listener = DnsListener::bind("127.0.0.1:0", DnsMode::Udp, TaskTracker::new()).await.unwrap();
    let Kind::Datagrams { room, .. } = &listener.0 else { panic!() };
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(listener.local_addr()).await.unwrap();
    let rest = Arc::clone(room).try_acquire_many_owned((ROOM - 1) as u32).unwrap();
    client.send(&framed(1)).await.unwrap();
    let first = accept(&listener).await;
    client.send(&framed(2)).await.unwrap();
    let second = listener.accept();
    tokio::select! {
        biased;
        accepted = second => panic!("{:?}", accepted.map(|it| it.transport)),
        () = tokio::task::yield_now() => {}
    }
    drop((first, rest));
    client.send(&framed(3)).await.unwrap();
    loop {
        // The second one may not have been looked at before.
        if accept(&listener).await.message().last() == Some(&3) {
            break;
        }
    }
    assert_eq!(room.available_permits(), ROOM);
}
