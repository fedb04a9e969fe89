//! An authenticator behind gRPC.

use drawspan_testkit::{Authority, Dir, Gateway, GrpcAnswer, GrpcPlugin, Server, basic, http_origin};

use crate::page::{PASSWORD, Page, TOKEN, USER, USERS};

async fn plain() -> GrpcPlugin {
    GrpcPlugin::start(GrpcAnswer::Users(USERS)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_page_of_gost_runs_unchanged() {
    let tls = Authority::new().issue("plugin.example").server(&["h2"]);
    let any = ([127, 0, 0, 1], 0).into();
    let plugin = GrpcPlugin::start_at(any, GrpcAnswer::Users(USERS), Some("gost"), Some(tls)).await;
    let yaml = r#"
services:
- name: service-0
  addr: "127.0.0.1:0"
  handler:
    type: http
    auther: auther-0
  listener:
    type: tcp
authers:
- name: auther-0
  plugin:
    type: grpc
    addr: 127.0.0.1:8000
    token: gost
    tls: {}
"#;
    let yaml = yaml.replace("127.0.0.1:8000", &plugin.addr().to_string());
    Page::with(Gateway::start(&yaml).await).await.assert_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_server_is_reached_however_the_block_is_spelt() {
    let plugin = plain().await;
    let addr = plugin.addr();
    for block in [
        format!("{{type: grpc, addr: {addr}}}"),
        format!("{{type: GRPC, addr: {addr}}}"),
        format!("{{addr: {addr}}}"),
        format!("{{addr: \"passthrough:///{addr}\"}}"),
        format!("{{Type: grpc, ADDR: {addr}, timeout: 5s}}"),
    ] {
        println!("{block}");
        Page::start(&block).await.assert_works().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_a_target() {
    let dir = Dir::new();
    let path = dir.join("plugin.sock");
    let _plugin = GrpcPlugin::start_unix(&path, GrpcAnswer::Users(USERS));
    Page::start(&format!("{{addr: \"unix:{}\"}}", path.display())).await.assert_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_told_who_asks_for_what() {
    let plugin = plain().await;
    let page = Page::start(&format!("{{addr: {}, token: {TOKEN}}}", plugin.addr())).await;
    page.ask(USER, PASSWORD).await;

    let [call] = plugin.calls().try_into().expect("one call for one connection");
    assert_eq!((call.request.username.as_str(), call.request.password.as_str()), (USER, PASSWORD));
    assert_eq!(call.request.service, "service-0");
    assert!(call.request.client.starts_with("127.0.0.1:"), "{}", call.request.client);
    assert_eq!(call.metadata["token"], TOKEN);
    assert_eq!(call.authority, plugin.addr().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_credentials_is_asked_about_too() {
    let plugin = GrpcPlugin::start(GrpcAnswer::Users(&[("", "")])).await;
    let page = Page::start(&format!("{{addr: {}}}", plugin.addr())).await;
    assert_eq!(page.get("").await.head.status, 200);
    assert_eq!(plugin.calls()[0].request.username, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_name_is_the_authority() {
    let tls = Authority::new().issue("plugin.example").server(&["h2"]);
    let plugin = GrpcPlugin::start_tls(tls, GrpcAnswer::Users(USERS)).await;
    let page = Page::start(&format!("{{addr: {}, tls: {{serverName: plugin.example}}}}", plugin.addr())).await;
    page.assert_works().await;
    assert_eq!(plugin.calls()[0].authority, "plugin.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_file_is_verified_against() {
    let ours = Authority::new();
    for (authority, name, tls, admitted) in [
        (&ours, "127.0.0.1", "caFile: ca.pem", true),
        (&ours, "plugin.example", "caFile: ca.pem, serverName: plugin.example", true),
        (&ours, "127.0.0.1", "caFile: ca.pem, secure: true", true),
        (&ours, "plugin.example", "caFile: ca.pem", false),
        (&ours, "127.0.0.1", "caFile: ca.pem, serverName: plugin.example", false),
        (&Authority::new(), "127.0.0.1", "caFile: ca.pem", false),
        (&Authority::new(), "127.0.0.1", "", true),
    ] {
        println!("certificate for {name}, tls: {{{tls}}}");
        let plugin = GrpcPlugin::start_tls(authority.issue(name).server(&["h2"]), GrpcAnswer::Users(USERS)).await;
        let dir = Dir::new();
        dir.write("ca.pem", ours.pem());
        let page = Page::start_in(dir, &format!("{{addr: {}, tls: {{{tls}}}}}", plugin.addr())).await;
        if admitted { page.assert_works().await } else { page.assert_denies().await }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_demand_a_client_certificate() {
    let clients = Authority::new();
    let tls = Authority::new().issue("127.0.0.1").server_for(&["h2"], &clients);
    let plugin = GrpcPlugin::start_tls(tls, GrpcAnswer::Users(USERS)).await;
    for (issuer, keys, admitted) in [
        (&clients, "certFile: client.pem, keyFile: client.key", true),
        (&Authority::new(), "certFile: client.pem, keyFile: client.key", false),
        (&clients, "", false),
    ] {
        println!("tls: {{{keys}}}");
        let client = issuer.issue("gateway.example");
        let dir = Dir::new();
        dir.write("client.pem", client.pem());
        dir.write("client.key", client.key_pem());
        let page = Page::start_in(dir, &format!("{{addr: {}, tls: {{{keys}}}}}", plugin.addr())).await;
        if admitted { page.assert_works().await } else { page.assert_denies().await }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_server_is_warned_about_at_load() {
    let gateway = Gateway::start(&crate::page::page("{addr: 127.0.0.1:1, tls: {}}")).await;
    let log = gateway.log_text();
    assert!(log.contains("warn") && log.contains("caFile"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_plugin_delays_only_the_client_it_is_asked_about() {
    let slow = GrpcPlugin::start(GrpcAnswer::Never).await;
    let origin: Server = http_origin().await;
    let yaml = format!(
        "
services:
- {{name: service-0, addr: 127.0.0.1:0, handler: {{type: http, auther: slow}}, listener: {{type: tcp}}}}
- {{name: service-1, addr: 127.0.0.1:0, handler: {{type: http}}, listener: {{type: tcp}}}}
authers:
- {{name: slow, plugin: {{addr: {}, timeout: 3s}}}}
",
        slow.addr()
    );
    let mut gateway = Gateway::start(&yaml).await;
    let (slow, fast) = (gateway.proxy().await, gateway.addr("service-1").await);
    let headers = basic(USER, PASSWORD);
    let waiting = drawspan_testkit::get(slow, &headers, origin.addr());
    let others = async {
        for _ in 0..20 {
            assert_eq!(drawspan_testkit::get(fast, "", origin.addr()).await.head.status, 200);
        }
    };
    tokio::select! {
        biased;
        reply = waiting => panic!("answered before the others: {}", reply.head.text),
        () = others => {}
    }
}
