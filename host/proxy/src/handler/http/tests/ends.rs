//! How connections end before their time: failures, idleness, drain.

use std::time::Duration;

use socket2::SockRef;

use super::*;

const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";

fn get(origin: &Origin) -> String {
    format!("GET http://{}/ HTTP/1.1\r\n\r\n", origin.address())
}

#[tokio::test]
async fn broken_responses_are_bad_gateways() {
    let (origin, mut proxy) = (Origin::start().await, Proxy::open().await);
    for response in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "SSH-2.0-server\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    ] {
        let (answer, _) = tokio::join!(proxy.ask(get(&origin)), origin.answer(response));
        assert_eq!(answer, BAD_GATEWAY, "{response}");
        assert!(matches!(proxy.outcome().await, Err(HandlerError::Upstream { .. })));
    }
    let request = get(&origin).replace("1.1", "1.0");
    let (answer, _) =
        tokio::join!(proxy.ask(request), origin.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(answer, BAD_GATEWAY);
}

#[tokio::test]
async fn a_response_that_breaks_off_ends_the_connection() {
    let (origin, mut proxy) = (Origin::start().await, Proxy::open().await);
    for (response, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart", "part"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\npart", "9\r\npart"),
    ] {
        let (answer, _) = tokio::join!(proxy.ask(get(&origin)), origin.answer(response));
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
        assert!(matches!(proxy.outcome().await, Err(HandlerError::Upstream { .. })));
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_origin_along() {
    let (origin, mut proxy) = (Origin::start().await, Proxy::open().await);
    // While it sends,
    let mut client = proxy.connect().await;
    let request = format!("POST http://{}/ HTTP/1.1\r\nContent-Length: 9\r\n\r\npart", origin.address());
    client.write_all(request.as_bytes()).await.unwrap();
    let mut stream = origin.accept().await;
    read_head(&mut stream).await;
    drop(client);
    assert_eq!(read_all(&mut stream).await, "part");
    assert!(matches!(proxy.outcome().await, Err(HandlerError::Client(_))));
    // while it waits,
    let mut client = proxy.connect().await;
    client.write_all(get(&origin).as_bytes()).await.unwrap();
    let mut stream = origin.accept().await;
    read_head(&mut stream).await;
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(read_all(&mut stream).await, "");
    assert!(matches!(proxy.outcome().await, Err(HandlerError::Client(_))));
    // and while it is answered.
    let mut client = proxy.connect().await;
    client.write_all(get(&origin).as_bytes()).await.unwrap();
    let mut stream = origin.accept().await;
    read_head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    read_head(&mut client).await;
    drop(client);
    while stream.write_all(&[0; 65536]).await.is_ok() {}
    assert!(matches!(proxy.outcome().await, Err(HandlerError::Client(_))));
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_says_nothing_is_not_waited_for() {
    let (origin, mut proxy) = (Origin::start().await, Proxy::open().await);
    let (answer, stream) = tokio::join!(proxy.ask(get(&origin)), origin.accept());
    assert_eq!(answer, "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(proxy.outcome().await, Err(HandlerError::UpstreamTimedOut { .. })));
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_what_has_an_idle_timeout() {
    let settings = Settings { idle_timeout: Some(Duration::from_secs(5)), ..Settings::default() };
    let (origin, mut proxy) = (Origin::start().await, Proxy::start(settings, None).await);
    // An exchange,
    let mut client = proxy.connect().await;
    client.write_all(get(&origin).as_bytes()).await.unwrap();
    let mut stream = origin.accept().await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart").await.unwrap();
    assert!(read_all(&mut client).await.ends_with("part"));
    assert!(matches!(proxy.outcome().await, Err(HandlerError::Idle)));
    // and a tunnel.
    let mut client = proxy.connect().await;
    client.write_all(format!("CONNECT {} HTTP/1.1\r\n\r\n", origin.address()).as_bytes()).await.unwrap();
    let mut stream = origin.accept().await;
    assert!(read_all(&mut client).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(read_all(&mut stream).await, "");
    proxy.outcome().await.unwrap();
}

#[tokio::test]
async fn draining_closes_who_waits() {
    let (origin, mut proxy) = (Origin::start().await, Proxy::open().await);
    let mut silent = proxy.connect().await;
    let mut kept = proxy.connect().await;
    kept.write_all(get(&origin).as_bytes()).await.unwrap();
    origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(read_head(&mut kept).await, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    proxy.drain.cancel();
    for client in [&mut silent, &mut kept] {
        assert_eq!(read_all(client).await, "");
        proxy.outcome().await.unwrap();
    }
}

#[tokio::test]
async fn draining_lets_what_has_begun_end() {
    let (origin, mut proxy) = (Origin::start().await, Proxy::open().await);
    let mut tunnel = proxy.connect().await;
    tunnel.write_all(format!("CONNECT {} HTTP/1.1\r\n\r\n", origin.address()).as_bytes()).await.unwrap();
    let mut target = origin.accept().await;
    read_head(&mut tunnel).await;
    let mut client = proxy.connect().await;
    client.write_all(get(&origin).as_bytes()).await.unwrap();
    let mut stream = origin.accept().await;
    read_head(&mut stream).await;
    proxy.drain.cancel();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(read_all(&mut client).await, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    drop(client);
    proxy.outcome().await.unwrap();
    tunnel.write_all(b"still").await.unwrap();
    assert_eq!(read_exactly(&mut target, 5).await, "still");
    target.write_all(b"here").await.unwrap();
    assert_eq!(read_exactly(&mut tunnel, 4).await, "here");
}

#[tokio::test]
async fn a_connection_costs_little_while_it_waits() {
    let ((_client, near), parts) = (pair().await, HandlerParts::default());
    let address = near.peer_addr().unwrap();
    let info = ConnInfo {
        certificate: None,
        service: "test".into(),
        sid: "sid".into(),
        client: address.into(),
        local: address.into(),
    };
    let handler = Http::new(parts, Settings::default());
    let future = handler.handle(Conn::new(near, info), CancellationToken::new());
    assert!(size_of_val(&future) < 4096, "{} bytes", size_of_val(&future));
}

async fn pair() -> (TcpStream, TcpStream) {
    let origin = Origin::start().await;
    let (near, far) = tokio::join!(TcpStream::connect(origin.address()), origin.accept());
    (near.unwrap(), far)
}
