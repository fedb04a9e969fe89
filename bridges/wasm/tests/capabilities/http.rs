//! `httpHosts`.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use drawspan_bridge_wasm::{HostName, HttpHost};
use drawspan_testkit::Authority;
use tokio::time::timeout;

use crate::origin::Origin;
use crate::support::{self, Guest, PATIENCE, keep_log, logged};

/// `host:port` or `host`; the host is a name, an address, or a range of addresses.
fn host(text: &str) -> HttpHost {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let net = host.parse().or_else(|_| host.parse::<std::net::IpAddr>().map(Into::into));
    HttpHost {
        host: net.map_or_else(|_| HostName::Name(host.into()), HostName::Net),
        ports: port.parse().ok().map(|port| port..=port),
    }
}

async fn guest(name: &str, hosts: &[&str], timeout: Duration) -> Guest {
    Guest::start("outside.wasm", |settings| {
        settings.name = name.into();
        settings.http_hosts = hosts.iter().map(|text| host(text)).collect();
        settings.keyvalue = support::memory(1 << 20);
        settings.instances = 1;
        settings.max_reply = 64 << 10;
        settings.timeout = timeout;
    })
    .await
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

#[tokio::test]
async fn a_listed_host_is_asked_over_connections_that_are_kept() {
    let origin = Origin::saying("hello").await;
    let guest = guest("http-listed", &[&origin.address.to_string()], PATIENCE).await;
    for _ in 0..3 {
        assert_eq!(guest.ask("get", &url(origin.address)).await.unwrap(), "200 hello");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn no_other_is_and_the_log_says_what_to_add() {
    keep_log();
    let (listed, other) = (Origin::saying("hello").await, Origin::saying("secret").await);
    let guest = guest("http-other", &[&listed.address.to_string()], PATIENCE).await;
    let with_user = format!("http://{}@{}/", listed.address, other.address);
    for (url, refusal) in [
        (url(other.address), "HttpRequestDenied"),
        (with_user, "HttpRequestUriInvalid"),
        (format!("http://localhost:{}/", listed.address.port()), "HttpRequestDenied"),
        (format!("http://2130706433:{}/", listed.address.port()), "HttpRequestDenied"),
        // The port is 443.
        (format!("https://{}/", listed.address.ip()), "HttpRequestDenied"),
    ] {
        let told = guest.refusal("get", &url).await;
        assert!(told.contains(refusal), "{url}: {told}");
    }
    assert!(guest.refusal("connect", &url(listed.address)).await.contains("HttpRequestMethodInvalid"));
    assert_eq!((listed.connections(), other.connections()), (0, 0));
    let told = format!("a request to {} is refused: `httpHosts` doesn't list it", other.address);
    assert!(logged("http-other").contains(&told), "{:?}", logged("http-other"));
}

#[tokio::test]
async fn a_redirect_is_a_request_like_any_other() {
    let secret = Origin::saying("secret").await;
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", url(secret.address));
    let origin = Origin::start(Some(redirect)).await;
    let guest = guest("http-redirect", &[&origin.address.to_string()], PATIENCE).await;
    assert_eq!(guest.ask("get", &url(origin.address)).await.unwrap(), "302 ");
    assert!(guest.refusal("follow", &url(origin.address)).await.contains("HttpRequestDenied"));
    assert_eq!(secret.connections(), 0);
}

#[tokio::test]
async fn a_name_leads_to_a_private_address_only_if_that_is_listed_too() {
    keep_log();
    let origin = Origin::saying("hello").await;
    let port = origin.address.port();
    let (name, url) = (format!("localhost:{port}"), format!("http://localhost:{port}/"));
    let guest = guest("http-private", &[&name], PATIENCE).await;
    assert!(guest.refusal("get", &url).await.contains("DestinationIpProhibited"));
    assert_eq!(origin.connections(), 0);
    let told = format!(
        "a request to {name} is refused: its address is a private one; list that in `httpHosts` too if it is meant"
    );
    assert!(logged("http-private").contains(&told), "{:?}", logged("http-private"));

    for (range, is_enough) in [(format!("127.0.0.0/8:{port}"), true), ("127.0.0.0/8".to_owned(), false)] {
        let guest = self::guest("http-private-listed", &[&name, &range], PATIENCE).await;
        assert_eq!(guest.ask("get", &url).await.is_ok_and(|answer| answer == "200 hello"), is_enough, "{range}");
    }
}

#[tokio::test]
async fn what_a_server_says_is_bounded() {
    let large = "x".repeat(1 << 20);
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let head = format!("HTTP/1.1 200 OK\r\nx: {large}\r\ncontent-length: 0\r\n\r\n");
    for (answer, refusal) in [
        (chunked, "size exceeds limit: 65536 bytes"),
        (
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{large}", large.len()),
            "size exceeds limit: 65536 bytes",
        ),
        (head, "HttpProtocolError"),
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n".into(), "HttpProtocolError"),
        ("nonsense\r\n\r\n".into(), "HttpProtocolError"),
    ] {
        let origin = Origin::start(Some(answer)).await;
        let guest = guest("http-large", &[&origin.address.to_string()], PATIENCE).await;
        let told = guest.refusal("get", &url(origin.address)).await;
        assert!(told.contains(refusal), "{told}");
    }
}

#[tokio::test]
async fn a_guest_that_waits_for_a_server_is_stopped_and_its_request_with_it() {
    let origin = Origin::start(None).await;
    let guest = guest("http-silent", &[&origin.address.to_string()], PATIENCE).await;
    assert!(timeout(Duration::from_millis(200), guest.ask("get", &url(origin.address))).await.is_err());
    timeout(PATIENCE, origin.abandoned()).await.expect("the request goes on");
    assert_eq!(guest.ask("ok", "").await.unwrap(), "ok");
}

#[tokio::test]
async fn a_request_that_outlives_its_call_ends_in_time() {
    let origin = Origin::start(None).await;
    let guest = guest("http-late", &[&origin.address.to_string()], Duration::from_millis(100)).await;
    assert!(guest.refusal("get", &url(origin.address)).await.contains("ConnectionReadTimeout"));
    timeout(PATIENCE, origin.abandoned()).await.expect("the request goes on");
}

#[tokio::test]
async fn requests_at_a_time_are_counted() {
    let origin = Origin::start(None).await;
    let guest = guest("http-many", &[&origin.address.to_string()], PATIENCE).await;
    assert_eq!(guest.ask("requests", &url(origin.address)).await.unwrap(), "32 ErrorCode::ConnectionLimitReached");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_answer() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let guest = guest("http-nobody", &[&free.to_string(), "name.invalid"], PATIENCE).await;
    assert!(guest.refusal("get", &url(free)).await.contains("ConnectionRefused"));
    assert!(guest.refusal("get", "http://name.invalid/").await.contains("DnsError"));
}

/// The roots are the process's, so that this runs itself again, as [`over_tls_in_this_process`], with others.
#[tokio::test]
async fn over_tls_the_certificate_counts() {
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    std::fs::write(&file, trusted.pem()).unwrap();
    for (authority, name, expected) in [
        (&trusted, "localhost", "Ok(\"200 hello\")"),
        (&trusted, "other.example", "TlsCertificateError"),
        (&stranger, "localhost", "TlsCertificateError"),
    ] {
        let acceptor = authority.issue(name).server(&["http/1.1"]).into();
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_owned();
        let origin = Origin::with(Some(answer), Some(acceptor)).await;
        let child = tokio::task::spawn_blocking({
            let (file, port) = (file.clone(), origin.address.port().to_string());
            move || {
                let mut child = Command::new(std::env::current_exe().unwrap());
                child.args(["--exact", "http::over_tls_in_this_process", "--ignored", "--nocapture"]);
                child.env("SSL_CERT_FILE", file).env("DRAWSPAN_TEST_PORT", port).output().unwrap()
            }
        });
        let output = String::from_utf8_lossy(&child.await.unwrap().stdout).into_owned();
        assert!(output.contains(expected), "{name}: {output}");
    }
}

#[tokio::test]
#[ignore = "it is a part of over_tls_the_certificate_counts"]
#[allow(clippy::print_stdout, reason = "for the process that started this one")]
async fn over_tls_in_this_process() {
    let port = std::env::var("DRAWSPAN_TEST_PORT").expect("started by the other test");
    let guest = guest("http-tls", &[&format!("localhost:{port}"), &format!("127.0.0.1:{port}")], PATIENCE).await;
    println!("{:?}", guest.ask("get", &format!("https://localhost:{port}/")).await.map_err(|error| error.to_string()));
}
