//! Clients that prove by TLS who they are.

use drawspan_testkit::{Authority, Dir, Gateway, HttpAnswer, HttpPlugin, get, http_origin};

#[tokio::test(flavor = "multi_thread")]
async fn an_auther_is_told_the_clients_certificate() {
    let plugin = HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":true,"id":"alice"}"#)).await;
    let (authority, origin) = (Authority::new(), http_origin().await);
    let dir = Dir::new();
    dir.write("ca.pem", authority.pem());
    let leaf = authority.issue("alice.test");
    let (cert, key) = (dir.write("cert.pem", leaf.pem()), dir.write("key.pem", leaf.key_pem()));
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let mut gateway = Gateway::start_in(
        dir,
        &format!(
            "services:
- {{name: service-0, addr: '127.0.0.1:0', handler: {{type: http, auther: a}}, listener: {{type: tls, tls: {{caFile: ca.pem}}}}}}
authers: [{{name: a, plugin: {{type: http, addr: 'http://{}'}}}}]
",
            plugin.addr()
        ),
    )
    .await;
    // Another gateway is the client.
    let node = gateway.proxy().await;
    let client = |tls: &str| {
        format!(
            "services: [{{name: service-0, addr: '127.0.0.1:0', handler: {{type: http, chain: c}}}}]
chains: [{{name: c, hops: [{{name: h, nodes: [{{name: n, addr: '{node}', dialer: {{type: tls, tls: {{{tls}}}}}}}]}}]}}]
"
        )
    };
    let mut known = Gateway::start(&client(&format!("certFile: '{cert}', keyFile: '{key}'"))).await;
    assert_eq!(get(known.proxy().await, "", origin.addr()).await.head.status, 200);
    let call = plugin.calls().remove(0).body;
    assert_eq!(call["clientCn"], "alice.test");
    assert_eq!(call["clientSan"], serde_json::json!(["alice.test"]));
    assert_eq!(call["clientCertFingerprint"].as_str().map(str::len), Some(64));

    // Without one nobody gets as far as the auther.
    let mut unknown = Gateway::start(&client("secure: false")).await;
    assert_eq!(get(unknown.proxy().await, "", origin.addr()).await.head.status, 503);
    assert_eq!(plugin.calls().len(), 1);
}
