//! What becomes of a client when a plugin server fails: it is refused in time, and the operator is told once.

use std::time::Duration;

use drawspan_testkit::{
    Authority, GrpcAnswer, GrpcPlugin, HttpAnswer, HttpPlugin, Misbehaviour, Tls, basic, eventually, misbehaving,
    unused_addr,
};

use crate::page::{PASSWORD, Page, TOKEN, USER, USERS, assert_challenged};

/// Fails unless the right password is refused and the log tells why in one line, without giving a secret away.
///
async fn assert_denied_and_told_once(plugin: &str, addr: &str, reason: &str) {
    println!("{plugin} {reason}");
    let page = Page::start(plugin).await;
    page.assert_denies().await;
    let problems = page.problems().await;
    let [line] = problems.as_slice() else { panic!("expected one line about {reason:?}, found {problems:#?}") };
    for part in ["auther-0", addr, reason] {
        assert!(line.text().contains(part), "{part:?} is missing in {line}");
    }
    for secret in [PASSWORD, TOKEN] {
        assert!(!line.text().contains(secret), "{secret:?} is given away in {line}");
    }
}

async fn grpc(answer: GrpcAnswer, more: &str, reason: &str) {
    let plugin = GrpcPlugin::start(answer).await;
    grpc_at(plugin.addr().to_string(), more, reason).await;
}

async fn grpc_at(addr: String, more: &str, reason: &str) {
    let block = format!("{{type: grpc, addr: {addr}, token: {TOKEN}, timeout: 1s{more}}}");
    assert_denied_and_told_once(&block, &addr, reason).await;
}

async fn http(answer: HttpAnswer, more: &str, reason: &str) {
    let plugin = HttpPlugin::start(answer).await;
    http_at(format!("http://{}/auth", plugin.addr()), more, reason).await;
}

