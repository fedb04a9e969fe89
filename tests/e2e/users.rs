//! Users that stand in the config, and several authers on one service.

use drawspan_testkit::{Gateway, GrpcAnswer, GrpcPlugin, unused_addr};

use crate::page::{PASSWORD, Page, USER, USERS};

/// A gateway whose handler has these further keys, beside these authers.
async fn start(handler: &str, authers: &str) -> Page {
    let yaml = format!(
        "services:
- name: service-0
  addr: 127.0.0.1:0
  handler: {{type: http, {handler}}}
  listener: {{type: tcp}}
authers:
{authers}"
    );
    Page::with(Gateway::start(&yaml).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn auths_of_an_auther_are_users() {
    let page = start(
        "auther: auther-0",
        &format!("- {{name: auther-0, auths: [{{username: {USER}, password: {PASSWORD}}}, {{username: 123, password: 0456}}]}}"),
    )
    .await;
    page.assert_works().await;
    assert_eq!(page.ask("123", "0456").await, 200, "scalars keep their spelling");
    assert_eq!(page.ask("123", "456").await, 407);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auther_without_users_denies_everyone() {
    start("auther: auther-0", "- {name: auther-0, auths: []}").await.assert_denies().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_auther_that_accepts_wins() {
    let plugin = GrpcPlugin::start(GrpcAnswer::Users(USERS)).await;
    let page = start(
        "authers: [table, server]",
        &format!(
            "- {{name: server, plugin: {{addr: {}}}}}\n- {{name: table, auths: [{{username: a, password: b}}]}}",
            plugin.addr()
        ),
    )
    .await;
    assert_eq!(page.ask("a", "b").await, 200);
    assert!(plugin.calls().is_empty(), "the second auther is asked although the first accepted");
    page.assert_works().await;
    assert!(!plugin.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_auther_does_not_stop_the_next() {
    let page = start(
        "authers: [down, table]",
        &format!(
            "- {{name: down, plugin: {{addr: {}}}}}\n- {{name: table, auths: [{{username: {USER}, password: {PASSWORD}}}]}}",
            unused_addr()
        ),
    )
    .await;
    page.assert_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_of_the_handler_is_a_user() {
    start(&format!("auth: {{username: {USER}, password: {PASSWORD}}}"), "").await.assert_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_of_the_handler_is_ignored_beside_an_auther() {
    let page = start(
        &format!("auther: auther-0, auth: {{username: {USER}, password: {PASSWORD}}}"),
        "- {name: auther-0, auths: [{username: a, password: b}]}",
    )
    .await;
    assert_eq!(page.ask("a", "b").await, 200);
    page.assert_denies().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_of_these_everyone_is_let_in() {
    assert_eq!(start("", "").await.get("").await.head.status, 200);
}
