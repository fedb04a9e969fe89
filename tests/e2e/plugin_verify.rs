//! `drawspan plugin verify`: it passes what conforms, and names what doesn't.

use drawspan_testkit::{Dir, Finished, run, unused_addr};

const SCRIPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/scripted.wasm");

/// Verifies an authenticator that does this.
async fn verify(dir: &Dir, answer: &str, args: &[&str]) -> Finished {
    let script = format!(r#"authenticator.authenticate={{"answer":{answer}}}"#);
    let verify = ["plugin", "verify", SCRIPTED, "--module", "auther", "--config", &script];
    run(dir.path(), &[&verify[..], args].concat()).await
}

/// The checks that failed.
fn failed(finished: &Finished) -> Vec<&str> {
    finished.stdout.lines().filter_map(|line| line.strip_prefix("FAIL auther.authenticate: ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_conforms_passes() {
    let dir = Dir::new();
    let finished = verify(&dir, r#"{"Reply":null}"#, &[]).await;
    assert_eq!((finished.code, failed(&finished)), (Some(0), vec![]), "{}{}", finished.stdout, finished.stderr);
    assert!(finished.stdout.ends_with("8 checks, 0 failed\n"), "{}", finished.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_isnt_one_of_the_contracts_fails_its_report() {
    let dir = Dir::new();
    let core = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/core-module.wasm");
    for (args, told) in [
        (&[SD, "--module", "sd"][..], "it imports wasi:keyvalue/"),
        (&[SD, "--module", "auther", "--keyvalue", "default"], "it does not export drawspan:plugin/authenticator"),
        (&[core, "--module", "auther"], "a core module, not a component"),
    ] {
        let finished = run(dir.path(), &[&["plugin", "verify", "--report-json"], args].concat()).await;
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(1), ""));
        let report: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
        assert_eq!(report["passed"], false);
        let [check] = report["checks"].as_array().unwrap().as_slice() else { panic!("{report}") };
        let name = format!("{}: exports what the contract asks, and starts", args[2]);
        assert_eq!((check["name"].as_str(), check["passed"].as_bool()), (Some(name.as_str()), Some(false)));
        assert!(check["failures"][0].as_str().is_some_and(|failure| failure.contains(told)), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_no_gateway_can_use_is_told() {
    let dir = Dir::new();
    for (module, script, told) in [
        (
            "hop",
            r#"hop.select={"answer":{"Reply":"{\"addr\":\"a:1\",\"connector\":{\"type\":\"nonsense\"}}"}}"#,
            "the node can't be used: ",
        ),
        ("hop", r#"hop.select={"answer":{"Reply":"{}"}}"#, "the node has no addr"),
        (
            "resolver",
            r#"resolver.resolve={"answer":{"Reply":["192.0.2.1","a.test"]}}"#,
            "\"a.test\" is not an IP address",
        ),
    ] {
        let finished = run(dir.path(), &["plugin", "verify", SCRIPTED, "--module", module, "--config", script]).await;
        assert_eq!(finished.code, Some(1), "{module}");
        let lines: Vec<_> = finished.stdout.lines().collect();
        let at =
            lines.iter().position(|line| line.starts_with("FAIL") && line.ends_with("answers an ordinary question"));
        assert!(at.is_some_and(|at| lines[at + 1].contains(told)), "{}", finished.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_does_not_is_told_where() {
    let dir = Dir::new();
    let refused = verify(&dir, r#"{"Error":{"Failed":"on purpose"}}"#, &[]).await;
    let questions = ["answers an ordinary question", "survives unexpected input", "survives unexpected input again"];
    assert_eq!((refused.code, failed(&refused)), (Some(1), questions.into()));
    assert!(refused.stdout.contains("authenticate answered failed: on purpose"), "{}", refused.stdout);

    let trapped = verify(&dir, r#""Trap""#, &[]).await;
    let all = [
        "answers an ordinary question",
        "survives unexpected input",
        "10000 calls without a failure",
        "survives unexpected input again",
        "64 calls at once, each on an instance of its own",
        "64 calls at once",
    ];
    assert_eq!((trapped.code, failed(&trapped)), (Some(1), all.into()), "{}", trapped.stdout);

    let leaked = verify(&dir, r#"{"Leak":[null,1000]}"#, &[]).await;
    let checks = failed(&leaked);
    let [check] = checks.as_slice() else { panic!("{}", leaked.stdout) };
    assert!(check.ends_with(" calls without more memory each"), "{check}");
    assert_eq!(leaked.code, Some(1));
    assert!(leaked.stdout.contains("a call keeps about 10"), "{}", leaked.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authors_cases_are_checked_and_reported_as_json() {
    let dir = Dir::new();
    let request = "request: {username: alice, password: x, service: s}";
    dir.write(
        "cases.yaml",
        format!("- {{name: right, {request}, reply: null}}\n- {{name: wrong, {request}, error: refused}}\n"),
    );
    let finished = verify(&dir, r#"{"Reply":null}"#, &["--expect", "cases.yaml", "--report-json"]).await;
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let report: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(report["passed"], false);
    let checks = report["checks"].as_array().unwrap();
    let failed: Vec<_> = checks.iter().filter(|check| check["passed"] == false).collect();
    assert_eq!((checks.len(), failed.len()), (8 + 2 * 2, 2), "{report}");
    for (check, instance) in failed.iter().zip(["", ", on an instance of its own"]) {
        assert_eq!(check["name"], format!("auther.authenticate: wrong{instance}"));
        assert_eq!(check["failures"][0], r#"got null, want {"error":"refused"}"#);
    }
}

const SD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/sd-rust/sd.wasm");

#[tokio::test(flavor = "multi_thread")]
async fn an_authors_cases_follow_each_other_in_a_store_of_their_own() {
    let dir = Dir::new();
    dir.write(
        "cases.yaml",
        "- {name: nobody, function: get-services, request: {name: t1}, reply: []}
- {name: comes, function: register, request: {id: c1, name: t1, node: n1, network: tcp, address: 'a.test:1'}}
- {name: is there, request: {name: t1}, reply: [{id: c1, name: t1, node: n1, network: tcp, address: 'a.test:1'}]}
- {name: goes, function: deregister, request: {id: c1, name: t1, node: n1}}
- {name: is gone, request: {name: t1}, reply: []}
",
    );
    let finished = run(dir.path(), &["plugin", "verify", SD, "--keyvalue", "default", "--expect", "cases.yaml"]).await;
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{}", finished.stdout);
    for instance in ["", ", on an instance of its own"] {
        let cases = [
            "get-services: nobody",
            "register: comes",
            "get-services: is there",
            "deregister: goes",
            "get-services: is gone",
        ];
        let lines: String = cases.iter().map(|case| format!("ok   sd.{case}{instance}\n")).collect();
        assert!(finished.stdout.contains(&lines), "{}", finished.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_cant_be_asked_is_told() {
    let dir = Dir::new();
    for (case, told) in [
        ("module: authr, request: {}", "case 1: no such module; there are auther, admission"),
        ("function: login, request: {}", "case 1: auther has no function `login`; it has authenticate"),
        ("request: {}, reply: {client_id: a}, error: refused", "case 1: it expects a `reply` and an `error`"),
    ] {
        dir.write("cases.yaml", format!("- {{{case}}}\n"));
        let finished = verify(&dir, r#"{"Reply":null}"#, &["--expect", "cases.yaml"]).await;
        assert_eq!(finished.code, Some(1));
        assert!(finished.stderr.contains(&format!("cases.yaml: {told}")), "{}", finished.stderr);
    }
    dir.write("cases.yaml", "- {module: hop, request: {}}\n- {name: nonsense, request: {user: a}}\n");
    let finished = verify(&dir, r#"{"Reply":null}"#, &["--expect", "cases.yaml"]).await;
    assert_eq!((finished.code, failed(&finished)), (Some(1), vec!["nonsense", "nonsense, on an instance of its own"]));
    assert!(finished.stderr.contains("1 of 2 cases are about modules that aren't checked here"), "{}", finished.stderr);
    assert!(finished.stdout.contains("not a request of authenticate: missing field"), "{}", finished.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_server_that_isnt_there_is_said_so_once() {
    let dir = Dir::new();
    let addr = format!("grpc://{}", unused_addr());
    let finished = run(dir.path(), &["plugin", "verify", &addr, "--module", "auther"]).await;
    assert_eq!((finished.code, failed(&finished)), (Some(1), vec!["answers an ordinary question"]));
    assert!(finished.stdout.ends_with("1 checks, 1 failed\n"), "{}", finished.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_only_a_gateway_obeys_is_refused() {
    let dir = Dir::new();
    let finished = verify(&dir, r#"{"Reply":null}"#, &["--plugin", r#"{"onError":"allow"}"#]).await;
    assert_ne!(finished.code, Some(0));
    assert!(finished.stderr.contains("`onError` is for a gateway's config"), "{}", finished.stderr);
}
