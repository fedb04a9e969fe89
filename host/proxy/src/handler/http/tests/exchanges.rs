//! Requests passed on, responses passed back.

use drawspan_wire::http1::BodyLength;

use super::*;

/// More than all buffers on the way together.
const LARGE: usize = 8 * 1024 * 1024;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + (at * 7 % 26) as u8).collect()
}

/// In chunks of growing sizes.
fn chunked(body: &[u8], trailers: &str) -> Vec<u8> {
    let (mut out, mut rest, mut size) = (Vec::new(), body, 1);
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        out.extend(format!("{:x};n=v\r\n", chunk.len()).into_bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
        (rest, size) = (behind, size * 3 / 2 + 1);
    }
    out.extend(format!("0\r\n{trailers}\r\n").into_bytes());
    out
}

#[tokio::test]
async fn requests_follow_one_another_on_a_connection() {
    let (origin, proxy) = (Origin::start().await, Proxy::closed(Settings::default()).await);
    let credentials = authorization("gost:secret");
    let mut client = proxy.connect().await;
    for (number, credentials) in
        [credentials.as_str(), "", &credentials, &authorization("other:pass")].iter().enumerate()
    {
        let request = format!("GET http://{}/{number} HTTP/1.1\r\n{credentials}\r\n", origin.address());
        client.write_all(request.as_bytes()).await.unwrap();
        let seen = origin.answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(
            seen,
            format!(
                "GET /{number} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Go-http-client/1.1\r\nConnection: close\r\n\r\n",
                origin.address()
            )
        );
        assert_eq!(read_head(&mut client).await, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        assert_eq!(read_exactly(&mut client, 2).await, "ok");
    }
    // Other credentials are judged anew.
    let request = format!("GET http://{}/ HTTP/1.1\r\n{}\r\n", origin.address(), authorization("gost:stale"));
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(read_all(&mut client).await.starts_with("HTTP/1.1 407 "));
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_to_its_origin() {
    const KEPT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    const CLOSED: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (one, other) = (Origin::start().await, Origin::start().await);
    let proxy = Proxy::start(Settings { keepalive: true, ..Settings::default() }, None).await;
    let mut client = proxy.connect().await;
    let mut number = 0;
    // Sends a request to `origin`, which answers on `stream`, or on a new connection.
    let mut ask = async |origin: &Origin, stream: Option<TcpStream>, response: &str| {
        number += 1;
        let request = format!("GET http://{}/{number} HTTP/1.1\r\n\r\n", origin.address());
        client.write_all(request.as_bytes()).await.unwrap();
        let mut stream = match stream {
            Some(stream) => stream,
            None => origin.accept().await,
        };
        let head = read_head(&mut stream).await;
        assert!(head.starts_with(&format!("GET /{number} ")) && !head.contains("Connection"), "{head}");
        stream.write_all(response.as_bytes()).await.unwrap();
        assert_eq!(read_head(&mut client).await, KEPT);
        stream
    };
    let first = ask(&one, None, KEPT).await;
    let mut first = ask(&one, Some(first), KEPT).await;
    let second = ask(&other, None, KEPT).await;
    assert_eq!(read_all(&mut first).await, "", "it isn't kept for long");
    let _second = ask(&other, Some(second), CLOSED).await;
    let third = ask(&other, None, KEPT).await;
    // The next request finds out, before or after it was sent.
    drop(third);
    ask(&other, None, KEPT).await;
}

#[tokio::test]
async fn a_client_gets_plain_what_its_origin_compressed() {
    let plain = pattern(LARGE);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let sized = (format!("Content-Length: {}", gzip.len()), gzip.clone());
    let chunks = ("Transfer-Encoding: chunked".to_owned(), chunked(&gzip, ""));
    let proxy = Proxy::start(Settings { compression: true, ..Settings::default() }, None).await;
    for (framing, body) in [sized, chunks] {
        let origin = Origin::start().await;
        let head = format!("HTTP/1.1 200 OK\r\nX: y\r\nContent-Encoding: gzip\r\n{framing}\r\n\r\n");
        let serve = origin.answer([head.as_bytes(), &body].concat());
        let get = proxy.ask(format!("GET http://{}/ HTTP/1.1\r\nConnection: close\r\n\r\n", origin.address()));
        let (asked, answer) = tokio::join!(serve, get);
        assert!(asked.contains("\r\nAccept-Encoding: gzip\r\n"), "{asked}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(head, "HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\nConnection: close");
        let mut content = Vec::new();
        let mut scanner = drawspan_wire::http1::BodyScanner::new(BodyLength::Chunked);
        scanner.decode(body.as_bytes(), |part| content.extend_from_slice(part)).unwrap();
        assert!(scanner.is_complete() && content == plain);
    }
    // Who says what may come gets that.
    let origin = Origin::start().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n";
    let serve = origin.answer(format!("{head}\r\nx"));
    let request = "Accept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    let get = proxy.ask(format!("GET http://{}/ HTTP/1.1\r\n{request}", origin.address()));
    assert_eq!(tokio::join!(serve, get).1, format!("{head}Connection: close\r\n\r\nx"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (origin, mut proxy) = (Origin::start().await, Proxy::open().await);
    let address = origin.address();
    let requests = format!(
        "POST http://{address}/1 HTTP/1.1\r\nContent-Length: 3\r\n\r\none\
         POST http://{address}/2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n\r\n\
         GET http://{address}/3 HTTP/1.1\r\nConnection: close\r\n\r\nGET http://{address}/4 HTTP/1.1\r\n\r\n"
    );
    let serve = async {
        for (number, body) in [(1, "one"), (2, "3\r\ntwo\r\n0\r\n\r\n"), (3, "")] {
            let mut stream = origin.accept().await;
            assert!(read_head(&mut stream).await.contains(&format!(" /{number} ")));
            assert_eq!(read_exactly(&mut stream, body.len()).await, body);
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            stream.write_all(response.as_bytes()).await.unwrap();
            assert_eq!(read_all(&mut stream).await, "");
        }
    };
    let (answers, ()) = tokio::join!(proxy.ask(requests), serve);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n";
    assert_eq!(answers, format!("{head}\r\n1{head}\r\n2{head}Connection: close\r\n\r\n3"));
    proxy.outcome().await.unwrap();
}

#[tokio::test]
async fn large_bodies_pass_both_ways_intact() {
    let body = pattern(LARGE);
    let sized = (format!("Content-Length: {LARGE}"), body.clone());
    let chunks = ("Transfer-Encoding: chunked".to_owned(), chunked(&body, "X-Sum: 1\r\n"));
    for (framing, body) in [sized, chunks] {
        let (origin, proxy) = (Origin::start().await, Proxy::open().await);
        let request = format!("POST http://{}/ HTTP/1.1\r\nUser-Agent: t\r\n{framing}\r\n\r\n", origin.address());
        let (mut from_proxy, mut to_proxy) = proxy.connect().await.into_split();
        let serve = async {
            let mut stream = origin.accept().await;
            assert!(read_head(&mut stream).await.contains(&framing));
            let mut got = vec![0; body.len()];
            stream.read_exact(&mut got).await.unwrap();
            assert!(got == body);
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
        };
        let send = async {
            to_proxy.write_all(request.as_bytes()).await.unwrap();
            to_proxy.write_all(&body).await.unwrap();
        };
        let receive = async {
            let mut expected = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").into_bytes();
            expected.extend(&body);
            let mut got = vec![0; expected.len()];
            from_proxy.read_exact(&mut got).await.unwrap();
            assert!(got == expected);
        };
        tokio::join!(serve, send, receive);
    }
}

#[tokio::test]
async fn interim_responses_pass() {
    let (origin, proxy) = (Origin::start().await, Proxy::open().await);
    let mut client = proxy.connect().await;
    let request =
        format!("PUT http://{}/ HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n", origin.address());
    client.write_all(request.as_bytes()).await.unwrap();
    let mut stream = origin.accept().await;
    assert!(read_head(&mut stream).await.contains("\r\nExpect: 100-continue\r\n"));
    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").await.unwrap();
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    client.write_all(b"body").await.unwrap();
    assert_eq!(read_exactly(&mut stream, 4).await, "body");
    stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
}

#[tokio::test]
async fn responses_without_a_body_keep_the_connection() {
    let (origin, proxy) = (Origin::start().await, Proxy::open().await);
    let mut client = proxy.connect().await;
    for (method, response, expected) in [
        ("HEAD", "200 OK\r\nContent-Length: 9\r\n\r\n", "200 OK\r\nContent-Length: 9\r\n\r\n"),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "204 No Content\r\nContent-Length: 9\r\n\r\n", "204 No Content\r\n\r\n"),
        ("GET", "304 Not Modified\r\nContent-Length: 9\r\n\r\n", "304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
    ] {
        let request = format!("{method} http://{}/ HTTP/1.1\r\n\r\n", origin.address());
        client.write_all(request.as_bytes()).await.unwrap();
        origin.answer(format!("HTTP/1.1 {response}")).await;
        assert_eq!(read_head(&mut client).await, format!("HTTP/1.1 {expected}"));
    }
}

#[tokio::test]
async fn a_response_may_end_with_its_connection() {
    let (origin, proxy) = (Origin::start().await, Proxy::open().await);
    let request = format!("GET http://{}/ HTTP/1.1\r\n\r\n", origin.address());
    let (answer, _) = tokio::join!(proxy.ask(request), origin.answer("HTTP/1.0 200 OK\r\n\r\nall of it"));
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it");
}

#[tokio::test]
async fn clients_of_http_1_0_are_served() {
    let (origin, proxy) = (Origin::start().await, Proxy::open().await);
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let request = format!("GET http://{}/ HTTP/1.0\r\n", origin.address());
    let (answer, seen) = tokio::join!(proxy.ask(format!("{request}\r\n")), origin.answer(response));
    assert!(seen.starts_with("GET / HTTP/1.0\r\n"), "{seen}");
    assert_eq!(answer, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");

    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client.write_all(format!("{request}Connection: keep-alive\r\n\r\n").as_bytes()).await.unwrap();
        origin.answer(response).await;
        assert_eq!(
            read_head(&mut client).await,
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n"
        );
        assert_eq!(read_exactly(&mut client, 2).await, "ok");
    }
}

#[tokio::test]
async fn a_client_needs_not_know_of_the_proxy() {
    // Nobody is likely to listen on port 80 here, but whether someone does is not the point: the request isn't bad.
    let proxy = Proxy::open().await;
    let answer = proxy.ask("GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 ") && !answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn an_early_response_is_not_held_up_by_the_request() {
    let (origin, proxy) = (Origin::start().await, Proxy::open().await);
    let mut client = proxy.connect().await;
    let request = format!("POST http://{}/ HTTP/1.1\r\nContent-Length: 9000000\r\n\r\nsome", origin.address());
    client.write_all(request.as_bytes()).await.unwrap();
    origin.answer("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(
        read_all(&mut client).await,
        "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    );
}

#[tokio::test]
async fn request_and_response_may_interleave() {
    let (origin, proxy) = (Origin::start().await, Proxy::open().await);
    let mut client = proxy.connect().await;
    let request = format!("POST http://{}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", origin.address());
    client.write_all(request.as_bytes()).await.unwrap();
    let mut stream = origin.accept().await;
    read_head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    assert!(read_head(&mut client).await.ends_with("\r\nConnection: close\r\n\r\n"));
    for _ in 0..3 {
        client.write_all(b"4\r\nping\r\n").await.unwrap();
        assert_eq!(read_exactly(&mut stream, 9).await, "4\r\nping\r\n");
        stream.write_all(b"4\r\npong\r\n").await.unwrap();
        assert_eq!(read_exactly(&mut client, 9).await, "4\r\npong\r\n");
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(read_exactly(&mut stream, 5).await, "0\r\n\r\n");
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut client).await, "0\r\n\r\n");
}

#[tokio::test]
async fn heads_may_arrive_byte_by_byte() {
    let (origin, proxy) = (Origin::start().await, Proxy::open().await);
    let mut client = proxy.connect().await;
    client.set_nodelay(true).unwrap();
    for byte in format!("GET http://{}/ HTTP/1.1\r\nA: b\r\n\r\n", origin.address()).into_bytes() {
        client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut stream = origin.accept().await;
    assert!(read_head(&mut stream).await.contains("\r\nA: b\r\n"));
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(read_exactly(&mut client, 2).await, "ok");
}
