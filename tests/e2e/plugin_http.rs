//! An authenticator behind HTTP.

use std::io::Write;

use drawspan_testkit::{Authority, Dir, HttpAnswer, HttpPlugin, basic};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::page::{PASSWORD, Page, TOKEN, USER, USERS};

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_used_as_it_is_however_the_type_is_spelt() {
    let plugin = HttpPlugin::start(HttpAnswer::Users(USERS)).await;
    for (kind, path) in [("http", "/auth"), ("HTTP", "/auth?x=1"), ("Http", "/")] {
        println!("{kind} {path}");
        let page = Page::start(&format!("{{type: {kind}, addr: \"http://{}{path}\"}}", plugin.addr())).await;
        page.assert_works().await;
        assert_eq!(plugin.calls().last().map(|call| call.path.clone()), Some(path.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_told_who_asks_for_what() {
    let plugin = HttpPlugin::start(HttpAnswer::Users(USERS)).await;
    let page = Page::start(&format!("{{type: http, addr: \"http://{}/auth\", token: {TOKEN}}}", plugin.addr())).await;
    page.ask(USER, PASSWORD).await;

    let [call] = plugin.calls().try_into().expect("one request for one connection");
    assert_eq!(call.method, "POST");
    assert_eq!(call.headers["content-type"], "application/json");
    assert_eq!(call.headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!((&call.body["username"], &call.body["password"]), (&USER.into(), &PASSWORD.into()));
    assert_eq!(call.body["service"], "service-0");
    assert!(call.body["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{}", call.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_verified_against_the_ca_file_or_not_at_all_if_asked() {
    let ours = Authority::new();
    for (authority, name, tls, admitted) in [
        (&ours, "127.0.0.1", ", tls: {caFile: ca.pem}", true),
        (&ours, "plugin.example", ", tls: {caFile: ca.pem, serverName: plugin.example}", true),
        (&ours, "plugin.example", ", tls: {caFile: ca.pem}", false),
        (&Authority::new(), "127.0.0.1", ", tls: {caFile: ca.pem}", false),
        (&Authority::new(), "plugin.example", ", tls: {}", true),
        (&Authority::new(), "plugin.example", ", tls: {secure: false}", true),
    ] {
        println!("certificate for {name}{tls}");
        let plugin = HttpPlugin::start_tls(authority.issue(name).server(&["http/1.1"]), HttpAnswer::Users(USERS)).await;
        let dir = Dir::new();
        dir.write("ca.pem", ours.pem());
        let page = Page::start_in(dir, &format!("{{type: http, addr: \"https://{}/auth\"{tls}}}", plugin.addr())).await;
        if admitted { page.assert_works().await } else { page.assert_denies().await }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_server_may_demand_a_client_certificate() {
    let clients = Authority::new();
    let tls = Authority::new().issue("127.0.0.1").server_for(&[], &clients);
    let plugin = HttpPlugin::start_tls(tls, HttpAnswer::Users(USERS)).await;
    for (keys, admitted) in [("certFile: client.pem, keyFile: client.key", true), ("", false)] {
        let client = clients.issue("gateway.example");
        let dir = Dir::new();
        dir.write("client.pem", client.pem());
        dir.write("client.key", client.key_pem());
        let block = format!("{{type: http, addr: \"https://{}/auth\", tls: {{{keys}}}}}", plugin.addr());
        let page = Page::start_in(dir, &block).await;
        if admitted { page.assert_works().await } else { page.assert_denies().await }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_go_would_accept_is_accepted() {
    for body in [
        r#"{"ok":true}"#,
        r#"{"OK":true,"Id":"x"}"#,
        r#"{"ok":true,"id":null}"#,
        r#"{"ok":true,"id":"x"} and more"#,
        r#"{"ok":true,"id":"x"}{"ok":false}"#,
        r#"{"extra":[{"deep":{}}],"ok":true,"id":"x"}"#,
    ] {
        let plugin = HttpPlugin::start(HttpAnswer::reply(200, body)).await;
        let page = Page::start(&format!("{{type: http, addr: \"http://{}\"}}", plugin.addr())).await;
        assert_eq!(page.ask(USER, PASSWORD).await, 200, "{body}\n{}", page.gateway.log_text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_reply_is_accepted() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(br#"{"ok":true}"#).unwrap();
    let body = encoder.finish().unwrap().into();
    let answer = HttpAnswer::Reply { status: 200, header: Some(("content-encoding", "gzip")), body };
    let plugin = HttpPlugin::start(answer).await;
    let page = Page::start(&format!("{{type: http, addr: \"http://{}\"}}", plugin.addr())).await;
    assert_eq!(page.ask(USER, PASSWORD).await, 200, "{}", page.gateway.log_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxys_credentials_do_not_reach_the_origin() {
    let plugin = HttpPlugin::start(HttpAnswer::Users(USERS)).await;
    let page = Page::start(&format!("{{type: http, addr: \"http://{}\"}}", plugin.addr())).await;
    let reply = page.get(&basic(USER, PASSWORD)).await;
    assert!(!reply.body.to_lowercase().contains("proxy-authorization"), "{}", reply.body);
}
