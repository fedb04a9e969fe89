use std::time::Duration;

use crate::{CommandLine, Config, Diagnostic, HandlerKind, Input, load};

fn flags(listen: &[&str], forward: &[&str]) -> Input {
    let owned = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect();
    Input::CommandLine(CommandLine { listen: owned(listen), forward: owned(forward), metrics: None })
}

fn listen(urls: &[&str]) -> Result<Config, Vec<Diagnostic>> {
    load(&[flags(urls, &[])], false).map(|loaded| loaded.config)
}

fn messages(url: &str) -> Vec<String> {
    match listen(&[url]) {
        Ok(config) => panic!("{url} is {config:?}"),
        Err(diagnostics) => diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect(),
    }
}

#[test]
fn a_url_becomes_a_service() {
    let url = "http+tcp://us%65r:p%40:ss@[::1]:8080?retries=3&dialTimeout=5&knock=a,b&proxyAgent=x+y&handler.readTimeout=1s&retries=9";
    let config = listen(&["http://:0", url]).unwrap();
    assert_eq!(config.services[0].name.as_str(), "service-0");
    let service = &config.services[1];
    assert_eq!((service.name.as_str(), service.addr.to_string().as_str()), ("service-1", "[::1]:8080"));
    assert_eq!((service.handler.retries, service.dial_timeout), (3, Duration::from_secs(5)));
    let auth = service.handler.auth.as_ref().unwrap();
    assert_eq!((auth.username.as_str(), auth.password.expose()), ("user", "p@:ss"));
    let HandlerKind::Http(http) = &service.handler.kind else { panic!() };
    assert_eq!(http.knock, ["a", "b"]);
    assert_eq!((http.proxy_agent.as_str(), service.handler.read_timeout), ("x y", Duration::from_secs(1)));
}

#[test]
fn auth_in_base64() {
    let config = listen(&["http://:0?auth=dXNlcjpwYXNz"]).unwrap();
    let auth = config.services[0].handler.auth.as_ref().unwrap();
    assert_eq!((auth.username.as_str(), auth.password.expose()), ("user", "pass"));
    assert_eq!(messages("http://:0?auth=%%"), ["services[0].handler.auth: `username` is missing or empty"]);
}

#[test]
fn what_is_refused() {
    for (url, expected) in [
        (":8080", &["services[0].handler.type: handler type `auto` is not implemented"][..]),
        ("socks5://:1080", &["services[0].handler.type: handler type `socks5` is not implemented"]),
        ("sock5://:1080", &["services[0].handler.type: unknown handler type `sock5`"]),
        ("https://:1080", &["services[0].listener.type: listener type `tls` is not implemented"]),
        (
            "tls://:443",
            &[
                "services[0].handler.type: handler type `auto` is not implemented",
                "services[0].listener.type: listener type `tls` is not implemented",
            ],
        ),
        ("http://8080", &["services[0].addr: not an address to listen on"]),
        ("http://:80-90", &["services[0].addr: not an address to listen on"]),
        ("http://:80/1.2.3.4:80", &["services[0].forwarder is not implemented"]),
        ("http://:80?limiter.in=1MB&limiter.out=1MB", &["services[0].limiter is not implemented"]),
        ("http://:80?admission=~10.0.0.0/8", &["services[0].admission is not implemented"]),
        ("http://:80?sniffing=true", &["services[0].handler.metadata.sniffing is not implemented"]),
        ("http://:80?so_mark=1", &["services[0].metadata.so_mark is not implemented"]),
        ("http://:80?mptcp=true", &["services[0].listener.metadata.mptcp is not implemented"]),
        ("http://:80?cert=a.pem", &["services[0].listener.tls is not implemented"]),
        ("http://:80?knok=a", &["services[0].handler.metadata.knok: unknown key"]),
    ] {
        assert_eq!(messages(url), expected, "{url}");
    }
}

#[test]
fn places_point_into_the_argument_and_show_no_password() {
    let Err(diagnostics) = listen(&["http://user:hunter2/hunter2@:8080?retries=x&token=hunter2"]) else { panic!() };
    let rendered = diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(!rendered.contains("hunter2"), "{rendered}");

    let Err(diagnostics) = listen(&["http://user:hunter2@:8080?retries=x"]) else { panic!() };
    let expected = "\
error: services[0].handler.retries: expected a whole number from 0 to 1000
 --> -L http://…:35
  |
1 | http://user:***@:8080?retries=x
  |                               ^";
    assert_eq!(diagnostics[0].to_string(), expected);
}

#[test]
fn no_form_of_argument_shows_a_password() {
    for argument in [
        "user:hunter2@?x=://",
        "user:hunter2?@:8080",
        "http://hunter2@:80x",
        "http://:80x?auth=hunter2",
        "http://:80x?handler.password=hunter2",
        "http://u:hunter2@[::1?x=@",
    ] {
        let Err(diagnostics) = listen(&[argument]) else { panic!("{argument}") };
        for diagnostic in diagnostics {
            assert!(!diagnostic.to_string().contains("hunter2"), "{diagnostic}");
        }
    }
}
