//! CONNECT and protocol upgrades.

use super::*;

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\nProxy-Agent: gost/3.0\r\n\r\n";

#[tokio::test]
async fn a_tunnel_is_established_to_the_letter() {
    let (origin, mut proxy) = (Origin::start().await, Proxy::closed(Settings::default()).await);
    let mut client = proxy.connect().await;
    let credentials = authorization("gost:secret");
    // With the first bytes for the target right behind the head.
    let request = format!("CONNECT {} HTTP/1.1\r\n{credentials}\r\nearly ", origin.address());
    client.write_all(request.as_bytes()).await.unwrap();
    let mut target = origin.accept().await;
    assert_eq!(read_head(&mut client).await, ESTABLISHED);
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut target).await, "early question");
    target.write_all(b"answer").await.unwrap();
    drop(target);
    assert_eq!(read_all(&mut client).await, "answer");
    proxy.outcome().await.unwrap();
}

#[tokio::test]
async fn the_target_may_end_first() {
    let (origin, mut proxy) = (Origin::start().await, Proxy::open().await);
    let mut client = proxy.connect().await;
    client.write_all(format!("CONNECT {} HTTP/1.0\r\n\r\n", origin.address()).as_bytes()).await.unwrap();
    let mut target = origin.accept().await;
    target.write_all(b"banner").await.unwrap();
    target.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, format!("{ESTABLISHED}banner"));
    client.write_all(b"late").await.unwrap();
    drop(client);
    assert_eq!(read_all(&mut target).await, "late");
    proxy.outcome().await.unwrap();
}

#[tokio::test]
async fn targets_may_be_ipv6() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let proxy = Proxy::open().await;
    let mut client = proxy.connect().await;
    let request = format!("CONNECT {} HTTP/1.1\r\n\r\n", listener.local_addr().unwrap());
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut target, _) = listener.accept().await.unwrap();
    target.write_all(b"hello").await.unwrap();
    drop(target);
    assert_eq!(read_all(&mut client).await, format!("{ESTABLISHED}hello"));
}

#[tokio::test]
async fn the_agent_can_be_set_and_headers_are_not_added() {
    let settings = Settings {
        agent: "drawspan".to_owned(),
        headers: vec![("X-A".to_owned(), "b".to_owned())],
        ..Settings::default()
    };
    let (origin, proxy) = (Origin::start().await, Proxy::start(settings, None).await);
    let mut client = proxy.connect().await;
    client.write_all(format!("CONNECT {} HTTP/1.1\r\n\r\n", origin.address()).as_bytes()).await.unwrap();
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 200 Connection established\r\nProxy-Agent: drawspan\r\n\r\n");
}

#[tokio::test]
async fn an_upgrade_becomes_a_pipe() {
    let (origin, mut proxy) = (Origin::start().await, Proxy::open().await);
    let mut client = proxy.connect().await;
    let request = format!(
        "GET http://{}/chat HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nX-Key: k\r\n\
         User-Agent: t\r\n\r\nearly",
        origin.address()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut target = origin.accept().await;
    assert_eq!(
        read_head(&mut target).await,
        format!(
            "GET /chat HTTP/1.1\r\nHost: {}\r\nX-Key: k\r\nUser-Agent: t\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\n\r\n",
            origin.address()
        )
    );
    let switch =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nX-Y: z\r\n\r\nfirst";
    target.write_all(switch).await.unwrap();
    assert_eq!(
        read_head(&mut client).await,
        "HTTP/1.1 101 Switching Protocols\r\nX-Y: z\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
    );
    assert_eq!(read_exactly(&mut client, 5).await, "first");
    assert_eq!(read_exactly(&mut target, 5).await, "early");
    for word in ["ping", "pong"] {
        client.write_all(word.as_bytes()).await.unwrap();
        assert_eq!(read_exactly(&mut target, 4).await, word);
        target.write_all(word.as_bytes()).await.unwrap();
        assert_eq!(read_exactly(&mut client, 4).await, word);
    }
    drop(client);
    assert_eq!(read_all(&mut target).await, "");
    drop(target);
    proxy.outcome().await.unwrap();
}

#[tokio::test]
async fn an_upgrade_may_be_declined_or_misused() {
    let (origin, proxy) = (Origin::start().await, Proxy::open().await);
    let upgrade = |protocol: &str| {
        format!("GET http://{}/ HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n", origin.address())
    };
    let mut client = proxy.connect().await;
    client.write_all(upgrade("websocket").as_bytes()).await.unwrap();
    origin.answer("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\n");

    let plain = format!("GET http://{}/ HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", origin.address());
    for request in [plain, upgrade("h2c")] {
        let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
        let (answer, _) = tokio::join!(proxy.ask(request), origin.answer(switch));
        assert_eq!(answer, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    }
}
