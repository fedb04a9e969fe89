//! An authenticator inside the gateway: a sandboxed component, well-behaved or hostile.
//!
//! The hostile guest does what the user name says; see `tests/guests/hostile`.

use std::time::Duration;

use drawspan_testkit::{
    Authority, Dir, Gateway, HttpAnswer, HttpPlugin, PATIENCE, basic, connect, eventually, get, run, tcp_echo,
};
use tokio::time::timeout;

use crate::page::{PASSWORD, Page, USER, page};

const AUTHENTICATOR: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/authenticator-rust/authenticator.wasm");
const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/hostile.wasm");
const BYPASS_ONLY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/bypass-only.wasm");
const CORE_MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/core-module.wasm");

/// The page with the hostile guest and these further keys.
async fn hostile(more: &str) -> Page {
    Page::start(&format!("{{type: wasm, addr: {HOSTILE}{more}}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_authenticator_knows_its_users() {
    let block = format!("{{type: wasm, addr: {AUTHENTICATOR}, config: {{users: \"{USER}:{PASSWORD}\"}}}}");
    Page::start(&block).await.assert_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_relative_to_the_config_file() {
    let dir = Dir::new();
    std::fs::create_dir(dir.join("plugins")).unwrap();
    std::fs::copy(AUTHENTICATOR, dir.join("plugins/auth.wasm")).unwrap();
    dir.write(
        "plugins/gateway.yaml",
        page(&format!("{{type: wasm, addr: ./auth.wasm, config: {{users: \"{USER}:{PASSWORD}\"}}}}")),
    );
    let gateway = Gateway::start_with(dir, &["-C", "plugins/gateway.yaml"]).await;
    Page::with(gateway).await.assert_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_fail_denies_in_time_and_is_told_once() {
    for (user, reason) in [
        ("loop", "no answer within 1s"),
        ("alloc-loop", "no answer within 1s"),
        ("slow-1000000", "no answer within 1s"),
        ("bomb", "memory"),
        ("recurse", "stack"),
        ("trap", "unreachable"),
        ("panic", "unreachable"),
        ("error-invalid", "an invalid request was asked for"),
        ("error-unavailable", "unavailability was asked for"),
        ("error-failed", "a failure was asked for"),
        ("huge", "maxReply"),
    ] {
        println!("{user}");
        let page = hostile(", timeout: 1s").await;
        assert_eq!(page.ask(user, PASSWORD).await, 407);
        assert_eq!(page.ask("ok", PASSWORD).await, 200, "the next call after {user}\n{}", page.gateway.log_text());
        assert_eq!(page.ask("no", PASSWORD).await, 407);

        let problems = page.problems().await;
        let [line] = problems.as_slice() else { panic!("expected one line about {user}, found {problems:#?}") };
        for part in ["auther-0", "hostile.wasm", reason] {
            assert!(line.text().contains(part), "{part:?} is missing in {line}");
        }
        assert!(!line.text().contains(PASSWORD), "the password is given away in {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looping_calls_delay_no_other_connection() {
    let page = hostile(", timeout: 2s, instances: 4").await;
    let echo = tcp_echo().await;
    let mut tunnel = connect(page.proxy, &basic("ok", PASSWORD), echo.addr()).await.unwrap();
    let round_trips = count_while_four_calls_loop(&page, async || tunnel.echo(b"still here").await).await;
    assert!(round_trips >= 100, "only {round_trips} round trips");
    assert_eq!(page.ask("ok", PASSWORD).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn looping_calls_delay_no_other_plugin() {
    let yaml = page(&format!("{{type: wasm, addr: {HOSTILE}, timeout: 2s, instances: 4}}"))
        + &format!("- {{name: auther-1, plugin: {{type: wasm, addr: {AUTHENTICATOR}, config: {{users: \"a:b\"}}}}}}\n");
    let yaml = yaml.replace(
        "authers:",
        "- {name: service-1, addr: 127.0.0.1:0, handler: {type: http, auther: auther-1}, listener: {type: tcp}}\nauthers:",
    );
    let mut page = Page::with(Gateway::start(&yaml).await).await;
    let other = page.gateway.addr("service-1").await;
    let answers = count_while_four_calls_loop(&page, async || {
        let reply = get(other, &basic("a", "b"), page.origin.addr()).await;
        assert_eq!(reply.head.status, 200);
    })
    .await;
    assert!(answers >= 20, "only {answers} answers");
}

/// How often `act` can be done one after another while four calls loop until their deadline.
async fn count_while_four_calls_loop(page: &Page, mut act: impl AsyncFnMut()) -> usize {
    let bad = basic("loop", PASSWORD);
    let looping = async { tokio::join!(page.get(&bad), page.get(&bad), page.get(&bad), page.get(&bad)) };
    tokio::pin!(looping);
    let mut done = 0;
    loop {
        act().await;
        done += 1;
        if let Ok(replies) = timeout(Duration::ZERO, &mut looping).await {
            assert!(<[_; 4]>::from(replies).iter().all(|reply| reply.head.status == 407));
            return done;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_serves_one_call_or_many() {
    for (more, users, ids) in [
        (", instance: fresh", ["count", "count", "count"], ["1", "1", "1"]),
        (", instances: 1", ["count", "count", "count"], ["1", "2", "3"]),
        (", instances: 1, maxCalls: 2", ["count", "count", "count"], ["1", "2", "1"]),
        (", instances: 1", ["count", "trap", "count"], ["1", "", "1"]),
    ] {
        println!("{more} {users:?}");
        let page = hostile(more).await;
        for user in users {
            page.ask(user, PASSWORD).await;
        }
        let log = page.gateway.terminate().await.log;
        let done = log.iter().filter(|line| line.field("msg").contains(" >-< "));
        let found: Vec<_> = done.map(|line| line.field("clientID")).collect();
        assert_eq!(found, ids.into_iter().filter(|id| !id.is_empty()).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_error_allow_lets_nobody_in_whom_a_guest_could_refuse() {
    for user in
        ["loop", "trap", "panic", "bomb", "recurse", "huge", "error-invalid", "error-failed", "error-unavailable"]
    {
        let page = hostile(", timeout: 1s, onError: allow").await;
        assert_eq!(page.ask(user, PASSWORD).await, 407, "{user}\n{}", page.gateway.log_text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_can_not_serve_is_refused_at_load() {
    let dir = Dir::new();
    let hostile = std::fs::read(HOSTILE).unwrap();
    dir.write("truncated.wasm", &hostile[..hostile.len() / 2]);
    dir.write("text.wasm", "not wasm at all");
    dir.write("empty.wasm", "");
    let zeros = "0".repeat(64);
    for (addr, more, parts) in [
        (BYPASS_ONLY, "", &["authenticator", "bypass"] as &[&str]),
        (CORE_MODULE, "", &["core module", "component"]),
        ("truncated.wasm", "", &["truncated.wasm"]),
        ("text.wasm", "", &["text.wasm"]),
        ("empty.wasm", "", &["empty.wasm"]),
        ("missing.wasm", "", &["missing.wasm", "No such file"]),
        (HOSTILE, &format!(", sha256: \"{zeros}\""), &["sha256", &zeros]),
        (HOSTILE, ", config: {init: fail}", &["init fails because the config says so"]),
        (HOSTILE, ", config: {init: trap}", &["init"]),
        (HOSTILE, ", config: {init: loop}", &["not ready within"]),
        (AUTHENTICATOR, "", &["users"]),
    ] {
        dir.write("gateway.yaml", page(&format!("{{type: wasm, timeout: 1s, addr: \"{addr}\"{more}}}")));
        let finished = run(dir.path(), &["-C", "gateway.yaml"]).await;
        println!("{addr}{more}\n{}", finished.stderr);
        assert_eq!(finished.code, Some(2));
        for part in parts.iter().chain(&["error: ", "--> gateway.yaml:11:"]) {
            assert!(finished.stderr.contains(part), "{part:?} is missing");
        }
        assert!(!finished.stderr.contains("listening"));
    }
}

/// The digest of `hostile.wasm`.
fn sha256() -> String {
    let sums = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/SHA256SUMS"))
        .unwrap();
    let sum = sums.lines().find(|line| line.ends_with("hostile.wasm")).unwrap();
    sum.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_sha256_is_accepted() {
    assert_eq!(hostile(&format!(", sha256: \"{}\"", sha256())).await.ask("ok", PASSWORD).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_fetched_once() {
    let authority = Authority::new();
    let tls = authority.issue("127.0.0.1").server(&["http/1.1"]);
    let server = HttpPlugin::start_tls(tls, HttpAnswer::reply(200, std::fs::read(HOSTILE).unwrap())).await;
    let addr = format!("https://user:{PASSWORD}@{}/hostile.wasm", server.addr());
    let dir = Dir::new();
    dir.write("roots.pem", authority.pem());
    let write = |sha256: &str| {
        dir.write("gateway.yaml", page(&format!("{{type: wasm, addr: \"{addr}\", sha256: \"{sha256}\"}}")));
    };
    write(&"0".repeat(64));
    let finished = run(dir.path(), &["-C", "gateway.yaml"]).await;
    assert_eq!(finished.code, Some(2));
    for part in [&format!("https://{}/hostile.wasm: its sha256 is {}", server.addr(), sha256()), "gateway.yaml:11:"] {
        assert!(finished.stderr.contains(part), "{part} is missing in {}", finished.stderr);
    }
    assert!(!finished.stderr.contains(PASSWORD), "{}", finished.stderr);

    write(&sha256());
    let home = Dir::new();
    for file in ["roots.pem", "gateway.yaml"] {
        std::fs::copy(dir.join(file), home.join(file)).unwrap();
    }
    let page = Page::with(Gateway::start_with(home, &["-C", "gateway.yaml"]).await).await;
    assert_eq!(page.ask("ok", PASSWORD).await, 200);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_component_serves_without_a_restart() {
    let dir = Dir::new();
    let path = dir.join("plugin.wasm");
    std::fs::copy(HOSTILE, &path).unwrap();
    let page = Page::start_in(dir, "{type: wasm, addr: plugin.wasm, config: {users: \"a:b\"}}").await;
    assert_eq!(page.ask("a", "b").await, 407);
    std::fs::copy(AUTHENTICATOR, path.with_extension("new")).unwrap();
    std::fs::rename(path.with_extension("new"), &path).unwrap();
    eventually("the newer component", PATIENCE, async || (page.ask("a", "b").await == 200).then_some(())).await;
    let told = async || page.gateway.log_text().contains("serves now").then_some(());
    eventually("the log to say so", PATIENCE, told).await;
}
