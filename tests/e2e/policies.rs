//! The policies of a `plugin:` block, in front of authenticators that are slow, wrong, flapping or dead: over gRPC, HTTP and
//! in a component.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use drawspan_testkit::{
    GrpcAnswer, GrpcPlugin, HttpAnswer, HttpPlugin, LogLine, Misbehaviour, PATIENCE, Server, Stuck, Users, basic,
    eventually, misbehaving, open, unused_addr,
};
use tokio::sync::Semaphore;

use crate::page::{PASSWORD, Page, USER, USERS};

const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/hostile.wasm");

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Grpc,
    Http,
}

use Protocol::{Grpc, Http};

const BOTH: [Protocol; 2] = [Grpc, Http];

impl Protocol {
    /// The keys of a block that say where the server is.
    fn at(self, addr: impl Display) -> String {
        match self {
            Grpc => format!("type: grpc, addr: {addr}"),
            Http => format!("type: http, addr: \"http://{addr}/auth\""),
        }
    }

    /// The same, by TLS.
    fn secured_at(self, addr: impl Display) -> String {
        self.at(addr).replace("http://", "https://") + ", tls: {}"
    }
}

/// How a server answers, whatever it speaks.
#[derive(Clone, Debug)]
enum Answer {
    Users(Users),
    /// Like `Users`, but each answer takes a permit.
    Held(Arc<Semaphore>),
    /// Knows the user under another id.
    Id(&'static str),
    Never,
    Error,
    Garbage,
    TooMuch,
    Hangup,
}

/// A server of either protocol.
enum Auther {
    Grpc(GrpcPlugin),
    Http(HttpPlugin),
}

impl Auther {
    async fn start(protocol: Protocol, answer: Answer) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), protocol, answer).await
    }

    async fn start_at(addr: SocketAddr, protocol: Protocol, answer: Answer) -> Self {
        let big = "x".repeat(5 << 20);
        match protocol {
            Grpc => {
                let answer = match answer {
                    Answer::Users(users) => GrpcAnswer::Users(users),
                    Answer::Held(gate) => GrpcAnswer::Held(gate, USERS),
                    Answer::Id(id) => GrpcAnswer::Id(id.into()),
                    Answer::Never => GrpcAnswer::Never,
                    Answer::Error => GrpcAnswer::Status(14),
                    Answer::Garbage => GrpcAnswer::Message(b"\xff\xff"),
                    Answer::TooMuch => GrpcAnswer::Id(big),
                    Answer::Hangup => GrpcAnswer::Hangup,
                };
                Self::Grpc(GrpcPlugin::start_at(addr, answer, None, None).await)
            }
            Http => {
                let yes = |id: &str| HttpAnswer::reply(200, format!(r#"{{"ok":true,"id":"{id}"}}"#));
                let answer = match answer {
                    Answer::Users(users) => HttpAnswer::Users(users),
                    Answer::Held(gate) => HttpAnswer::Held(gate, USERS),
                    Answer::Id(id) => yes(id),
                    Answer::Never => HttpAnswer::Never,
                    Answer::Error => HttpAnswer::reply(503, r#"{"ok":true}"#),
                    Answer::Garbage => HttpAnswer::reply(200, "\x7fyes"),
                    Answer::TooMuch => yes(&big),
                    Answer::Hangup => HttpAnswer::Hangup,
                };
                Self::Http(HttpPlugin::start_at(addr, answer, None).await)
            }
        }
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::Grpc(plugin) => plugin.addr(),
            Self::Http(plugin) => plugin.addr(),
        }
    }

    /// The keys of a block that say where it is.
    fn at(&self) -> String {
        match self {
            Self::Grpc(plugin) => Grpc.at(plugin.addr()),
            Self::Http(plugin) => Http.at(plugin.addr()),
        }
    }

    /// How often it was asked.
    fn asked(&self) -> usize {
        match self {
            Self::Grpc(plugin) => plugin.calls().len(),
            Self::Http(plugin) => plugin.calls().len(),
        }
    }

    async fn is_asked(&self, times: usize) {
        eventually("the server to be asked", PATIENCE, async || (self.asked() >= times).then_some(())).await;
    }

    async fn stop(self) {
        match self {
            Self::Grpc(plugin) => plugin.stop().await,
            Self::Http(plugin) => plugin.stop().await,
        }
    }
}

fn held() -> (Arc<Semaphore>, Answer) {
    let gate = Arc::new(Semaphore::new(0));
    (Arc::clone(&gate), Answer::Held(gate))
}

/// A fallback that lets in whoever asks, and the keys that open as much as an operator can.
async fn open_doors() -> (Auther, String) {
    let yes = Auther::start(Grpc, Answer::Id("let-in-by-the-fallback")).await;
    let keys = format!("onError: allow, fallback: {{{}}}", yes.at());
    (yes, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_may_bring_about_in_a_server_opens_no_door() {
    let (yes, open) = open_doors().await;
    for protocol in BOTH {
        for answer in
            [Answer::Users(&[]), Answer::Never, Answer::Error, Answer::Garbage, Answer::TooMuch, Answer::Hangup]
        {
            println!("{protocol:?} {answer:?}");
            let auther = Auther::start(protocol, answer).await;
            let page = Page::start(&format!("{{{}, timeout: 1s, retries: 3, {open}}}", auther.at())).await;
            page.assert_denies().await;
            // Not a second time either: a client may have seen the first answer.
            assert_eq!(auther.asked(), 1);
        }
        for (misbehaviour, secured) in [
            (Misbehaviour::Hold, false),
            (Misbehaviour::Garbage, false),
            (Misbehaviour::Reset, false),
            (Misbehaviour::ResetAtOnce, false),
            (Misbehaviour::Hold, true),
            (Misbehaviour::Reset, true),
            (Misbehaviour::ResetAtOnce, true),
        ] {
            println!("{protocol:?} {misbehaviour:?}, by TLS: {secured}");
            let server = misbehaving(misbehaviour).await;
            let at = if secured { protocol.secured_at(server.addr()) } else { protocol.at(server.addr()) };
            let page = Page::start(&format!("{{{at}, timeout: 1s, {open}}}")).await;
            page.assert_denies().await;
        }
        let stuck = Stuck::start().await;
        let page = Page::start(&format!("{{{}, timeout: 1s, {open}}}", protocol.at(stuck.addr()))).await;
        page.assert_denies().await;
        let problems = page.problems().await;
        assert!(matches!(problems.as_slice(), [line] if line.text().contains("no connection within")), "{problems:#?}");
    }
    assert_eq!(yes.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_files_are_used_up_opens_no_door() {
    let (yes, keys) = open_doors().await;
    for protocol in BOTH {
        for host in ["127.0.0.1", "localhost"] {
            println!("{protocol:?} at {host}");
            let auther = Auther::start(protocol, Answer::Users(&[])).await;
            let at = protocol.at(format!("{host}:{}", auther.addr().port()));
            let page = Page::start(&format!("{{{at}, {keys}}}")).await;
            page.gateway.allow_files(8);
            let mut clients = Vec::new();
            for _ in 0..16 {
                clients.push(open(page.proxy).await);
            }
            let is_full = |line: &LogLine| line.field("msg").starts_with("can't accept");
            eventually("the gateway to be full", PATIENCE, async || {
                (!page.gateway.logs_matching(is_full).is_empty()).then_some(())
            })
            .await;
            let request = format!("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n{}\r\n", basic(USER, PASSWORD));
            clients[0].send(request.as_bytes()).await;
            let status = clients[0].receive("HTTP/1.1 407".len()).await;
            assert_eq!(String::from_utf8_lossy(&status), "HTTP/1.1 407", "{}", page.gateway.log_text());
            let log = page.gateway.log_text();
            assert!(log.contains("Too many open files") && auther.asked() == 0, "{log}");
        }
    }
    assert_eq!(yes.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_may_bring_about_in_a_component_opens_no_door() {
    let (yes, open) = open_doors().await;
    let page = Page::start(&format!("{{type: wasm, addr: {HOSTILE}, timeout: 1s, {open}}}")).await;
    for user in [
        "no",
        "loop",
        "alloc-loop",
        "slow-1000000",
        "trap",
        "panic",
        "bomb",
        "recurse",
        "huge",
        "error-invalid",
        "error-failed",
        "error-unavailable",
        "",
    ] {
        assert_eq!(page.ask(user, PASSWORD).await, 407, "{user}\n{}", page.gateway.log_text());
        assert_eq!(page.ask("ok", PASSWORD).await, 200, "after {user}\n{}", page.gateway.log_text());
    }
    assert_eq!(yes.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_opens_no_door() {
    let (yes, open) = open_doors().await;
    for protocol in BOTH {
        println!("{protocol:?}");
        let (gate, answer) = held();
        let auther = Auther::start(protocol, answer).await;
        let page = Page::start(&format!("{{{}, concurrency: 1, {open}}}", auther.at())).await;
        let second = async {
            auther.is_asked(1).await;
            let status = page.ask(USER, PASSWORD).await;
            gate.add_permits(2);
            status
        };
        assert_eq!(tokio::join!(page.ask(USER, PASSWORD), second), (200, 407), "{}", page.gateway.log_text());
        assert_eq!(auther.asked(), 1);
        assert_eq!(page.ask(USER, PASSWORD).await, 200, "{}", page.gateway.log_text());
        let problems = page.problems().await;
        assert!(matches!(problems.as_slice(), [line] if line.text().contains("raise `concurrency`")), "{problems:#?}");
    }
    assert_eq!(yes.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_component_opens_no_door() {
    let (yes, open) = open_doors().await;
    let page = Page::start(&format!("{{type: wasm, addr: {HOSTILE}, concurrency: 1, timeout: 2s, {open}}}")).await;
    // Nothing outside tells when the loop has begun; an answer of 407 to one who is let in otherwise does.
    eventually("a client to find no room", PATIENCE, async || {
        let looping = page.ask("loop", PASSWORD);
        tokio::pin!(looping);
        loop {
            tokio::select! {
                biased;
                status = &mut looping => {
                    assert_eq!(status, 407);
                    return None;
                }
                status = page.ask("ok", PASSWORD) => if status == 407 {
                    assert_eq!(looping.await, 407);
                    return Some(());
                }
            }
        }
    })
    .await;
    assert!(page.gateway.log_text().contains("raise `concurrency`"), "{}", page.gateway.log_text());
    assert_eq!(page.ask("ok", PASSWORD).await, 200);
    assert_eq!(yes.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_after_the_deadline_is_nobodys() {
    for protocol in BOTH {
        println!("{protocol:?}");
        let (gate, answer) = held();
        let auther = Auther::start(protocol, answer).await;
        let page = Page::start(&format!("{{{}, timeout: 1s}}", auther.at())).await;
        page.assert_denies().await;
        // The answer to the right user, should anybody still wait for it; then one each to those who follow.
        gate.add_permits(3);
        assert_eq!(page.ask("nobody", PASSWORD).await, 407);
        assert_eq!(page.ask(USER, PASSWORD).await, 200, "{}", page.gateway.log_text());
        assert_eq!(auther.asked(), 3);
        let problems = page.problems().await;
        assert!(matches!(problems.as_slice(), [line] if line.text().contains("no answer within 1s")), "{problems:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_is_asked_while_a_flapping_server_is_away() {
    const OTHERS: Users = &[("other", PASSWORD)];
    for protocol in BOTH {
        println!("{protocol:?}");
        let addr = unused_addr();
        let others = Auther::start(protocol, Answer::Users(OTHERS)).await;
        let block = format!("{{{}, fallback: {{{}}}}}", protocol.at(addr), others.at());
        let page = Page::start(&block).await;
        for times in [1, 2] {
            // Away: the fallback's users are let in, the plugin's aren't. A call over a connection that is being lost
            // may have been what broke it, and isn't handed on.
            eventually("the fallback to be asked", PATIENCE, async || {
                (page.ask("other", PASSWORD).await == 200).then_some(())
            })
            .await;
            page.assert_denies().await;
            let auther = Auther::start_at(addr, protocol, Answer::Users(USERS)).await;
            // Back: the other way round.
            eventually("the server to be found again", PATIENCE, async || {
                (page.ask(USER, PASSWORD).await == 200).then_some(())
            })
            .await;
            let asked = others.asked();
            assert_eq!(page.ask("other", PASSWORD).await, 407, "time {times}");
            assert_eq!(others.asked(), asked);
            auther.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_error_is_about_the_last_of_them() {
    let away = || Grpc.at(unused_addr());
    let denying = Auther::start(Grpc, Answer::Users(&[])).await;
    let failing = Auther::start(Http, Answer::Error).await;
    for (fallback, status) in [(away(), 200), (denying.at(), 407), (failing.at(), 407)] {
        let block = format!("{{{}, onError: allow, fallback: {{{fallback}}}}}", away());
        assert_eq!(Page::start(&block).await.ask(USER, PASSWORD).await, status, "{block}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_answers_are_not_asked_for_again() {
    for (cache, right, wrong) in [
        ("", 3, 3),
        (", cache: {ttl: 1h}", 1, 3),
        (", cache: {ttl: 1h, negativeTTL: 1h}", 1, 1),
        (", cache: {ttl: 1ns, negativeTTL: 1h}", 3, 1),
    ] {
        for protocol in BOTH {
            println!("{protocol:?}{cache}");
            let auther = Auther::start(protocol, Answer::Users(USERS)).await;
            let page = Page::start(&format!("{{{}{cache}}}", auther.at())).await;
            for _ in 0..3 {
                assert_eq!(page.ask(USER, PASSWORD).await, 200);
            }
            assert_eq!(auther.asked(), right);
            for _ in 0..3 {
                assert_eq!(page.ask(USER, "wrong").await, 407);
            }
            assert_eq!(auther.asked(), right + wrong);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_not_kept() {
    for protocol in BOTH {
        let addr = unused_addr();
        let page = Page::start(&format!("{{{}, cache: {{ttl: 1h, negativeTTL: 1h}}}}", protocol.at(addr))).await;
        page.assert_denies().await;
        let auther = Auther::start_at(addr, protocol, Answer::Users(USERS)).await;
        eventually("the server to be found again", PATIENCE, async || {
            (page.ask(USER, PASSWORD).await == 200).then_some(())
        })
        .await;
        auther.stop().await;
        assert_eq!(page.ask(USER, PASSWORD).await, 200, "{}", page.gateway.log_text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_of_several_clients_is_asked_once() {
    for protocol in BOTH {
        println!("{protocol:?}");
        let (gate, answer) = held();
        let auther = Auther::start(protocol, answer).await;
        let page = Page::start(&format!("{{{}, cache: {{ttl: 1h}}}}", auther.at())).await;
        let ask = || page.ask(USER, PASSWORD);
        let answer = async {
            auther.is_asked(1).await;
            // A second question would wait for a second permit, in vain.
            gate.add_permits(1);
        };
        let (a, b, c, d, ()) = tokio::join!(ask(), ask(), ask(), ask(), answer);
        assert_eq!([a, b, c, d], [200; 4], "{}", page.gateway.log_text());
        assert_eq!(auther.asked(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_compared_and_never_obeyed() {
    for (answer, differs) in
        [(Answer::Users(USERS), ""), (Answer::Id("id-0f-the-shadow"), "client_id"), (Answer::Users(&[]), "reply")]
    {
        for protocol in BOTH {
            println!("{protocol:?} {answer:?}");
            let auther = Auther::start(protocol, Answer::Users(USERS)).await;
            let shadow = Auther::start(protocol, answer.clone()).await;
            let page = Page::start(&format!("{{{}, shadow: {{{}}}}}", auther.at(), shadow.at())).await;
            assert_eq!(page.ask(USER, PASSWORD).await, 200);
            shadow.is_asked(1).await;
            // Questions to the shadow follow each other: when the second is there, the first is compared.
            assert_eq!(page.ask("nobody", PASSWORD).await, 407);
            shadow.is_asked(2).await;
            let said =
                |page: &Page| page.gateway.logs_matching(|line| line.text().contains("the shadow answers otherwise"));
            if differs.is_empty() {
                assert!(said(&page).is_empty(), "{}", page.gateway.log_text());
            } else {
                let found = async || said(&page).into_iter().find(|line| line.field("fields") == differs);
                let line = eventually("the difference in the log", PATIENCE, found).await;
                assert_eq!((line.field("kind"), line.field("auther")), ("auther", "auther-0"));
            }
            let log = page.gateway.log_text();
            for secret in [PASSWORD, "id-0f-the-shadow"] {
                assert!(!log.contains(secret), "{log}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_never_answers_changes_nothing() {
    for protocol in BOTH {
        println!("{protocol:?}");
        let auther = Auther::start(protocol, Answer::Users(USERS)).await;
        let shadow = Auther::start(protocol, Answer::Never).await;
        let page = Page::start(&format!("{{{}, shadow: {{{}, timeout: 1h}}}}", auther.at(), shadow.at())).await;
        assert_eq!(page.ask(USER, PASSWORD).await, 200);
        shadow.is_asked(1).await;
        // More than its queue holds: each is answered though the shadow has answered nothing.
        for _ in 0..99 {
            assert_eq!(page.ask(USER, PASSWORD).await, 200);
        }
        assert_eq!((auther.asked(), shadow.asked()), (100, 1));
        assert!(page.problems().await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auther_is_never_asked_twice_and_that_is_said_at_load() {
    // A connection that can't be made secure is one that can't be made: what would be tried again if anything were.
    let server: Server = misbehaving(Misbehaviour::Garbage).await;
    for block in [
        format!("{{addr: {}, tls: {{}}, retries: 5}}", server.addr()),
        format!("{{type: http, addr: \"https://{}/\", tls: {{}}, retries: 5}}", server.addr()),
    ] {
        let before = server.accepted();
        let page = Page::start(&block).await;
        page.assert_denies().await;
        assert_eq!(server.accepted() - before, 1, "{block}");
        let log = page.gateway.log_text();
        assert!(log.contains("warning: `auther-0`: `retries` has no effect on a plugin of kind auther"), "{log}");
        assert!(log.contains("--> gateway.yaml:11:"), "{log}");
    }
}
