//! A rewriter of HTTP bodies, over each backing: the example component, in the gateway and behind `plugin serve`.

use drawspan_testkit::{Gateway, HttpAnswer, HttpPlugin, Server, exchange, http_origin, unused_addr};

use crate::served::Served;

/// A gateway in front of an origin that describes its requests; `plugin` rewrites both bodies.
async fn start(plugin: &str) -> (Gateway, Server) {
    let origin = http_origin().await;
    let yaml = format!(
        "services:
- name: service-0
  addr: '127.0.0.1:0'
  handler: {{type: tcp, metadata: {{sniffing: true}}}}
  forwarder:
    nodes:
    - name: n
      addr: '{}'
      http: {{rewriteRequestBody: [{{rewriter: w}}], rewriteResponseBody: [{{rewriter: w}}]}}
rewriters: [{{name: w, plugin: {plugin}}}]
",
        origin.addr()
    );
    (Gateway::start(&yaml).await, origin)
}

async fn post(gateway: &mut Gateway, body: &str) -> String {
    let request = format!("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    exchange(gateway.proxy().await, request.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_rewritten_over_every_backing() {
    let served = Served::start("rewriter", r#""config": {"replace": "red => green"}"#).await;
    for plugin in served.blocks() {
        let (mut gateway, _origin) = start(plugin).await;
        let answer = post(&mut gateway, "a red rose").await;
        // The origin saw the new body, with its length; what it said of it was rewritten too, had there been red in it.
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{plugin}: {answer}");
        assert!(answer.contains("content-length: 12\n"), "{plugin}: {answer}");
        assert!(answer.ends_with("\n\na green rose"), "{plugin}: {answer}");
        let answer = exchange(gateway.proxy().await, b"GET /red HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer.contains("\r\n\r\nGET /green\n"), "{plugin}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains(&format!("content-length: {}", body.len())), "{plugin}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewriter_that_fails_changes_nothing() {
    let broken = HttpPlugin::start(HttpAnswer::reply(200, "nonsense")).await;
    let no = HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":false,"data":"eA=="}"#)).await;
    for (plugin, is_failure) in [
        (format!("{{type: http, addr: 'http://{}/'}}", unused_addr()), true),
        (format!("{{type: grpc, addr: '{}'}}", unused_addr()), true),
        (format!("{{type: http, addr: 'http://{}/'}}", broken.addr()), true),
        (format!("{{type: http, addr: 'http://{}/'}}", no.addr()), false),
    ] {
        let (mut gateway, _origin) = start(&plugin).await;
        let answer = post(&mut gateway, "a red rose").await;
        assert!(answer.ends_with("\n\na red rose"), "{plugin}: {answer}");
        assert_eq!(
            gateway.log_text().contains("\"kind\":\"rewriter\""),
            is_failure,
            "{plugin}: {}",
            gateway.log_text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_told_what_it_rewrites() {
    let plugin = HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":true,"data":"bmV3"}"#)).await;
    let (mut gateway, _origin) = start(&format!("{{type: http, addr: 'http://{}/'}}", plugin.addr())).await;
    let answer = post(&mut gateway, "old").await;
    assert!(answer.ends_with("\r\n\r\nnew"), "{answer}");
    let calls = plugin.calls();
    let told = |at: usize, key: &str| {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(calls[at].body[key].as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(told(0, "data"), "old");
    assert!(told(0, "metadata").starts_with(r#"{"direction":"request","sid":""#), "{}", told(0, "metadata"));
    assert!(told(1, "metadata").starts_with(r#"{"direction":"response","sid":""#));
    assert!(told(1, "metadata").ends_with(r#","uri":"/p"}"#), "{}", told(1, "metadata"));
}
