//! What the gateway serves by HTTP itself: files and metrics.

use std::net::SocketAddr;

use drawspan_testkit::{
    Dir, Gateway, HttpAnswer, HttpPlugin, PATIENCE, connect, eventually, exchange, get, http_origin, run, tcp_echo,
};
use serde_json::Value;

/// Base64 of `gost:secret`.
const BASIC: &str = "Authorization: Basic Z29zdDpzZWNyZXQ=\r\n";

/// The head and the body of the answer to one request.
async fn ask(addr: SocketAddr, line: &str, headers: &str, body: &str) -> (String, String) {
    let request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n{body}");
    let answer = exchange(addr, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not a response: {answer:?}"));
    (head.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_and_recorded() {
    let dir = Dir::new();
    std::fs::create_dir_all(dir.join("www/a b")).unwrap();
    dir.write("www/a b/x.txt", "0123456789");
    dir.write("www/<i>.txt", "odd");
    dir.write("secret", "not for you");
    let config = "
services:
- name: service-0
  addr: 127.0.0.1:0
  recorders: [{name: kept, record: recorder.service.handler}]
  handler: {type: file, metadata: {dir: www}}
recorders: [{name: kept, file: {path: records, sep: \"\\n\"}}]
";
    let records = dir.join("records");
    let mut gateway = Gateway::start_in(dir, config).await;
    let addr = gateway.proxy().await;

    let (head, body) = ask(addr, "GET /a%20b/x.txt", "", "").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("content-type: text/plain"), "{head}");
    assert_eq!(body, "0123456789");
    let (head, body) = ask(addr, "GET /a%20b/x.txt", "Range: bytes=2-4\r\n", "").await;
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert_eq!(body, "234");
    let (head, body) = ask(addr, "HEAD /a%20b/x.txt", "", "").await;
    assert!(head.contains("content-length: 10"), "{head}");
    assert_eq!(body, "");
    let (head, _) = ask(addr, "GET /a%20b", "", "").await;
    assert!(head.contains("location: /a%20b/"), "{head}");
    let (head, body) = ask(addr, "GET /", "", "").await;
    assert!(head.contains("content-type: text/html"), "{head}");
    for link in [r#"<a href="./a%20b/">a b/</a>"#, r#"<a href="./%3Ci%3E.txt">&lt;i&gt;.txt</a>"#] {
        assert!(body.contains(link), "{body}");
    }
    for path in ["/nothing", "/../secret", "/%2e%2e/secret", "/..%2fsecret"] {
        let (head, body) = ask(addr, &format!("GET {path}"), "", "").await;
        assert!(head.starts_with("HTTP/1.1 404 ") && !body.contains("for you"), "{path}: {head}");
    }
    for method in ["PUT", "DELETE", "POST"] {
        let (head, _) = ask(addr, &format!("{method} /new"), "Content-Length: 0\r\n", "").await;
        assert!(head.starts_with("HTTP/1.1 405 "), "{method}: {head}");
    }

    // They are written beside the connections, in any order.
    let record: Value = eventually("the record of a part", PATIENCE, async || {
        let text = std::fs::read_to_string(&records).ok()?;
        let mut records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.find(|record| record["http"]["statusCode"] == 206)
    })
    .await;
    let http = &record["http"];
    assert_eq!((&record["host"], &http["uri"]), (&"a".into(), &"/a%20b/x.txt".into()), "{record}");
    assert_eq!(http["response"]["contentLength"], 3);
    let log = gateway.terminate().await.log;
    assert!(log.iter().any(|line| line.field("msg") == "GET /a%20b/x.txt HTTP/1.1 200 10"), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_for_users_where_they_are_allowed() {
    let dir = Dir::new();
    std::fs::create_dir(dir.join("www")).unwrap();
    let file = dir.join("www/new/file");
    let mut gateway = Gateway::start_with(dir, &["-L", "file://gost:secret@127.0.0.1:0?dir=www&put=true"]).await;
    let addr = gateway.proxy().await;
    let length = "Content-Length: 5\r\n";
    let (head, _) = ask(addr, "PUT /new/file", length, "hello").await;
    assert!(head.starts_with("HTTP/1.1 401 ") && head.contains("www-authenticate: Basic"), "{head}");
    assert!(!file.exists());
    let (head, _) = ask(addr, "PUT /new/file", &format!("{BASIC}{length}"), "hello").await;
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "hello");
    for path in ["/", "/new/", "/../out"] {
        let (head, _) = ask(addr, &format!("PUT {path}"), &format!("{BASIC}{length}"), "hello").await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{path}: {head}");
    }
    // One that breaks off leaves what was there.
    let broken = format!("PUT /new/file HTTP/1.1\r\nHost: a\r\n{BASIC}Transfer-Encoding: chunked\r\n\r\n3\r\nbye\r\nx");
    exchange(addr, broken.as_bytes()).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "hello");
    let left: Vec<_> = std::fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let (_, body) = ask(addr, "GET /new/file", BASIC, "").await;
    assert_eq!(body, "hello");
}

const METERED: &str = "
services:
- {name: service-0, addr: '127.0.0.1:0', bypass: asked, handler: {type: http, chain: c}}
- {name: wrong, addr: '127.0.0.1:0', handler: {type: http, chain: nowhere}}
- name: page
  addr: 127.0.0.1:0
  handler: {type: metrics, auther: users, metadata: {path: /m}}
chains:
- {name: c, hops: [{name: h, nodes: [{name: n, addr: ':0', connector: {type: direct}}]}]}
- {name: nowhere, hops: [{name: h, nodes: [{name: gone, addr: '127.0.0.1:9'}]}]}
authers:
- {name: users, auths: [{username: gost, password: secret}]}
bypasses:
- {name: asked, plugin: {type: http, addr: 'http://PLUGIN/'}}
metrics: {addr: '127.0.0.1:0', auth: {username: gost, password: secret}}
";

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_can_be_read_as_metrics() {
    let plugin = HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":false}"#)).await;
    let mut gateway = Gateway::start(&METERED.replace("PLUGIN", &plugin.addr().to_string())).await;
    let proxy = gateway.proxy().await;
    let (echo, origin) = (tcp_echo().await, http_origin().await);
    let mut tunnel = connect(proxy, "", echo.addr()).await.unwrap();
    tunnel.echo(b"12345").await;
    let wrong = gateway.addr("wrong").await;
    assert_eq!(get(wrong, "", origin.addr()).await.head.status, 503);

    for (service, path) in [("page", "/m"), ("@metrics", "/metrics")] {
        let addr = gateway.addr(service).await;
        let (head, _) = ask(addr, &format!("GET {path}"), "", "").await;
        assert!(head.starts_with("HTTP/1.1 401 ") && !head.contains("www-authenticate"), "{head}");
        assert!(ask(addr, "GET /other", BASIC, "").await.0.starts_with("HTTP/1.1 404 "));
        let (head, text) = ask(addr, &format!("GET {path}"), BASIC, "").await;
        assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
        let value = |start: &str, rest: &str| {
            let line = text.lines().find(|line| line.starts_with(start) && line.contains(rest));
            let line = line.unwrap_or_else(|| panic!("no {start} with {rest} in\n{text}"));
            line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
        };
        let client = r#"service="service-0",client="127.0.0.1""#;
        assert!((value("gost_services{host=", "") - 3.0).abs() < 0.1);
        assert!((value("gost_service_requests_total", client) - 1.0).abs() < 0.1);
        assert!((value("gost_service_requests_in_flight", client) - 1.0).abs() < 0.1);
        assert!(value("gost_service_transfer_input_bytes_total", client) > 20.0);
        assert!(value("gost_service_transfer_output_bytes_total", client) > 20.0);
        assert!(value("gost_service_handler_errors_total", r#"service="wrong""#) > 0.5);
        assert!(value("gost_chain_errors_total", r#"chain="nowhere",node="gone""#) > 0.5);
        assert!(value("gost_service_request_duration_seconds_count", r#"service="wrong""#) > 0.5);
        assert!(value("process_resident_memory_bytes", "") > 1e6 && value("process_open_fds", "") > 3.0);
        assert!(
            (value("drawspan_plugin_calls_total", r#"plugin="asked",module="bypass",backing="http""#) - 1.0).abs()
                < 0.1
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_by_a_flag_replace_the_section() {
    let dir = Dir::new();
    let config = "services: [{name: service-0, addr: '127.0.0.1:0', handler: {type: http}}]
metrics: {addr: '127.0.0.1:0', path: /old, auth: {username: other}}
";
    dir.write("gost.yaml", config);
    let flags = ["-C", "gost.yaml", "-metrics", "gost:secret@127.0.0.1:0?path=/new"];
    let mut gateway = Gateway::start_with(dir, &flags).await;
    let addr = gateway.addr("@metrics").await;
    assert!(ask(addr, "GET /old", BASIC, "").await.0.starts_with("HTTP/1.1 404 "));
    let (head, text) = ask(addr, "GET /new", BASIC, "").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && text.contains("gost_services{"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_an_error_at_load() {
    let refused = run(Dir::new().path(), &["-L", "file://127.0.0.1:0?dir=missing"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("no folder `missing`"), "{}", refused.stderr);
}