async fn http_at(url: String, more: &str, reason: &str) {
    let block = format!("{{type: http, addr: \"{url}\", token: {TOKEN}, timeout: 1s{more}}}");
    assert_denied_and_told_once(&block, &url, reason).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_server_that_answers_badly() {
    grpc(GrpcAnswer::Never, "", "no answer within 1s").await;
    grpc(GrpcAnswer::Slow(Duration::from_secs(60), USERS), "", "no answer within 1s").await;
    grpc(GrpcAnswer::Status(14), "", "said the fake").await;
    grpc(GrpcAnswer::Status(12), "", "Unimplemented").await;
    grpc(GrpcAnswer::Id("x".repeat(5 << 20)), "", "larger than").await;
    grpc(GrpcAnswer::Id("x".repeat(2048)), ", maxReply: 1KiB", "larger than").await;
    grpc(GrpcAnswer::Message(b"\xff\xff"), "", "decode").await;
    grpc(GrpcAnswer::Hangup, "", "connection lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_server_that_wants_another_token() {
    let any = ([127, 0, 0, 1], 0).into();
    let plugin = GrpcPlugin::start_at(any, GrpcAnswer::Users(USERS), Some("another"), None).await;
    grpc_at(plugin.addr().to_string(), "", "Unauthenticated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_server_that_is_none() {
    grpc_at(unused_addr().to_string(), "", "refused").await;
    for (misbehaviour, reason) in [
        (Misbehaviour::Hold, "no answer within 1s"),
        (Misbehaviour::Garbage, "connection lost"),
        (Misbehaviour::Reset, "connection lost"),
        (Misbehaviour::ResetAtOnce, "onnection"),
    ] {
        let server = misbehaving(misbehaviour).await;
        grpc_at(server.addr().to_string(), "", reason).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_server_that_disagrees_about_tls() {
    let leaf = Authority::new().issue("127.0.0.1");
    for (server, tls, reason) in [
        (Tls::None, ", tls: {}", "TLS handshake failed"),
        (Some(leaf.server(&["h2"])), "", "connection lost"),
        (Some(leaf.server(&[])), ", tls: {}", "ALPN"),
        (Some(leaf.server(&["http/1.1"])), ", tls: {}", "TLS handshake failed"),
    ] {
        let plugin = GrpcPlugin::start_tls(server, GrpcAnswer::Users(USERS)).await;
        grpc_at(plugin.addr().to_string(), tls, reason).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_that_answers_badly() {
    const YES: &str = r#"{"ok":true}"#;
    http(HttpAnswer::Never, "", "no answer within 1s").await;
    http(HttpAnswer::Hangup, "", "connection lost").await;
    for status in [201, 204, 206, 400, 401, 403, 404, 500, 502] {
        let body = if status == 204 { "" } else { YES };
        http(HttpAnswer::reply(status, body), "", &status.to_string()).await;
    }
    for status in [301, 302, 303, 307, 308] {
        http(HttpAnswer::RedirectToYes(status), "", "redirects are not followed").await;
    }
    for (body, reason) in [
        ("", "empty"),
        ("yes", "not JSON"),
        (r#"{"ok":true"#, "not JSON"),
        ("[true]", "not a JSON object"),
        (r#"{"ok":"true"}"#, "not as it should be"),
        (r#"{"ok":1}"#, "not as it should be"),
    ] {
        http(HttpAnswer::reply(200, body), "", reason).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_that_answers_too_much() {
    let yes = |size| HttpAnswer::reply(200, format!(r#"{{"ok":true,"id":"{}"}}"#, "x".repeat(size)));
    http(yes(5 << 20), "", "larger than").await;
    http(yes(2048), ", maxReply: 1KiB", "larger than").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_that_is_none() {
    http_at(format!("http://{}/auth", unused_addr()), "", "refused").await;
    for (misbehaviour, reason) in [
        (Misbehaviour::Hold, "no answer within 1s"),
        (Misbehaviour::Garbage, "connection lost"),
        (Misbehaviour::Reset, "connection lost"),
        (Misbehaviour::ResetAtOnce, "onnection"),
    ] {
        let server = misbehaving(misbehaviour).await;
        http_at(format!("http://{}/auth", server.addr()), "", reason).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_server_that_can_not_be_trusted() {
    let leaf = Authority::new().issue("127.0.0.1");
    for (server, tls) in [(Tls::None, ", tls: {}"), (Some(leaf.server(&[])), ", tls: {caFile: ca.pem}")] {
        let plugin = HttpPlugin::start_tls(server, HttpAnswer::Users(USERS)).await;
        let dir = drawspan_testkit::Dir::new();
        let ca = dir.write("ca.pem", Authority::new().pem());
        let tls = tls.replace("ca.pem", &ca.display().to_string());
        http_at(format!("https://{}/auth", plugin.addr()), &tls, "TLS handshake failed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_authority_is_told_as_such() {
    let authority = Authority::new();
    let dir = drawspan_testkit::Dir::new();
    let ca = dir.write("ca.pem", authority.pem());
    let plugin = HttpPlugin::start_tls(Some(authority.as_leaf().server(&[])), HttpAnswer::Users(USERS)).await;
    let tls = format!(", tls: {{caFile: {}}}", ca.display());
    http_at(format!("https://{}/auth", plugin.addr()), &tls, "the server's certificate is an authority's (CA:TRUE)")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_name_that_is_not_utf8_is_refused_unasked() {
    let plugin = HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":true}"#)).await;
    let page = Page::start(&format!("{{type: http, addr: \"http://{}\"}}", plugin.addr())).await;
    assert_challenged(&page.get(&basic(b"go\xffst", PASSWORD)).await.head);
    assert_challenged(&page.get(&basic(USER, b"\xc3\x28")).await.head);
    assert!(plugin.calls().is_empty());
    let problems = page.problems().await;
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems.iter().all(|line| line.text().contains("UTF-8")), "{problems:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_found_again() {
    let plugin = GrpcPlugin::start(GrpcAnswer::Users(USERS)).await;
    let addr = plugin.addr();
    let page = Page::start(&format!("{{addr: {addr}}}")).await;
    page.assert_works().await;
    plugin.stop().await;
    for _ in 0..10 {
        page.assert_denies().await;
    }
    let _back = GrpcPlugin::start_at(addr, GrpcAnswer::Users(USERS), None, None).await;
    assert_lets_in_soon(&page).await;

    let plugin = HttpPlugin::start(HttpAnswer::Users(USERS)).await;
    let addr = plugin.addr();
    let page = Page::start(&format!("{{type: http, addr: \"http://{addr}\"}}")).await;
    page.assert_works().await;
    plugin.stop().await;
    page.assert_denies().await;
    let _back = HttpPlugin::start_at(addr, HttpAnswer::Users(USERS), None).await;
    assert_lets_in_soon(&page).await;
}

async fn assert_lets_in_soon(page: &Page) {
    eventually("the plugin to be found again", Duration::from_secs(2), async || {
        (page.ask(USER, PASSWORD).await == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_error_allow_lets_in_while_a_server_can_not_be_reached() {
    let down = unused_addr();
    for block in [
        format!("{{addr: {down}, onError: allow}}"),
        format!("{{type: http, addr: \"http://{down}\", onError: allow}}"),
    ] {
        assert_eq!(Page::start(&block).await.ask(USER, PASSWORD).await, 200, "{block}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_error_allow_lets_nobody_in_whom_a_server_could_refuse() {
    const ALLOW: &str = ", onError: allow";
    grpc(GrpcAnswer::Never, ALLOW, "no answer within 1s").await;
    grpc(GrpcAnswer::Status(14), ALLOW, "said the fake").await;
    grpc(GrpcAnswer::Hangup, ALLOW, "connection lost").await;
    http(HttpAnswer::Never, ALLOW, "no answer within 1s").await;
    http(HttpAnswer::Hangup, ALLOW, "connection lost").await;
    http(HttpAnswer::reply(500, ""), ALLOW, "500").await;
    http(HttpAnswer::reply(200, ""), ALLOW, "empty").await;

    let plugin = GrpcPlugin::start(GrpcAnswer::Users(USERS)).await;
    Page::start(&format!("{{addr: {}{ALLOW}}}", plugin.addr())).await.assert_works().await;
}
