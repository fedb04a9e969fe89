//! Who is not let in, and how they are told.

use std::time::Duration;

use super::*;

const REQUIRED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\n\
                        Proxy-Authenticate: Basic realm=\"gost\"\r\n\r\n";

const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn credentials_are_asked_for() {
    let mut proxy = Proxy::closed(Settings::default()).await;
    for credentials in [
        String::new(),
        authorization("gost:wrong"),
        authorization("gost"),
        "Proxy-Authorization: basic Z29zdDpzZWNyZXQ=\r\n".to_owned(),
        "Proxy-Authorization: Bearer x\r\n".to_owned(),
        "Authorization: Basic Z29zdDpzZWNyZXQ=\r\n".to_owned(),
    ] {
        let answer = proxy.ask(format!("CONNECT a.invalid:1 HTTP/1.1\r\n{credentials}\r\n")).await;
        assert_eq!(answer, REQUIRED, "{credentials}");
        proxy.outcome().await.unwrap();
    }
    // Whatever else is wrong with the request.
    for request in
        ["GET / HTTP/1.1\r\nHost: 1.2.3.4\r\n\r\n", "GET https://a/ HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"]
    {
        assert_eq!(proxy.ask(request).await, REQUIRED, "{request}");
    }
}

#[tokio::test]
async fn a_client_that_would_stay_is_told_to_leave() {
    let settings = Settings {
        realm: "office".to_owned(),
        headers: vec![("X-Served-By".to_owned(), "us".to_owned())],
        ..Settings::default()
    };
    let proxy = Proxy::closed(settings).await;
    assert_eq!(
        proxy.ask("CONNECT a:1 HTTP/1.1\r\nProxy-Connection: Keep-Alive\r\n\r\n").await,
        "HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\nX-Served-By: us\r\n\
         Proxy-Authenticate: Basic realm=\"office\"\r\nProxy-Connection: close\r\n\r\n"
    );
}

#[tokio::test]
async fn the_answer_survives_a_body_that_nobody_reads() {
    let proxy = Proxy::closed(Settings::default()).await;
    let mut client = proxy.connect().await;
    client.write_all(b"POST http://a.invalid/ HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n").await.unwrap();
    client.write_all(&vec![b'x'; 3_000_000]).await.unwrap();
    assert_eq!(read_all(&mut client).await, REQUIRED);
}

#[tokio::test]
async fn requests_that_name_no_target_are_bad() {
    let mut proxy = Proxy::open().await;
    for request in [
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI http://a/ HTTP/1.1\r\n\r\n",
        "CONNECT /x HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(proxy.ask(request).await, BAD_REQUEST, "{request}");
        proxy.outcome().await.unwrap();
    }
}

#[tokio::test]
async fn udp_is_refused() {
    let proxy = Proxy::open().await;
    assert_eq!(
        proxy.ask("CONNECT a:1 HTTP/1.1\r\nX-Gost-Protocol: udp\r\n\r\n").await,
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    );
}

#[tokio::test]
async fn garbage_gets_no_answer() {
    let mut proxy = Proxy::open().await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x05\x01\x00",
        b"GET\r\n\r\n",
        b"GET http://a/ HTTP/1.1\nHost: a\n\n",
        b"GET http://a/ HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        &[b'A'; 100],
    ] {
        assert_eq!(proxy.ask(garbage).await, "", "{garbage:?}");
        assert!(matches!(proxy.outcome().await, Err(HandlerError::NotHttp(_))));
    }
}

#[tokio::test]
async fn ambiguous_bodies_are_refused_unseen() {
    let origin = Origin::start().await;
    let mut proxy = Proxy::open().await;
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ] {
        let start = format!("POST http://{}/ HTTP/1.1", origin.address());
        assert_eq!(proxy.ask(format!("{start}\r\n{headers}\r\n\r\n0\r\n\r\n")).await, BAD_REQUEST, "{headers}");
        proxy.outcome().await.unwrap();
    }
    let start = format!("POST http://{}/ HTTP/1.0", origin.address());
    assert_eq!(proxy.ask(format!("{start}\r\nTransfer-Encoding: chunked\r\n\r\n")).await, BAD_REQUEST);
}

#[tokio::test]
async fn a_broken_chunk_ends_the_exchange() {
    let origin = Origin::start().await;
    let mut proxy = Proxy::open().await;
    let request = format!("POST http://{}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello", origin.address());
    let (answer, mut stream) = tokio::join!(proxy.ask(request), origin.accept());
    assert_eq!(answer, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    assert!(read_all(&mut stream).await.ends_with("\r\n\r\n"));
    assert!(matches!(proxy.outcome().await, Err(HandlerError::BadRequest(_))));
}

#[tokio::test]
async fn targets_out_of_reach() {
    let mut proxy = Proxy::open().await;
    let nobody = nobody().await;
    assert_eq!(
        proxy.ask(format!("CONNECT {nobody} HTTP/1.1\r\n\r\n")).await,
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nProxy-Agent: gost/3.0\r\n\r\n"
    );
    assert!(matches!(proxy.outcome().await, Err(HandlerError::Dial(_))));
    assert_eq!(
        proxy.ask(format!("GET http://{nobody}/ HTTP/1.1\r\n\r\n")).await,
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(matches!(proxy.outcome().await, Err(HandlerError::Dial(_))));
}

#[tokio::test(start_paused = true)]
async fn slow_heads_are_not_waited_for() {
    let mut proxy = Proxy::open().await;
    let start = tokio::time::Instant::now();
    assert_eq!(proxy.ask("GET http://a/ HTTP/1.1\r\nHost:").await, "");
    proxy.outcome().await.unwrap_err();
    assert_eq!(proxy.ask("").await, "");
    proxy.outcome().await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(30));
}
