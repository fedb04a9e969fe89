//! `drawspan plugin verify`: it passes what conforms, and names what doesn't.

use drawspan_testkit::{Dir, Finished, run};

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
    assert!(finished.stdout.ends_with("6 checks, 0 failed\n"), "{}", finished.stdout);
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
    assert_eq!((checks.len(), failed.len()), (8, 1), "{report}");
    assert_eq!(failed[0]["name"], "auther.authenticate: wrong");
    assert_eq!(failed[0]["failures"][0], r#"got null, want {"error":"refused"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_only_a_gateway_obeys_is_refused() {
    let dir = Dir::new();
    let finished = verify(&dir, r#"{"Reply":null}"#, &["--plugin", r#"{"onError":"allow"}"#]).await;
    assert_ne!(finished.code, Some(0));
    assert!(finished.stderr.contains("`onError` is for a gateway's config"), "{}", finished.stderr);
}
