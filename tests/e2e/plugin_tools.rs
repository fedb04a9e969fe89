//! `drawspan plugin inspect | call | bench | serve | wit`: what they print for a component, a server and neither.

use drawspan_testkit::{Authority, Dir, Finished, Gateway, PATIENCE, eventually, run, unused_addr};
use serde_json::Value;

use crate::served::listening;

const AUTHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/authenticator-rust/authenticator.wasm");
const SD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/sd-rust/sd.wasm");
const CORE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/core-module.wasm");
const USERS: [&str; 2] = ["--config", "users=alice:wonder"];

async fn plugin(dir: &Dir, args: &[&str]) -> Finished {
    run(dir.path(), &[&["plugin"], args].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_used_is_named_with_the_way_out() {
    let dir = Dir::new();
    dir.write("text.wasm", "no component");
    dir.write("empty.wasm", b"\0asm\x0d\0\x01\0");
    let [file_or_server, flags] = [
        "a plugin server's address begins with grpc://, grpcs://, http:// or https://",
        "keys of a plugin block are flags here: --config KEY=VALUE, --keyvalue STORE, --plugin JSON",
    ];
    for (args, told) in [
        (&["inspect", "gone.wasm"][..], &["gone.wasm: no such file"][..]),
        (&["inspect", "grpc://127.0.0.1:1"], &["this takes a component's file, not a server's address"]),
        (&["inspect", "text.wasm"], &["text.wasm: not a WebAssembly component"]),
        (&["inspect", CORE], &["core-module.wasm: a core module, not a component", "wasm32-wasip2"]),
        (&["call", "auther", "gone.wasm"], &["gone.wasm: no such file", file_or_server]),
        (&["call", "auther", "127.0.0.1:8000"], &["127.0.0.1:8000: no such file", file_or_server]),
        (&["call", "auther", "ftp://a.test/"], &["`ftp://` is not known", file_or_server]),
        (&["call", "auther", AUTHER], &["`users` is missing", flags]),
        (&["call", "sd", SD], &["it imports wasi:keyvalue/", flags]),
        (
            &["call", "sd", SD, "--keyvalue", "default", "--function", "find"],
            &["sd has no function `find`; it has get-services"],
        ),
        (&["call", "bypass", AUTHER, USERS[0], USERS[1]], &["it does not export drawspan:plugin/bypass", "it exports"]),
        (&["call", "auther", AUTHER, "--config", "users"], &["--config takes KEY=VALUE"]),
        (&["call", "auther", AUTHER, USERS[0], USERS[1], "--json", "{"], &["the request is not JSON"]),
        (&["call", "auther", AUTHER, USERS[0], USERS[1], "--json", "{}"], &["missing field `username`"]),
        (&["call", "auther", "https://a.test/", "--ca", "gone.pem"], &["can't read `gone.pem`"]),
        (&["bench", "auther", AUTHER, USERS[0], USERS[1], "--json", "{}"], &["missing field `username`"]),
        (&["serve", AUTHER, USERS[0], USERS[1]], &["nothing to serve: give --grpc ADDR"]),
        (&["serve", "empty.wasm", "--grpc", "127.0.0.1:0"], &["empty.wasm: it exports no interface of a module"]),
        (&["serve", AUTHER, USERS[0], USERS[1], "--grpc", "192.0.2.1:1"], &["can't listen on 192.0.2.1:1"]),
        (&["verify", "127.0.0.1:8000"], &[file_or_server]),
        (&["verify", "grpc://127.0.0.1:1"], &["say which modules the server answers"]),
        (&["wit", "--out", "text.wasm"], &["text.wasm: "]),
    ] {
        let finished = plugin(&dir, args).await;
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{args:?}\n{}", finished.stderr);
        for part in told {
            assert!(finished.stderr.contains(part), "{args:?}: {part} is not in\n{}", finished.stderr);
        }
        // One thing is said, and once.
        assert_eq!(finished.stderr.matches("error: ").count(), 1, "{args:?}\n{}", finished.stderr);
    }
    let finished = plugin(&dir, &["call", "authr", AUTHER]).await;
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.contains("no such module; there are auther, admission"), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_inspected_asked_and_measured() {
    let dir = Dir::new();
    let inspected = plugin(&dir, &["inspect", SD]).await;
    let lines: Vec<_> = inspected.stdout.lines().collect();
    assert_eq!(inspected.code, Some(0), "{}", inspected.stderr);
    assert!(lines[0].contains(" bytes, sha256 "), "{}", lines[0]);
    assert_eq!(lines[1], "answers  sd         drawspan:plugin/service-discovery@0.1.0");
    assert!(lines.iter().any(|line| line.starts_with("imports  wasi:keyvalue/store@")), "{}", inspected.stdout);

    let called = plugin(&dir, &["call", "auther", AUTHER, USERS[0], USERS[1]]).await;
    let answer: Value = serde_json::from_str(&called.stdout).unwrap();
    assert_eq!((called.code, answer["reply"]["client_id"].as_str()), (Some(0), Some("alice")), "{}", called.stderr);
    assert!(answer["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{answer}");

    let measured = plugin(&dir, &["bench", "auther", AUTHER, AUTHER, USERS[0], USERS[1], "-n", "50", "-c", "3"]).await;
    let lines: Vec<_> = measured.stdout.lines().collect();
    assert_eq!(measured.code, Some(0), "{}", measured.stderr);
    assert!(lines[0].ends_with("calls/s   errors"), "{}", measured.stdout);
    assert!(lines[1..=2].iter().all(|line| line.contains("        0  ")), "{}", measured.stdout);
    assert!(lines[3].starts_with("p50 of the second / of the first: "), "{}", measured.stdout);
    let counted = |column: usize| -> usize {
        lines[4..].iter().map(|line| line.split_whitespace().nth(column).unwrap().parse::<usize>().unwrap()).sum()
    };
    assert_eq!((counted(1), counted(2)), (50, 50), "{}", measured.stdout);

    let contract = plugin(&dir, &["wit", "--out", "wit"]).await;
    assert_eq!(contract.code, Some(0), "{}", contract.stderr);
    let types = std::fs::read_to_string(dir.path().join("wit/types.wit")).unwrap();
    let printed = plugin(&dir, &["wit"]).await;
    assert!(printed.stdout.starts_with(&types), "{}", printed.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_and_counted() {
    let dir = Dir::new();
    let nobody = unused_addr();
    for address in [format!("grpc://{nobody}"), format!("http://{nobody}/")] {
        let called = plugin(&dir, &["call", "auther", &address]).await;
        let answer: Value = serde_json::from_str(&called.stdout).unwrap();
        assert_eq!((called.code, answer["error"]["kind"].as_str()), (Some(1), Some("unavailable")), "{address}");
        let measured = plugin(&dir, &["bench", "auther", &address, "-n", "10"]).await;
        assert_eq!(measured.code, Some(1), "{address}");
        let told = format!("10 calls of {address} failed; the first: unavailable: Connection refused");
        assert!(measured.stderr.contains(&told), "{}", measured.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_component_asks_for_its_token_over_tls() {
    let (dir, authority) = (Dir::new(), Authority::new());
    let leaf = authority.issue("127.0.0.1");
    let files = [("ca.pem", authority.pem()), ("cert.pem", leaf.pem()), ("key.pem", leaf.key_pem())];
    let [ca, cert, key] = files.map(|(name, pem)| dir.write(name, pem).display().to_string());
    let server = Gateway::spawn(
        Dir::new(),
        &[
            &["plugin", "serve", AUTHER, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--token", "s3cret"][..],
            &["--tls-cert", &cert, "--tls-key", &key],
            &USERS,
        ]
        .concat(),
    );
    for address in [
        format!("grpcs://{}", listening(&server, "grpc").await),
        format!("https://{}/auther", listening(&server, "http").await),
    ] {
        for (flags, kind) in [
            (&["--ca", &ca, "--token", "s3cret"][..], None),
            (&["--ca", &ca, "--token", "wrong"], Some("refused")),
            (&["--ca", &ca], Some("refused")),
        ] {
            let called = plugin(&dir, &[&["call", "auther", &address][..], flags].concat()).await;
            let answer: Value = serde_json::from_str(&called.stdout).unwrap();
            assert_eq!(answer["error"]["kind"].as_str(), kind, "{address} {flags:?} {answer}");
            assert_eq!(answer["reply"]["client_id"].as_str(), kind.is_none().then_some("alice"), "{address} {answer}");
        }
    }
    // Each has the flags that are for its kind.
    let address = format!("grpcs://{}", listening(&server, "grpc").await);
    let flags = ["--ca", &ca, "--token", "s3cret", USERS[0], USERS[1], "-n", "5"];
    let measured = plugin(&dir, &[&["bench", "auther", &address, AUTHER][..], &flags].concat()).await;
    assert_eq!(measured.code, Some(0), "{}", measured.stderr);
    assert!(measured.stdout.contains("p50 of the second / of the first: "), "{}", measured.stdout);
    eventually("what is served to be told", PATIENCE, async || {
        server.log_text().contains("serving auther").then_some(())
    })
    .await;
    assert!(!server.log_text().contains("s3cret"), "{}", server.log_text());
}
