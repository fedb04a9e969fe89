use std::time::Duration;

use super::*;

mod chains;
mod dns;
mod forwarders;
mod metadata;
mod modules;
mod tun;

fn text(text: &str) -> Input {
    Input::Text { name: "test.yaml".into(), text: text.into(), folder: "tests/good".into() }
}

fn good(input: Input) -> Config {
    match load(&[input], true) {
        Ok(loaded) => loaded.config,
        Err(diagnostics) => panic!("{diagnostics:#?}"),
    }
}

fn messages(inputs: &[Input], strict: bool) -> Vec<String> {
    let diagnostics = match load(inputs, strict) {
        Ok(loaded) => loaded.warnings,
        Err(diagnostics) => diagnostics,
    };
    diagnostics.into_iter().map(|diagnostic| format!("{:?} {}", diagnostic.severity, diagnostic.message)).collect()
}

#[test]
fn every_key_arrives() {
    let config = good(Input::File("tests/good/everything.yaml".into()));
    let log = Log { level: LogLevel::Debug, format: LogFormat::Text, output: LogOutput::Stdout };
    assert_eq!(config.log, log);

    let [first, second] = &config.services[..] else { panic!("{:?}", config.services) };
    assert_eq!((first.name.as_str(), first.addr.to_string().as_str()), ("1", "[::1]:8080"));
    assert_eq!(first.handler.authers.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["users", "wasm"]);
    assert_eq!((first.handler.retries, first.dial_timeout), (2, Duration::from_secs(3)));
    let HandlerKind::Http(http) = &first.handler.kind else { panic!() };
    assert_eq!(http.header, [("X-Proxy".to_owned(), "drawspan".to_owned())]);
    assert_eq!(http.probe_resist.as_deref(), Some(&ProbeResist::Code(404)));
    assert_eq!(http.knock, ["a.example.com", "b.example.com"]);
    assert_eq!((http.auth_basic_realm.as_str(), http.proxy_agent.as_str()), ("realm", "agent"));
    assert_eq!(
        (first.handler.read_timeout, first.handler.idle_timeout),
        (Duration::from_secs(5), Some(Duration::from_secs(90)))
    );
    assert_eq!(second.handler.auth.as_ref().map(|auth| auth.password.expose()), Some("hunter2"));
    assert_eq!(second.dial_timeout, Duration::from_secs(15));

    let [users, http, wasm] = &config.authers[..] else { panic!("{:?}", config.authers) };
    let AutherKind::Users(users) = &users.kind else { panic!("{users:?}") };
    assert_eq!((users[0].username.as_str(), users[0].password.expose()), ("alice", "hunter2"));
    let AutherKind::Plugin(http) = &http.kind else { panic!("{http:?}") };
    assert_eq!((http.timeout, http.concurrency), (Duration::from_secs(10), 1024));
    assert_eq!(http.on_error.as_ref().map(|on_error| on_error.value), Some(OnError::Deny));
    let Backing::Http { addr, token, tls: None } = &http.backing else { panic!("{http:?}") };
    assert_eq!(addr.expose().as_str(), "http://u:hunter2@127.0.0.1:8000/auth");
    assert_eq!(addr.to_string(), "http://127.0.0.1:8000/auth");
    assert_eq!(token.as_ref().map(Secret::expose), Some("hunter2"));
    let AutherKind::Plugin(wasm) = &wasm.kind else { panic!("{wasm:?}") };
    assert_eq!((wasm.timeout, wasm.max_reply, wasm.concurrency), (Duration::from_millis(50), 65536, 64));
    let Backing::Wasm(wasm) = &wasm.backing else { panic!("{wasm:?}") };
    assert_eq!(wasm.addr.value, ComponentAddr::File("tests/good/component.wasm".into()));
    assert_eq!((wasm.instance, wasm.instances, wasm.min_instances), (Instance::Fresh, 4, 2));
    assert_eq!((wasm.max_calls, wasm.memory), (Some(1000), 16 << 20));
    assert_eq!(wasm.sha256.as_ref().map(|digest| digest[1]), Some(0x23));
    let expected = [("Users", "gost:hunter2"), ("version", "1.10"), ("debug", "true")];
    assert_eq!(wasm.config, expected.map(|(key, value)| (key.to_owned(), Secret::new(value))));
    assert_eq!(wasm.env, [("KEY".to_owned(), Secret::new("hunter2"))]);
}

