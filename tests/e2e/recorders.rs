//! Where records are kept without a plugin.

use std::net::SocketAddr;
use std::process::Command;

use drawspan_testkit::{
    Dir, Gateway, HttpAnswer, HttpPlugin, PATIENCE, Redis, Server, eventually, get, http_origin, run, unused_addr,
    within,
};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// A gateway that tells the recorder `kept` of each client, and after each exchange.
fn config(recorder: &str) -> String {
    format!(
        "services:
- name: service-0
  addr: 127.0.0.1:0
  recorders:
  - {{name: kept, record: recorder.service.client.address}}
  - {{name: other, record: recorder.service.handler}}
  handler: {{type: http}}
  listener: {{type: tcp}}
recorders:
- {{name: kept, {recorder}}}
- {{name: other, file: {{path: made/here/records, sep: \"\\n\"}}}}
"
    )
}

async fn start(recorder: &str) -> (Gateway, SocketAddr, Server) {
    let origin = http_origin().await;
    let mut gateway = Gateway::start(&config(recorder)).await;
    let proxy = gateway.proxy().await;
    (gateway, proxy, origin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_appended_to_and_complete_when_the_gateway_ends() {
    let outside = Dir::new();
    let file = outside.write("records", "before;");
    let origin = http_origin().await;
    let inside = Dir::new();
    let handler = inside.join("made/here/records");
    inside.write("gateway.yaml", config(&format!("file: {{path: {}, sep: ;}}", file.display())));
    let mut gateway = Gateway::spawn(inside, &["-C", "gateway.yaml"]);
    let proxy = gateway.proxy().await;
    for _ in 0..3 {
        assert_eq!(get(proxy, "", origin.addr()).await.head.status, 200);
    }
    let records = eventually("three records", PATIENCE, async || {
        let text = std::fs::read_to_string(&handler).ok()?;
        (text.matches('\n').count() == 3).then_some(text)
    })
    .await;
    for line in records.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&record["service"], &record["http"]["statusCode"]), (&"service-0".into(), &200.into()));
    }
    let kept = "before;127.0.0.1;127.0.0.1;127.0.0.1;";
    let read = async || std::fs::read_to_string(&file).ok().filter(|text| text == kept);
    eventually("three more records", PATIENCE, read).await;
    // Moved away, and made anew.
    let moved = outside.join("moved");
    std::fs::rename(&file, &moved).unwrap();
    assert_eq!(get(proxy, "", origin.addr()).await.head.status, 200);
    assert_eq!(gateway.terminate().await.code, Some(0));
    assert_eq!(std::fs::read_to_string(moved).unwrap(), kept);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "127.0.0.1;");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cant_be_written_is_reported_at_its_place() {
    let dir = Dir::new();
    dir.write("gateway.yaml", config("file: {path: gateway.yaml/records}"));
    let finished = run(dir.path(), &["-C", "gateway.yaml"]).await;
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.contains("gateway.yaml:10:29"), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_has_a_connection_for_each_record() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_gateway, proxy, origin) =
        start(&format!("tcp: {{addr: \"{}\", timeout: 5s}}", server.local_addr().unwrap())).await;
    for _ in 0..2 {
        assert_eq!(get(proxy, "", origin.addr()).await.head.status, 200);
        let (mut connection, _) = within("a connection", server.accept()).await.unwrap();
        let mut record = String::new();
        within("a record", connection.read_to_string(&mut record)).await.unwrap();
        assert_eq!(record, "127.0.0.1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_posts_each_record() {
    let server = HttpPlugin::start(HttpAnswer::reply(204, "")).await;
    let url = format!("http://u:hunter2@{}/a?b=c", server.addr());
    let origin = http_origin().await;
    let yaml = config("file: {path: unused}").replace(
        "file: {path: made/here/records, sep: \"\\n\"}",
        &format!("http: {{url: \"{url}\", timeout: 5s, header: {{X-Key: hunter2}}}}"),
    );
    let mut gateway = Gateway::start(&yaml).await;
    let proxy = gateway.proxy().await;
    assert_eq!(get(proxy, "", origin.addr()).await.head.status, 200);
    let call = eventually("a record", PATIENCE, async || server.calls().first().cloned()).await;
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/a?b=c"));
    let header = |name: &str| call.headers[name].to_str().unwrap();
    assert_eq!((header("content-type"), header("x-key")), ("application/json", "hunter2"));
    assert_eq!(header("authorization"), "Basic dTpodW50ZXIy");
    assert_eq!(call.body["http"]["statusCode"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_refuses_is_logged_and_delays_nobody() {
    let server = HttpPlugin::start(HttpAnswer::reply(302, "")).await;
    for (recorder, reason) in [
        (format!("http: {{url: \"http://u:hunter2@{}/?hunter2\"}}", server.addr()), "redirects are not followed"),
        (format!("tcp: {{addr: \"{}\"}}", unused_addr()), "Connection refused"),
        (format!("redis: {{addr: \"{}\", password: hunter2, key: k}}", unused_addr()), "Connection refused"),
    ] {
        let (gateway, proxy, origin) = start(&recorder).await;
        assert_eq!(get(proxy, "", origin.addr()).await.head.status, 200);
        eventually("a loss in the log", PATIENCE, async || {
            let text = gateway.log_text();
            (text.contains("records are lost") && text.contains(reason)).then_some(())
        })
        .await;
        assert!(!gateway.log_text().contains("hunter2"), "{}", gateway.log_text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_never_answers_delays_nobody() {
    let server = HttpPlugin::start(HttpAnswer::Never).await;
    let (_gateway, proxy, origin) = start(&format!("http: {{url: \"http://{}/\", timeout: 1h}}", server.addr())).await;
    for _ in 0..40 {
        assert_eq!(get(proxy, "", origin.addr()).await.head.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_keeps_records_as_its_type_says() {
    let redis = Redis::start(unused_addr().port(), Some("hunter2"));
    let ask = |command: &[&str]| {
        let port = redis.port().to_string();
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &port, "-n", "2", "-a", "hunter2", "--no-auth-warning"]).args(command);
        String::from_utf8(cli.output().unwrap().stdout).unwrap()
    };
    for (kind, read, kept) in [
        ("set", &["SMEMBERS", "set"][..], "127.0.0.1\n"),
        ("list", &["LRANGE", "list", "0", "-1"], "127.0.0.1\n127.0.0.1\n"),
        ("sset", &["ZRANGE", "sset", "0", "-1", "WITHSCORES"], "127.0.0.1\n2\n"),
    ] {
        let recorder = format!(
            "redis: {{addr: \"127.0.0.1:{}\", db: 2, password: hunter2, key: {kind}, type: {kind}}}",
            redis.port()
        );
        let (gateway, proxy, origin) = start(&recorder).await;
        for _ in 0..2 {
            assert_eq!(get(proxy, "", origin.addr()).await.head.status, 200);
        }
        gateway.terminate().await;
        assert_eq!(ask(read), kept, "{kind}");
    }
}
