//! The command line.

use drawspan_testkit::{Dir, Gateway, Signal, exchange, run, unused_addr};

use crate::page::{PASSWORD, Page, USER, page};

#[tokio::test(flavor = "multi_thread")]
async fn version_is_printed() {
    let finished = run(Dir::new().path(), &["-V"]).await;
    assert_eq!(finished.code, Some(0));
    assert!(finished.stdout.starts_with(concat!("drawspan ", env!("CARGO_PKG_VERSION"))), "{}", finished.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_stand_on_the_command_line() {
    let url = format!("http://{USER}:{PASSWORD}@127.0.0.1:0");
    Page::with(Gateway::start_with(Dir::new(), &["-L", &url]).await).await.assert_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_command_lines_make_a_relay_over_any_transport() {
    for scheme in ["relay", "relay+tls", "relay+ws", "relay+wss"] {
        let relay = format!("{scheme}://{USER}:{PASSWORD}@127.0.0.1:0");
        let mut relay = Gateway::start_with(Dir::new(), &["-L", &relay]).await;
        let addr = relay.proxy().await;
        let listen = format!("http://{USER}:{PASSWORD}@127.0.0.1:0");
        let through = |password: &str| format!("{scheme}://{USER}:{password}@{addr}?nodelay=true");
        let flags = ["-L", &listen, "-F", &through(PASSWORD)];
        let page = Page::with(Gateway::start_with(Dir::new(), &flags).await).await;
        page.assert_works().await;
        let flags = ["-L", &listen, "-F", &through("wrong")];
        let page = Page::with(Gateway::start_with(Dir::new(), &flags).await).await;
        assert_eq!(page.ask(USER, PASSWORD).await, 503, "{scheme}");
        for gateway in [page.gateway, relay] {
            let finished = gateway.terminate().await;
            assert!(!finished.stderr.contains(PASSWORD), "{}", finished.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_is_printed_as_the_config_it_stands_for() {
    let dir = Dir::new();
    let flags = ["-L", "http://127.0.0.1:0", "-F", "socks5+wss://a:443,b:443", "-metrics", ":9000"];
    for format in ["yaml", "json"] {
        let printed = run(dir.path(), &[&flags[..], &["-O", format]].concat()).await;
        assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
        std::fs::write(dir.path().join("gost.yaml"), &printed.stdout).unwrap();
        let again = run(dir.path(), &["-C", "gost.yaml", "-O", format]).await;
        assert_eq!((again.code, again.stdout), (Some(0), printed.stdout));
    }
    let refused = run(dir.path(), &["-L", ":0", "-O", "toml"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_may_have_two_dashes_and_an_equals_sign() {
    let dir = Dir::new();
    let one = run(dir.path(), &["-L", ":8080", "-F", "http://a:1", "-O", "json"]).await;
    let other = run(dir.path(), &["--L=:8080", "--F", "http://a:1", "-O=json"]).await;
    assert_eq!((one.code, other.code, one.stdout), (Some(0), Some(0), other.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_lines_are_logged_when_asked_for() {
    for (args, debug) in [(&["-L", "http://127.0.0.1:0"] as &[_], false), (&["-D", "-L", "http://127.0.0.1:0"], true)] {
        let page = Page::with(Gateway::start_with(Dir::new(), args).await).await;
        exchange(page.proxy, b"\x16\x03\x01 not HTTP").await;
        let log = page.gateway.terminate().await.log;
        assert_eq!(log.iter().any(|line| line.field("level") == "debug"), debug, "{log:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_line_is_json_with_a_level_a_time_and_a_message() {
    let page = Page::start(&format!("{{addr: {}}}", unused_addr())).await;
    page.assert_denies().await;
    for line in page.gateway.terminate().await.log {
        for field in ["level", "time", "msg"] {
            assert!(!line.field(field).is_empty(), "{field} is missing in {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_ends_the_gateway_with_1() {
    let mut first = Gateway::start_with(Dir::new(), &["-L", "http://127.0.0.1:0"]).await;
    let addr = first.proxy().await;
    let second = run(Dir::new().path(), &["-L", &format!("http://{addr}")]).await;
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(second.stderr.contains(&addr.to_string()) && second.stderr.contains("in use"), "{}", second.stderr);
    assert!(!second.stderr.contains("listening on"), "{}", second.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_flag_ends_the_gateway_with_2() {
    assert_eq!(run(Dir::new().path(), &["--no-such-flag"]).await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_signals_end_the_gateway_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let gateway = Gateway::start(&page(&format!("{{addr: {}}}", unused_addr()))).await;
        gateway.signal(signal);
        let finished = gateway.finish().await;
        assert_eq!(finished.code, Some(0), "{signal:?}\n{}", finished.stderr);
    }
}
