use super::*;

/// A proxy that binds, and a client that has got its first answer: where it may be reached.
async fn bound(settings: Socks5Settings) -> (Proxy, TcpStream, [u8; 10]) {
    let proxy = Proxy::v5(HandlerParts::default(), Socks5Settings { bind: true, ..settings }).await;
    let mut client = proxy.connect().await;
    client.write_all(b"\x05\x01\0\x05\x02\0\x01\0\0\0\0\0\0").await.unwrap();
    assert_eq!(read::<2>(&mut client).await, [5, 0]);
    let answer = read::<10>(&mut client).await;
    (proxy, client, answer)
}

fn port(answer: &[u8; 10]) -> u16 {
    u16::from_be_bytes([answer[8], answer[9]])
}

#[tokio::test]
async fn one_connection_from_elsewhere() {
    let (_proxy, mut client, answer) = bound(Socks5Settings::default()).await;
    assert_eq!(answer[..8], *b"\x05\0\0\x01\x7f\0\0\x01");
    // What the client says before anybody is there reaches who comes.
    client.write_all(b"early ").await.unwrap();
    let mut peer = TcpStream::connect(("127.0.0.1", port(&answer))).await.unwrap();
    assert_eq!(read::<10>(&mut client).await[..], message(&[5, 0, 0], peer.local_addr().unwrap(), b""));
    assert!(TcpStream::connect(("127.0.0.1", port(&answer))).await.is_err(), "a second one was accepted");
    peer.write_all(b"hello").await.unwrap();
    assert_eq!(read::<5>(&mut client).await, *b"hello");
    client.write_all(b"and late").await.unwrap();
    assert_eq!(read::<14>(&mut peer).await, *b"early and late");
}

#[tokio::test]
async fn clients_are_told_the_public_address() {
    let settings = |host: &str| Socks5Settings { public_addr: Some(host.to_owned()), ..Socks5Settings::default() };
    assert_eq!(bound(settings("192.0.2.1")).await.2[..8], *b"\x05\0\0\x01\xc0\0\x02\x01");
    // Of a name, the first bytes are as telling.
    assert_eq!(bound(settings("gw.test")).await.2, *b"\x05\0\0\x03\x07gw.te");
}

#[tokio::test]
async fn a_client_that_leaves_is_not_listened_for() {
    let (_proxy, client, answer) = bound(Socks5Settings::default()).await;
    drop(client);
    // Until the proxy has noticed, it accepts; then nobody does.
    while TcpStream::connect(("127.0.0.1", port(&answer))).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_address_that_can_not_be_had_is_a_failure() {
    let settings = Socks5Settings { bind: true, ..Socks5Settings::default() };
    let proxy = Proxy::v5(HandlerParts::default(), settings).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let held = TcpListener::bind(taken).await.unwrap();
    for address in [held.local_addr().unwrap(), "192.0.2.1:0".parse().unwrap()] {
        for command in [b"\x05\x01\0\x05\x02\0", b"\x05\x01\0\x05\xf2\0"] {
            let answer = proxy.ask(&message(command, address, b"")).await;
            assert_eq!(answer, b"\x05\0\x05\x01\0\x01\0\0\0\0\0\0");
        }
    }
}