#[test]
fn policies_arrive() {
    let config = good(text(
        "authers:
- name: a
  plugin:
    addr: ':1'
    retries: 2
    cache: {ttl: 1m, negativeTTL: 5s, size: 7}
    fallback: {type: wasm, addr: component.wasm, timeout: 50ms, fallback: {addr: ':2', cache: {ttl: 1s}}}
    shadow: {type: http, addr: 'http://[::1]:3/', retries: 1}
    sample: 0.25
services: [{name: s, addr: ':0', handler: {type: http}}]
",
    ));
    let AutherKind::Plugin(plugin) = &config.authers[0].kind else { panic!() };
    let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    let value = |cache: &Option<At<Cache>>| cache.as_ref().map(|cache| cache.value);
    let retries = |plugin: &Plugin| plugin.retries.as_ref().map(|retries| retries.value);
    assert_eq!(retries(plugin), Some(2));
    assert_eq!(value(&plugin.cache), Some(Cache { ttl: minute, negative_ttl: second * 5, size: 7 }));
    let fallback = plugin.fallback.as_ref().unwrap();
    assert!(matches!(fallback.backing, Backing::Wasm(_)), "{fallback:?}");
    assert_eq!(fallback.timeout, Duration::from_millis(50));
    assert_eq!((retries(fallback), value(&fallback.cache)), (None, None));
    let last = fallback.fallback.as_ref().unwrap();
    assert_eq!(value(&last.cache), Some(Cache { ttl: second, negative_ttl: Duration::ZERO, size: 10_000 }));
    let shadow = plugin.shadow.as_ref().unwrap();
    assert!(matches!(shadow.plugin.backing, Backing::Http { .. }), "{shadow:?}");
    assert_eq!((retries(&shadow.plugin), shadow.sample), (Some(1), 0.25));
}

#[test]
fn places_survive_to_the_caller() {
    let config = good(text(
        "authers:\n- name: é\n  plugin: {type: wasm, addr: component.wasm}\n\
         services: [{name: s, addr: ':0', handler: {type: http}}]\n",
    ));
    let AutherKind::Plugin(plugin) = &config.authers[0].kind else { panic!() };
    let Backing::Wasm(wasm) = &plugin.backing else { panic!() };
    let diagnostic = Diagnostic::error(&wasm.addr.place, "no such module").with_help("try another");
    let expected = "\
error: no such module
 --> test.yaml:3:30
  |
3 |   plugin: {type: wasm, addr: component.wasm}
  |                              ^^^^^^^^^^^^^^
  = help: try another";
    assert_eq!(diagnostic.to_string(), expected);
}

#[test]
fn lists_of_several_inputs_are_joined_and_the_last_log_wins() {
    let service = |name: &str| format!("{{services: [{{name: {name}, addr: ':0', handler: {{type: http}}}}]");
    let first = text(&format!("{}, log: {{level: debug, format: text}}}}", service("a")));
    let second = text(&format!("{}, log: {{level: warn}}}}", service("b")));
    let config = load(&[first.clone(), second], true).map(|loaded| loaded.config);
    let config = config.unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"));
    assert_eq!(config.services.len(), 2);
    assert_eq!((config.log.level, config.log.format), (LogLevel::Warn, LogFormat::Json));
    assert_eq!(messages(&[first.clone(), first], false), ["Error duplicate service name `a`, first at test.yaml:1:20"]);
}

#[test]
fn a_faulty_auther_still_has_its_name() {
    let yaml = "services: [{name: a, addr: ':1', handler: {type: http, auther: x}}]\nauthers: [{name: x, plugin: {}}]";
    assert_eq!(messages(&[text(yaml)], false), ["Error authers[0].plugin: `addr` is missing"]);
}

#[test]
fn a_list_of_nothing_is_no_auther() {
    for authers in ["','", "['']", "['', null]"] {
        let yaml = format!("services: [{{name: a, addr: ':1', handler: {{type: http, authers: {authers}}}}}]");
        assert!(load(&[text(&yaml)], false).is_err(), "{authers}");
    }
}

#[test]
fn strict_makes_unknown_keys_errors() {
    assert_eq!(messages(&[text("x-anchors: 1")], false), ["Warning x-anchors: unknown key"]);
    assert_eq!(messages(&[text("x-anchors: 1")], true), ["Error x-anchors: unknown key"]);
}

#[test]
fn an_unreadable_file_is_an_error_like_any_other() {
    let inputs = [Input::File("tests/nowhere.yaml".into()), text("x-anchors: 1")];
    let [first, second] = &messages(&inputs, false)[..] else { panic!() };
    assert!(first.starts_with("Error can't read the configuration: "), "{first}");
    assert_eq!(second, "Warning x-anchors: unknown key");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(messages(&[text("\u{feff}a: 1")], false), ["Warning a: unknown key"]);
}
