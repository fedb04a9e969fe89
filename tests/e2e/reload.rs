//! SIGHUP: the plugins' blocks are read again.

use std::path::PathBuf;

use drawspan_testkit::{
    Dir, Gateway, GrpcAnswer, GrpcPlugin, HttpAnswer, HttpPlugin, PATIENCE, Signal, basic, connect, eventually,
    tcp_echo,
};

use crate::page::{PASSWORD, Page, USER, USERS, page};

const AUTHENTICATOR: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/authenticator-rust/authenticator.wasm");
const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/hostile.wasm");

fn knows(users: &str) -> String {
    format!("{{type: wasm, addr: {AUTHENTICATOR}, config: {{users: \"{users}\"}}}}")
}

struct Reloading {
    page: Page,
    config: PathBuf,
}

impl Reloading {
    async fn start(plugin: &str) -> Self {
        let dir = Dir::new();
        let config = dir.join("gateway.yaml");
        Self { page: Page::with(Gateway::start_in(dir, &page(plugin)).await).await, config }
    }

    /// Writes the config, has it read, and returns what the log says then, up to `end`.
    async fn reload(&mut self, config: &str, end: &str) -> String {
        std::fs::write(&self.config, config).unwrap();
        let before = self.page.gateway.log_text().len();
        self.page.gateway.signal(Signal::HUP);
        eventually(end, PATIENCE, async || {
            let log = self.page.gateway.log_text()[before..].to_owned();
            log.contains(end).then_some(log)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_block_takes_over() {
    let mut gateway = Reloading::start(&knows("a:b")).await;
    let echo = tcp_echo().await;
    assert_eq!(gateway.page.ask("a", "b").await, 200);
    let mut tunnel = connect(gateway.page.proxy, &basic("a", "b"), echo.addr()).await.ok().unwrap();

    let log = gateway.reload(&page(&knows("c:d")), "config reloaded").await;
    assert!(log.contains("auther-0"), "{log}");
    assert!(!log.contains("restart"), "{log}");
    assert_eq!((gateway.page.ask("a", "b").await, gateway.page.ask("c", "d").await), (407, 200));
    tunnel.echo(b"it was let in").await;

    // From a component to a server.
    let plugin = GrpcPlugin::start(GrpcAnswer::Users(USERS)).await;
    gateway.reload(&page(&format!("{{type: grpc, addr: {}}}", plugin.addr())), "config reloaded").await;
    gateway.page.assert_works().await;
    assert!(!plugin.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_is_wrong_changes_nothing() {
    let mut gateway = Reloading::start(&knows("a:b")).await;
    let wrong = [
        ("no YAML", "services: [".to_owned(), "gateway.yaml:1"),
        ("a key that nobody knows", page("{type: wasm, addr: nowhere.wasm, memory: much}"), "memory"),
        ("no component", page("{type: wasm, addr: gateway.yaml}"), "auther-0"),
        ("one that doesn't start", page(&format!("{{type: wasm, addr: {AUTHENTICATOR}, config: {{x: y}}}}")), "`x`"),
        ("one that traps", page(&format!("{{type: wasm, addr: {HOSTILE}, config: {{init: trap}}}}")), "unreachable"),
    ];
    for (what, config, reason) in wrong {
        println!("{what}");
        let log = gateway.reload(&config, "everything stays as it was").await;
        assert!(log.contains(reason), "{log}");
        assert_eq!((gateway.page.ask("a", "b").await, gateway.page.ask("c", "d").await), (200, 407));
    }
    gateway.reload(&page(&knows("c:d")), "config reloaded").await;
    assert_eq!((gateway.page.ask("a", "b").await, gateway.page.ask("c", "d").await), (407, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_restart_is_told() {
    let mut gateway = Reloading::start(&knows(&format!("{USER}:{PASSWORD}"))).await;
    let other = page(&knows(&format!("{USER}:{PASSWORD}"))).replace("type: http\n", "type: http2\n");
    assert!(gateway.reload(&other, "everything stays as it was").await.contains("http2"));
    let other = page(&knows("c:d")).replace("    auther: auther-0\n", "");
    let log = gateway.reload(&other, "takes a restart").await;
    assert!(log.contains("auther-0"), "{log}");
    // Still asked, and another already.
    assert_eq!((gateway.page.ask(USER, PASSWORD).await, gateway.page.ask("c", "d").await), (407, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn hops_of_one_name_are_told_apart() {
    let servers =
        [HttpPlugin::start(HttpAnswer::reply(200, "{}")).await, HttpPlugin::start(HttpAnswer::reply(200, "{}")).await];
    let config = |first: &HttpPlugin, second: &HttpPlugin| {
        let hop =
            |server: &HttpPlugin| format!("[{{name: h, plugin: {{type: http, addr: 'http://{}'}}}}]", server.addr());
        format!(
            "services:
- {{name: service-0, addr: '127.0.0.1:0', handler: {{type: http, chain: a}}}}
- {{name: service-1, addr: '127.0.0.1:0', handler: {{type: http, chain: b}}}}
chains: [{{name: a, hops: {}}}, {{name: b, hops: {}}}]
",
            hop(first),
            hop(second)
        )
    };
    let dir = Dir::new();
    let path = dir.join("gateway.yaml");
    let page = Page::with(Gateway::start_in(dir, &config(&servers[0], &servers[1])).await).await;
    let mut gateway = Reloading { page, config: path };
    assert_eq!(gateway.page.get("").await.head.status, 503);
    assert_eq!(servers.each_ref().map(|server| server.calls().len()), [1, 0]);
    gateway.reload(&config(&servers[1], &servers[0]), "that changed: h, h").await;
    assert_eq!(gateway.page.get("").await.head.status, 503);
    assert_eq!(servers.each_ref().map(|server| server.calls().len()), [1, 1]);
}
