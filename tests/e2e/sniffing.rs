//! What is tunnelled and forwarded is looked into, in a whole gateway.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawspan_testkit::{
    Authority, Dir, Gateway, HttpAnswer, HttpPlugin, PATIENCE, connect, eventually, exchange, http_origin, open, run,
    tcp_echo, within,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The records so far.
fn records(recorder: &HttpPlugin) -> Vec<Value> {
    let data = |call: &drawspan_testkit::HttpCall| STANDARD.decode(call.body["data"].as_str().unwrap()).unwrap();
    recorder.calls().iter().map(|call| serde_json::from_slice(&data(call)).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_in_tunnels_are_asked_about_and_recorded() {
    let (bypass, recorder) = (
        HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":false}"#)).await,
        HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":true}"#)).await,
    );
    let yaml = format!(
        "services:
- name: service-0
  addr: '127.0.0.1:0'
  bypass: b
  recorders: [{{name: r, record: recorder.service.handler, metadata: {{http.body: true}}}}]
  handler: {{type: auto, metadata: {{sniffing: true}}}}
- name: refusing
  addr: '127.0.0.1:0'
  bypass: rules
  handler: {{type: http, metadata: {{sniffing: true}}}}
bypasses:
- {{name: b, plugin: {{type: http, addr: 'http://{bypass}/'}}}}
- {{name: rules, matchers: ['*.secret.test']}}
recorders: [{{name: r, plugin: {{type: http, addr: 'http://{recorder}/'}}}}]
",
        bypass = bypass.addr(),
        recorder = recorder.addr()
    );
    let mut gateway = Gateway::start(&yaml).await;
    let (origin, echo) = (http_origin().await, tcp_echo().await);
    let mut tunnel = connect(gateway.proxy().await, "", origin.addr()).await.unwrap();
    tunnel.send(b"POST /p HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi").await;
    let answer = String::from_utf8(tunnel.read_to_end().await).unwrap();
    assert!(answer.contains("POST /p\nhost: a.test\n"), "{answer}");
    let hosts: Vec<_> = bypass.calls().iter().map(|call| call.body["addr"].as_str().unwrap().to_owned()).collect();
    assert_eq!(hosts, [origin.addr().to_string(), "a.test:80".to_owned()]);
    eventually("a record", PATIENCE, async || (recorder.calls().len() == 1).then_some(())).await;
    let record = records(&recorder).remove(0);
    assert_eq!((&record["host"], &record["http"]["statusCode"]), (&"a.test:80".into(), &200.into()));
    assert_eq!(record["http"]["request"]["body"], STANDARD.encode("hi"));
    // What isn't HTTP or TLS passes.
    connect(gateway.proxy().await, "", echo.addr()).await.unwrap().echo(b"\0\x01\x02").await;

    let refusing = gateway.addr("refusing").await;
    let mut tunnel = connect(refusing, "", origin.addr()).await.unwrap();
    tunnel.send(b"GET / HTTP/1.1\r\nHost: very.secret.test\r\n\r\n").await;
    assert_eq!(tunnel.read_to_end().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_routes_by_what_it_sees() {
    let (one, two, secret) = (http_origin().await, http_origin().await, http_origin().await);
    let yaml = format!(
        "services:
- name: service-0
  addr: '127.0.0.1:0'
  bypass: b
  handler: {{type: tcp, metadata: {{sniffing: true}}}}
  forwarder:
    nodes:
    - {{name: one, addr: '{one}', filter: {{host: one.test}}, http: {{host: inner.test, requestHeader: {{X-A: '1'}}, responseHeader: {{X-B: '2'}}, rewriteURL: [{{match: ^/a, replacement: /b}}]}}}}
    - {{name: two, addr: '{two}', matcher: {{rule: 'Header(`X-To`, `two`) && Query(`q`)'}}}}
    - {{name: secret, addr: '{secret}', filter: {{path: /secret}}, http: {{auth: {{username: u, password: p}}}}}}
bypasses: [{{name: b, matchers: [blocked.test]}}]
",
        one = one.addr(),
        two = two.addr(),
        secret = secret.addr()
    );
    let mut gateway = Gateway::start(&yaml).await;
    let addr = gateway.proxy().await;
    let ask = async |head: &str| exchange(addr, format!("{head}\r\n\r\n").as_bytes()).await;
    let answer = ask("GET /a/x HTTP/1.1\r\nHost: one.test").await;
    assert!(answer.contains("X-B: 2\r\n") && answer.contains("Connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("GET /b/x\nhost: inner.test\nx-a: 1\n\n"), "{answer}");
    assert!(ask("GET /?q HTTP/1.1\r\nHost: a\r\nX-To: two").await.ends_with("GET /?q\nhost: a\nx-to: two\n\n"));
    assert_eq!((one.accepted(), two.accepted()), (1, 1));
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: a", 502),
        ("GET / HTTP/1.1\r\nHost: blocked.test", 403),
        ("GET /secret HTTP/1.1\r\nHost: a", 401),
        ("GET /secret HTTP/1.1\r\nHost: a\r\nAuthorization: Basic dTpw", 200),
    ] {
        let answer = ask(head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_tls_is_spoken_to_by_tls() {
    let dir = Dir::new();
    let authority = Authority::new();
    let leaf = authority.issue("origin.test");
    dir.write("cert.pem", leaf.pem());
    dir.write("key.pem", leaf.key_pem());
    let mut origin = Gateway::start_in(
        dir,
        "services:
- name: service-0
  addr: '127.0.0.1:0'
  listener: {type: tls, tls: {certFile: cert.pem, keyFile: key.pem}}
  handler: {type: http, metadata: {authBasicRealm: behind-tls}, auth: {username: u, password: p}}
",
    )
    .await;
    let yaml = format!(
        "services:
- name: service-0
  addr: '127.0.0.1:0'
  handler: {{type: tcp, metadata: {{sniffing: true}}}}
  forwarder: {{nodes: [{{name: n, addr: '{}', tls: {{serverName: origin.test}}}}]}}
",
        origin.proxy().await
    );
    let mut gateway = Gateway::start(&yaml).await;
    let answer = exchange(gateway.proxy().await, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.contains("behind-tls"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sniffing_can_not_do_yet_is_refused() {
    for key in ["mitm.certFile: ca.pem", "sniffing.fallback: true"] {
        let dir = Dir::new();
        let handler = format!("{{type: http, metadata: {{sniffing: true, {key}}}}}");
        dir.write("gateway.yaml", format!("services: [{{name: s, addr: '127.0.0.1:0', handler: {handler}}}]"));
        let finished = run(dir.path(), &["check", "-C", "gateway.yaml"]).await;
        assert_eq!(finished.code, Some(2), "{key}: {}", finished.stderr);
        assert!(finished.stderr.contains("not implemented"), "{key}: {}", finished.stderr);
    }
    // Else a password would seem to guard it.
    let dir = Dir::new();
    let node = "{name: n, addr: 'a:1', http: {auth: {username: u, password: p}}}";
    let service = format!("{{name: s, addr: '127.0.0.1:0', handler: {{type: tcp}}, forwarder: {{nodes: [{node}]}}}}");
    dir.write("gateway.yaml", format!("services: [{service}]"));
    let finished = run(dir.path(), &["check", "-C", "gateway.yaml"]).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(finished.stderr.contains("sniffing: true"), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_websockets_are_recorded() {
    let recorder = HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":true}"#)).await;
    let yaml = format!(
        "services:
- name: service-0
  addr: '127.0.0.1:0'
  recorders: [{{name: r, record: recorder.service.handler, metadata: {{http.body: true}}}}]
  handler: {{type: http, metadata: {{sniffing: true, sniffing.websocket: true}}}}
recorders: [{{name: r, plugin: {{type: http, addr: 'http://{recorder}/'}}}}]
",
        recorder = recorder.addr()
    );
    let mut gateway = Gateway::start(&yaml).await;
    let proxy = gateway.proxy().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let upgrade = "Host: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for in_tunnel in [true, false] {
        let mut client = match in_tunnel {
            true => connect(proxy, "", addr).await.unwrap(),
            false => open(proxy).await,
        };
        let target = if in_tunnel { "/".to_owned() } else { format!("http://{addr}/") };
        client.send(format!("GET {target} HTTP/1.1\r\n{upgrade}").as_bytes()).await;
        let (mut server, _) = within("a connection", listener.accept()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("a request", server.read_u8()).await.unwrap());
        }
        let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        server.write_all(switched.as_bytes()).await.unwrap();
        client.receive(switched.len()).await;
        // In two pieces, and masked.
        client.send(b"\x81\x85\x01\x02").await;
        client.send(b"\x03\x04masks").await;
        let mut frame = [0; 11];
        within("the frame", server.read_exact(&mut frame)).await.unwrap();
        assert_eq!(&frame, b"\x81\x85\x01\x02\x03\x04masks");
        server.write_all(b"\x82\x03abc").await.unwrap();
        assert_eq!(client.receive(5).await, b"\x82\x03abc");
        let frames = eventually("two frames", PATIENCE, async || {
            let records = records(&recorder).into_iter();
            let frames: Vec<_> = records.filter(|record| record["websocket"].is_object()).collect();
            (frames.len() == if in_tunnel { 2 } else { 4 }).then_some(frames)
        })
        .await;
        let of = |from: &str| frames.iter().rfind(|record| record["websocket"]["from"] == from).unwrap();
        let (sent, answered) = (of("client"), of("server"));
        assert_eq!(
            sent["websocket"],
            serde_json::json!({"from": "client", "fin": true, "rsv1": false, "rsv2": false, "rsv3": false, "opcode": 1,
                "masked": true, "maskKey": 0x0403_0201, "length": 5, "payload": STANDARD.encode("masks")})
        );
        assert_eq!((&sent["inputBytes"], &sent["outputBytes"]), (&11.into(), &0.into()));
        assert_eq!(answered["websocket"]["payload"], STANDARD.encode("abc"));
        assert_eq!((&answered["inputBytes"], &answered["outputBytes"]), (&0.into(), &5.into()));
        assert_eq!(sent["http"]["statusCode"], 101);
    }
}
