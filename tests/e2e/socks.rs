//! The SOCKS proxies as curl sees them.

use std::net::SocketAddr;

use drawspan_testkit::{Gateway, Server, http_origin, within};
use tokio::process::Command;

const CONFIG: &str = "
services:
- {name: service-0, addr: '127.0.0.1:0', handler: {type: auto}}
- {name: four, addr: '127.0.0.1:0', handler: {type: socks4, auther: users}}
- {name: five, addr: '127.0.0.1:0', bypass: blocked, handler: {type: socks5, auther: users}}
- {name: chained, addr: '127.0.0.1:0', handler: {type: socks5, chain: onward}}
authers:
- {name: users, auths: [{username: gost, password: secret}, {username: plain}]}
bypasses:
- {name: blocked, matchers: [blocked.example]}
chains:
- name: onward
  hops:
  - name: hop-0
    nodes:
    - name: node-0
      addr: ONWARD
      connector: {type: socks5, auth: {username: gost, password: secret}}
";

/// What curl gets of `origin` through a proxy: the status, or its own exit code.
async fn curl(scheme: &str, user: &str, proxy: SocketAddr, url: &str) -> Result<String, i32> {
    let mut command = Command::new("curl");
    command.args(["--disable", "--silent", "--noproxy", "", "--proxy", &format!("{scheme}://{user}{proxy}"), url]);
    let output = within("curl", command.env_clear().env("PATH", "/usr/bin:/bin").kill_on_drop(true).output()).await;
    let output = output.expect("these tests need curl");
    match output.status.code() {
        Some(0) => Ok(String::from_utf8(output.stdout).unwrap()),
        code => Err(code.unwrap()),
    }
}

/// Without curl these tests say nothing; in CI it is there.
fn is_curl_missing() -> bool {
    std::process::Command::new("curl").arg("--version").output().is_err()
}

async fn start() -> (Gateway, Gateway, Server) {
    let mut onward = Gateway::start(&CONFIG.replace("ONWARD", "127.0.0.1:9")).await;
    let next = onward.addr("five").await.to_string();
    (Gateway::start(&CONFIG.replace("ONWARD", &next)).await, onward, http_origin().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_through_every_kind_of_proxy() {
    if is_curl_missing() {
        return;
    }
    let (mut gateway, _onward, origin) = start().await;
    let port = origin.addr().port();
    for (service, scheme, user) in [
        ("service-0", "socks4", ""),
        ("service-0", "socks4a", ""),
        ("service-0", "socks5", ""),
        ("service-0", "socks5h", ""),
        ("service-0", "http", ""),
        ("four", "socks4", "plain@"),
        ("four", "socks4a", "plain@"),
        ("five", "socks5", "gost:secret@"),
        ("five", "socks5h", "gost:secret@"),
        ("chained", "socks5", ""),
        ("chained", "socks5h", ""),
    ] {
        let proxy = gateway.addr(service).await;
        for host in ["127.0.0.1", "localhost"] {
            let page = curl(scheme, user, proxy, &format!("http://{host}:{port}/page")).await;
            let page = page.unwrap_or_else(|code| panic!("{service} {scheme} {host}: curl ends with {code}"));
            assert!(page.contains("/page\n"), "{service} {scheme} {host}: {page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_told_that_it_is_refused() {
    if is_curl_missing() {
        return;
    }
    /// "A proxy handshake error" (`CURLE_PROXY`).
    const REFUSED: Result<String, i32> = Err(97);
    let (mut gateway, _onward, origin) = start().await;
    let page = format!("http://127.0.0.1:{}/", origin.addr().port());
    for (service, scheme, user, url) in [
        ("four", "socks4", "gost@", page.as_str()),
        ("four", "socks4", "", &page),
        ("five", "socks5", "gost:wrong@", &page),
        ("five", "socks5h", "gost:secret@", "http://blocked.example/"),
        ("service-0", "socks5h", "", "http://127.0.0.1:9/"),
        ("service-0", "socks4", "", "http://127.0.0.1:9/"),
        ("chained", "socks5h", "", "http://blocked.example/"),
    ] {
        let proxy = gateway.addr(service).await;
        assert_eq!(curl(scheme, user, proxy, url).await, REFUSED, "{service} {scheme} {user} {url}");
    }
}
