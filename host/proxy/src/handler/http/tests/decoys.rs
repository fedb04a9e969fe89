//! Probe resistance.

use std::io::Write as _;

use super::*;

const PROBE: &str = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n";

async fn resisting(probe_resist: &str, knock: &[&str]) -> Proxy {
    let knock = knock.iter().map(|&host| host.to_owned()).collect();
    let probe_resist = Some(probe_resist.parse().unwrap());
    Proxy::closed(Settings { probe_resist, knock, ..Settings::default() }).await
}

#[tokio::test]
async fn a_status() {
    let proxy = resisting("code:404", &[]).await;
    assert_eq!(proxy.ask(PROBE).await, "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
}

#[tokio::test]
async fn knocking_makes_it_a_proxy_again() {
    let proxy = resisting("code:404", &["first.example", "knock.example"]).await;
    for (request, status) in [
        (PROBE, "404 "),
        ("GET / HTTP/1.1\r\nHost: knock.example\r\n\r\n", "404 "),
        ("CONNECT Knock.Example:443 HTTP/1.1\r\n\r\n", "407 "),
        ("GET http://knock.example/ HTTP/1.1\r\n\r\n", "407 "),
        ("GET https://first.example/ HTTP/1.1\r\n\r\n", "407 "),
    ] {
        assert!(proxy.ask(request).await.starts_with(&format!("HTTP/1.1 {status}")), "{request}");
    }
}

#[tokio::test]
async fn who_has_credentials_sees_the_proxy() {
    let (origin, proxy) = (Origin::start().await, resisting("code:404", &[]).await);
    let request = format!("GET http://{}/ HTTP/1.0\r\n{}\r\n", origin.address(), authorization("gost:secret"));
    let (answer, _) = tokio::join!(proxy.ask(request), origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    assert!(answer.ends_with("\r\n\r\nok"));
}

#[tokio::test]
async fn a_page() {
    let origin = Origin::start().await;
    let proxy = resisting(&format!("web:http://{}/page?x", origin.address()), &[]).await;
    let response = "HTTP/1.1 200 OK\r\nServer: nginx\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\n\r\n";
    let (answer, seen) = tokio::join!(proxy.ask(PROBE), origin.answer(response));
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\npage\r\n0\r\n\r\n"
    );
    assert_eq!(
        seen,
        format!(
            "GET /page?x HTTP/1.1\r\nHost: {}\r\nUser-Agent: Go-http-client/1.1\r\nConnection: close\r\n\r\n",
            origin.address()
        )
    );
}

#[tokio::test]
async fn a_server() {
    let origin = Origin::start().await;
    let mut proxy = resisting(&format!("host:{}", origin.address()), &[]).await;
    let mut client = proxy.connect().await;
    client.write_all(format!("{PROBE}more").as_bytes()).await.unwrap();
    let mut server = origin.accept().await;
    assert_eq!(read_exactly(&mut server, PROBE.len() + 4).await, format!("{PROBE}more"));
    server.write_all(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n").await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut client).await, "HTTP/1.1 405 Method Not Allowed\r\n\r\n");
    drop(client);
    proxy.outcome().await.unwrap();
}

#[tokio::test]
async fn a_file() {
    let path = std::env::temp_dir().join(format!("drawspan-decoy-{}.html", std::process::id()));
    std::fs::File::create(&path).unwrap().write_all(&[b'x'; 200_000]).unwrap();
    let proxy = resisting(&format!("file:{}", path.display()), &[]).await;
    let answer = proxy.ask(PROBE).await;
    std::fs::remove_file(&path).unwrap();
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 200000\r\n\r\n";
    assert_eq!(answer, format!("{head}{}", "x".repeat(200_000)));
}

#[tokio::test]
async fn what_can_not_be_shown_is_unavailable() {
    let nobody = nobody().await;
    for probe_resist in
        [format!("web:http://{nobody}/"), format!("host:{nobody}"), "file:/nonexistent/decoy.html".to_owned()]
    {
        let mut proxy = resisting(&probe_resist, &[]).await;
        assert_eq!(
            proxy.ask(PROBE).await,
            "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n",
            "{probe_resist}"
        );
        proxy.outcome().await.unwrap();
    }
}
