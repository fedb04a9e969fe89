//! Configs with mistakes: all are reported with their places, and nothing is started.

use drawspan_testkit::{Dir, Finished, Gateway, run, unused_addr};

use crate::page::page;

/// Runs the gateway and `check` on this config; both must refuse it alike. Returns what they say.
async fn refused(yaml: &str) -> String {
    let dir = Dir::new();
    dir.write("gateway.yaml", yaml);
    let checked = run(dir.path(), &["check", "-C", "gateway.yaml"]).await;
    let Finished { code, stderr, .. } = run(dir.path(), &["-C", "gateway.yaml"]).await;
    println!("{yaml}\n{stderr}");
    assert_eq!((code, checked.code), (Some(2), Some(2)), "{stderr}");
    assert_eq!(checked.stderr, stderr);
    assert!(!stderr.contains("listening"));
    stderr
}

/// The `error: …` and `  --> …` lines of a report.
fn errors(stderr: &str) -> Vec<(&str, &str)> {
    let lines: Vec<_> = stderr.lines().collect();
    lines
        .windows(2)
        .filter_map(|pair| Some((pair[0].strip_prefix("error: ")?, pair[1].trim_start().strip_prefix("--> ")?)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_reported_with_its_place_and_its_line() {
    for (name, yaml, place, parts) in [
        (
            "an unknown handler",
            "services:\n- name: a\n  addr: 127.0.0.1:0\n  handler: {type: htpp}\n",
            "4:19",
            &["htpp", "http", "4 |   handler: {type: htpp}"] as &[&str],
        ),
        (
            "a missing auther",
            "services:\n- name: a\n  addr: 127.0.0.1:0\n  handler: {type: http, auther: nobody}\n",
            "4:33",
            &["nobody", "auther"],
        ),
        ("a wrong type", "services:\n- name: a\n  addr: [127.0.0.1:0]\n  handler: {type: http}\n", "3:9", &["addr"]),
        (
            "a duplicate name",
            "services:\n- {name: a, addr: 127.0.0.1:0, handler: {type: http}}\n- {name: a, addr: 127.0.0.1:0, handler: {type: http}}\n",
            "3:10",
            &["a", "name"],
        ),
        ("a nameless service", "services:\n- {addr: 127.0.0.1:0, handler: {type: http}}\n", "2:3", &["name"]),
        (
            "a key that guards something, misspelt",
            "services:\n- {name: a, addr: 127.0.0.1:0, handler: {type: http, authr: b}}\n",
            "2:54",
            &["authr", "auther"],
        ),
        (
            "a missing plugin file",
            "services:\n- {name: a, addr: 127.0.0.1:0, handler: {type: http, auther: b}}\nauthers:\n- {name: b, plugin: {type: wasm, addr: ./none.wasm}}\n",
            "4:",
            &["none.wasm"],
        ),
        (
            "an unknown plugin type",
            "services:\n- {name: a, addr: 127.0.0.1:0, handler: {type: http, auther: b}}\nauthers:\n- {name: b, plugin: {type: nonsense, addr: 127.0.0.1:1}}\n",
            "4:28",
            &["nonsense", "grpc"],
        ),
        (
            "HTTP settings of a relay's target",
            "services:\n- {name: a, addr: 127.0.0.1:0, handler: {type: relay, metadata: {sniffing: true}}, forwarder: {nodes: [{addr: 127.0.0.1:1, http: {host: x}}]}}\n",
            "2:",
            &["sees no HTTP", "use a tcp handler"],
        ),
        ("a key twice", "services:\n- {name: a, name: b, addr: 127.0.0.1:0, handler: {type: http}}\n", "2:", &["name"]),
        ("something that is not YAML", "services: [\n", "", &[]),
        ("text", "hello", "1:1", &[]),
    ] {
        println!("{name}");
        let stderr = refused(yaml).await;
        let [(message, found)] = errors(&stderr)[..] else { panic!("expected one error") };
        assert!(found.starts_with(&format!("gateway.yaml:{place}")), "{found}");
        assert!(!message.is_empty());
        for part in parts {
            assert!(stderr.contains(part), "{part:?} is missing");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_mistakes_are_reported_at_once() {
    let stderr = refused(
        "services:
- name: service-0
  addr: 127.0.0.1:0
  handler:
    type: htpp
    auther: nobody
- addr: 127.0.0.1:0
  handler:
    type: http
authers:
- name: auther-0
  plugin:
    type: grpc
    addr: 127.0.0.1:8000
    timeout: soon
",
    )
    .await;
    let places: Vec<_> = errors(&stderr).into_iter().map(|(_, place)| place).collect();
    for (place, line) in places.iter().zip([5, 6, 7, 15]) {
        assert!(place.starts_with(&format!("gateway.yaml:{line}:")), "{place}");
    }
    assert_eq!(places.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_services_is_refused() {
    for yaml in ["", "# nothing\n", "services: []\n", "{}\n"] {
        assert!(refused(yaml).await.starts_with("error: "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_bomb_is_refused() {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        yaml += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    assert!(refused(&yaml).await.starts_with("error: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_config_file_is_refused() {
    let finished = run(Dir::new().path(), &["-C", "none.yaml"]).await;
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.contains("none.yaml"), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_not_shown_in_an_excerpt() {
    let stderr = refused(
        "services: [{name: a, addr: 127.0.0.1:0, handler: {type: htpp, auth: {username: u, password: pa55word}}}]\n",
    )
    .await;
    assert!(!stderr.contains("pa55word"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_warned_about_and_does_not_matter() {
    let yaml = page(&format!("{{addr: {}}}", unused_addr())).replace("  listener:", "  metdata: {}\n  listener:");
    let dir = Dir::new();
    dir.write("gateway.yaml", &yaml);
    let checked = run(dir.path(), &["check", "-C", "gateway.yaml"]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let log = Gateway::start_in(dir, &yaml).await.log_text();
    for text in [&checked.stderr, &log] {
        for part in ["warn", "metdata", "metadata", "gateway.yaml:7:3"] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_accepts_a_good_config_and_starts_nothing() {
    let dir = Dir::new();
    dir.write("gateway.yaml", page(&format!("{{addr: {}}}", unused_addr())));
    let finished = run(dir.path(), &["check", "-C", "gateway.yaml"]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(!finished.stderr.contains("listening"));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_a_config_too() {
    let dir = Dir::new();
    let json = r#"{"services": [{"name": "service-0", "addr": "127.0.0.1:0", "handler": {"type": "http"}}]}"#;
    dir.write("gateway.json", json);
    Gateway::start_with(dir, &["-C", "gateway.json"]).await;
}
