//! Known clients and servers from Debian's packages: openssl, haproxy, Python's websockets. `.ci/run` installs them.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use drawspan_testkit::{
    Authority, Dir, Gateway, PATIENCE, Server, eventually, exchange, http_origin, tcp_echo, unused_addr, within,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a program says when it is told `input`, whose end it isn't told.
async fn run(program: &str, dir: &Dir, args: &[&str], input: &str) -> String {
    let mut command = tokio::process::Command::new(program);
    command.args(args).current_dir(dir.path()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    // A program that has ended already takes nothing.
    let _ = stdin.write_all(input.as_bytes()).await;
    let output = within(program, child.wait_with_output()).await.unwrap();
    drop(stdin);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A server that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a program and waits until it listens at `addr`.
async fn start(program: &str, dir: &Dir, args: &[&str], addr: SocketAddr) -> Process {
    let child = Command::new(program).args(args).current_dir(dir.path()).spawn();
    let process = Process(child.unwrap_or_else(|error| panic!("{program}: {error}")));
    eventually(program, PATIENCE, async || TcpStream::connect(addr).await.ok()).await;
    process
}

fn certificates(dir: &Dir) {
    let authority = Authority::new();
    dir.write("ca.pem", authority.pem());
    for name in ["localhost", "client"] {
        let leaf = authority.issue(name);
        dir.write(&format!("{name}.pem"), leaf.pem());
        dir.write(&format!("{name}.key"), leaf.key_pem());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openssl"]
async fn openssl_speaks_tls_with_listeners_directly_and_through_a_proxy() {
    let origin = http_origin().await;
    let config = format!(
        "
services:
- {{name: service-0, addr: '127.0.0.1:0', handler: {{type: http}}}}
- name: open
  addr: 127.0.0.1:0
  handler: {{type: tcp}}
  listener: {{type: tls, tls: &files {{certFile: localhost.pem, keyFile: localhost.key}}}}
  forwarder: {{nodes: &nodes [{{name: n, addr: '{origin}'}}]}}
- name: mutual
  addr: 127.0.0.1:0
  handler: {{type: tcp}}
  listener: {{type: tls, tls: {{<<: *files, caFile: ca.pem, options: {{minVersion: VersionTLS13, alpn: [a, b]}}}}}}
  forwarder: {{nodes: *nodes}}
",
        origin = origin.addr()
    );
    let dir = Dir::new();
    certificates(&dir);
    let files = Dir::new();
    for name in ["ca.pem", "client.pem", "client.key"] {
        std::fs::copy(dir.join(name), files.join(name)).unwrap();
    }
    let mut gateway = Gateway::start_in(dir, &config).await;
    let proxy = gateway.proxy().await.to_string();
    let (open, mutual) = (gateway.addr("open").await.to_string(), gateway.addr("mutual").await.to_string());
    let request = "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let verified = ["-verify_return_error", "-CAfile", "ca.pem", "-verify_hostname", "localhost", "-ign_eof"];
    for (addr, args, expected) in [
        (&open, &["-tls1_3"][..], Ok("Protocol version: TLSv1.3")),
        (&open, &["-tls1_2"], Ok("Protocol version: TLSv1.2")),
        (&open, &["-tls1_2", "-cipher", "AES128-SHA"], Err(())),
        (&open, &["-tls1_1"], Err(())),
        (&open, &["-proxy", &proxy], Ok("Protocol version: TLSv1.3")),
        (&mutual, &["-cert", "client.pem", "-key", "client.key", "-alpn", "b,a"], Ok("GET /page")),
        (&mutual, &["-tls1_2", "-cert", "client.pem", "-key", "client.key"], Err(())),
        (&mutual, &["-alpn", "a"], Err(())),
    ] {
        let arguments = [&["s_client", "-brief", "-connect", addr], &verified[..], args].concat();
        let said = run("openssl", &files, &arguments, request).await;
        match expected {
            Ok(text) => assert!(said.contains("GET /page\n") && said.contains(text), "{arguments:?}: {said}"),
            Err(()) => assert!(!said.contains("GET /page\n"), "{arguments:?}: {said}"),
        }
    }
}

/// Sends messages of several forms and sizes to an echo, pings, and takes leave in order.
const WEBSOCKET_CLIENT: &str = r#"
import asyncio, ssl, sys, websockets

async def main(url, roots):
    context = ssl.create_default_context(cafile=roots) if roots else None
    async with websockets.connect(url, ssl=context, max_size=None, max_queue=None) as ws:
        sent = b""
        for message in [b"a", b"b" * 200, b"c" * 70000, "text", [b"in ", b"three ", b"pieces"], b"d" * 3000000]:
            await ws.send(message)
            parts = message if isinstance(message, list) else [message]
            sent += b"".join(part.encode() if isinstance(part, str) else part for part in parts)
            await asyncio.wait_for(await ws.ping(), 20)
        got = b""
        while len(got) < len(sent):
            got += await asyncio.wait_for(ws.recv(), 20)
        assert got == sent, (len(got), len(sent))
    assert ws.close_code == 1000, ws.close_code
    try:
        await websockets.connect(url.replace("/ws", "/other"), ssl=context)
    except websockets.InvalidStatusCode as error:
        assert error.status_code == 404, error
    else:
        raise AssertionError("any path is served")
    print("well")

asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
"#;

/// Echoes every message; says what it was asked for.
const WEBSOCKET_SERVER: &str = r#"
import asyncio, sys, websockets

async def serve(ws):
    assert ws.path == "/chosen" and ws.request_headers["Host"] == "a.test" and ws.request_headers["X-One"] == "1"
    async for message in ws:
        await ws.send(message)

async def main(port):
    async with websockets.serve(serve, "127.0.0.1", port, max_size=None):
        await asyncio.Future()

asyncio.run(main(int(sys.argv[1])))
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's python3-websockets"]
async fn python_speaks_websocket_with_listeners() {
    let echo = tcp_echo().await;
    let config = format!(
        "
services:
- name: service-0
  addr: 127.0.0.1:0
  handler: {{type: tcp}}
  listener: {{type: ws}}
  forwarder: {{nodes: &nodes [{{name: n, addr: '{echo}'}}]}}
- name: secure
  addr: 127.0.0.1:0
  handler: {{type: tcp}}
  listener: {{type: wss, tls: {{certFile: localhost.pem, keyFile: localhost.key}}}}
  forwarder: {{nodes: *nodes}}
",
        echo = echo.addr()
    );
    let (dir, own) = (Dir::new(), Dir::new());
    certificates(&dir);
    std::fs::copy(dir.join("ca.pem"), own.join("ca.pem")).unwrap();
    own.write("client.py", WEBSOCKET_CLIENT);
    let mut gateway = Gateway::start_in(dir, &config).await;
    let (plain, secure) = (gateway.proxy().await.port(), gateway.addr("secure").await.port());
    for args in [
        &["client.py", &format!("ws://127.0.0.1:{plain}/ws")][..],
        &["client.py", &format!("wss://localhost:{secure}/ws"), "ca.pem"],
    ] {
        let said = run("/usr/bin/python3", &own, args, "").await;
        assert_eq!(said, "well\n", "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's python3-websockets"]
async fn a_dialer_speaks_websocket_with_python() {
    let (dir, addr) = (Dir::new(), unused_addr());
    dir.write("server.py", WEBSOCKET_SERVER);
    let _server = start("/usr/bin/python3", &dir, &["server.py", &addr.port().to_string()], addr).await;
    let config = format!(
        "
services:
- name: service-0
  addr: 127.0.0.1:0
  handler: {{type: tcp, chain: c}}
  forwarder: {{nodes: [{{name: n, addr: 'nowhere.test:1'}}]}}
chains:
- name: c
  hops:
  - name: h
    nodes:
    - name: n
      addr: {addr}
      connector: {{type: tcp}}
      dialer: {{type: ws, metadata: {{path: /chosen, host: a.test, header: {{X-One: '1'}}}}}}
"
    );
    let mut gateway = Gateway::start(&config).await;
    let mut client = TcpStream::connect(gateway.proxy().await).await.unwrap();
    for length in [1, 200, 70_000, 3_000_000] {
        let sent: Vec<u8> = (0..length).map(|at: usize| (at % 251) as u8).collect();
        let mut got = vec![0; length];
        let (mut from, mut to) = client.split();
        let both = async { tokio::try_join!(to.write_all(&sent), from.read_exact(&mut got)) };
        within("the echo", both).await.unwrap();
        assert!(got == sent, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs haproxy"]
async fn haproxy_tells_and_is_told_where_connections_come_from() {
    let origin: Server = http_origin().await;
    let [told, v1, v2] = [unused_addr(), unused_addr(), unused_addr()];
    let config = format!(
        "
services:
- name: service-0
  addr: 127.0.0.1:0
  metadata: {{proxyProtocol: 1}}
  handler: {{type: tcp}}
  forwarder: {{nodes: [{{name: n, addr: '{origin}'}}]}}
- {{name: one, addr: '127.0.0.1:0', handler: {{type: tcp, metadata: {{proxyProtocol: 1}}}}, forwarder: &haproxy {{nodes: [{{name: h, addr: '{told}'}}]}}}}
- {{name: two, addr: '127.0.0.1:0', handler: {{type: tcp, metadata: {{proxyProtocol: 2}}}}, forwarder: *haproxy}}
",
        origin = origin.addr()
    );
    let mut gateway = Gateway::start(&config).await;
    let target = gateway.proxy().await;
    let (one, two) = (gateway.addr("one").await, gateway.addr("two").await);
    let dir = Dir::new();
    dir.write(
        "haproxy.cfg",
        format!(
            "
defaults
  timeout connect 20s
  timeout client 20s
  timeout server 20s
listen told
  mode http
  bind {told} accept-proxy
  http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[dst]:%[dst_port]\"
listen v1
  mode tcp
  bind {v1}
  server s {target} send-proxy
listen v2
  mode tcp
  bind {v2}
  server s {target} send-proxy-v2
"
        ),
    );
    let _haproxy = start("haproxy", &dir, &["-f", "haproxy.cfg", "-db"], told).await;
    let request = b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    for through in [v1, v2] {
        let mut client = TcpStream::connect(through).await.unwrap();
        let from = client.local_addr().unwrap().to_string();
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        within("an answer", client.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.contains("GET /page"), "{answer}");
        eventually("a line of the log", PATIENCE, async || {
            let of_client = gateway.logs_matching(|line| line.field("client") == from);
            (!of_client.is_empty()).then_some(())
        })
        .await;
    }
    // Without a header it is served too.
    assert!(exchange(target, request).await.contains("GET /page"));

    for through in [one, two] {
        let mut client = TcpStream::connect(through).await.unwrap();
        let from = client.local_addr().unwrap();
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        within("an answer", client.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.ends_with(&format!("\r\n\r\n{from} {through}")), "{answer}");
    }
}
