//! The gateway while one of its plugins is hostile: what becomes of another plugin's calls, and of connections that ask no
//! plugin at all.
//!
//! Eight clients of the hostile plugin's service keep a connection each in which it misbehaves, one after the other, at most a
//! hundred a second each. Quiet and attack take turns, so that what else the machine does hits both.
//!
//! Without `--bench` (so in `cargo test`) it only shows that it runs.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![allow(clippy::unwrap_used, reason = "a benchmark that can't run stops")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use drawspan_testkit::{Dir, Gateway, basic, tcp_echo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const GUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt");
const EXAMPLE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/authenticator-rust/authenticator.wasm");
const ATTACKERS: usize = 8;
const ATTACK_PAUSE: Duration = Duration::from_millis(10);
/// Connections at a time when their number is what counts.
const CLIENTS: usize = 4;

/// What one kind of attack asks a hostile plugin for: the user name says what, the password how much of it.
struct Attack {
    name: &'static str,
    service: &'static str,
    user: &'static str,
    password: String,
}

fn attacks(redirect: SocketAddr) -> Vec<Attack> {
    let attack = |name, service, user, password: &str| Attack { name, service, user, password: password.to_owned() };
    let file = "/data/../../../../../../etc/passwd";
    vec![
        attack("loop", "hostile", "loop", ""),
        attack("loop with allocation", "hostile", "alloc-loop", ""),
        attack("loop of host calls", "reach", "flood", "100000000"),
        attack("sleep", "wasi", "sleep", "3600"),
        attack("memory bomb", "hostile", "bomb", ""),
        attack("stack overflow", "hostile", "recurse", ""),
        attack("trap", "hostile", "trap", ""),
        attack("huge reply", "hostile", "huge", ""),
        attack("malformed UTF-8", "reach", "utf8", ""),
        attack("handle exhaustion", "reach", "handles", ""),
        attack("log flood", "wasi", "stdout", &"a line of the flood\n".repeat(150)),
        attack("path escape", "reach", "read", file),
        attack("socket without a grant", "reach", "tcp", "127.0.0.1:1"),
        attack("environment", "wasi", "env", ""),
        attack("private address", "outside", "get", &format!("http://localhost:{}/", redirect.port())),
        attack("redirect elsewhere", "outside", "follow", &format!("http://{redirect}/")),
    ]
}

fn config(redirect: SocketAddr) -> String {
    let service = |name: &str, auther: &str| {
        format!("- {{name: {name}, addr: \"127.0.0.1:0\", handler: {{type: http{auther}}}, listener: {{type: tcp}}}}\n")
    };
    let auther = |name: &str, plugin: &str| format!("- {{name: {name}, plugin: {{type: wasm, {plugin}}}}}\n");
    let hostile = |name: &str, grants: &str| auther(name, &format!("addr: {GUESTS}/{name}.wasm, timeout: 1s{grants}"));
    [
        "services:\n".to_owned(),
        service("service-0", ""),
        service("example", ", auther: example"),
        service("hostile", ", auther: hostile"),
        service("wasi", ", auther: wasi"),
        service("reach", ", auther: reach"),
        service("outside", ", auther: outside"),
        "authers:\n".to_owned(),
        auther("example", &format!("addr: {EXAMPLE}, config: {{users: \"alice:wonder\"}}")),
        hostile("hostile", ""),
        hostile("wasi", ""),
        hostile("reach", ", mounts: [{host: ., guest: /data}]"),
        hostile(
            "outside",
            &format!(", httpHosts: [\"localhost:*\", \"{redirect}\"], keyvalue: {{default: {{type: memory}}}}"),
        ),
    ]
    .concat()
}

/// A server on this machine that sends everybody to a host that isn't granted.
async fn redirects() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 1024];
                while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    let reply = "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n";
                    if stream.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

/// Where connections go, and what they say.
#[derive(Clone)]
struct Way {
    proxy: SocketAddr,
    request: String,
}

impl Way {
    fn new(proxy: SocketAddr, credentials: &str, echo: SocketAddr) -> Self {
        Self { proxy, request: format!("CONNECT {echo} HTTP/1.1\r\nHost: {echo}\r\n{credentials}\r\n") }
    }

    /// Opens a tunnel and closes it. The status.
    async fn go(&self) -> u16 {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        stream.write_all(self.request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0, "the connection was lost");
        }
        std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap()
    }
}

/// What one plugin's connections took, and how many others there were.
#[derive(Default)]
struct Measured {
    times: Vec<Duration>,
    connections: usize,
    seconds: f64,
}

impl Measured {
    fn p99(&mut self) -> Duration {
        self.times.sort();
        self.times[self.times.len() * 99 / 100]
    }

    fn rate(&self) -> f64 {
        self.connections as f64 / self.seconds
    }

    /// Adds one slice: first the other plugin, one connection after the other; then plain connections, several at a time.
    async fn add(&mut self, plugin: &Way, plain: &Way, slice: Duration) {
        let start = Instant::now();
        while start.elapsed() < slice {
            let begun = Instant::now();
            assert_eq!(plugin.go().await, 200);
            self.times.push(begun.elapsed());
        }
        let start = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let plain = plain.clone();
            clients.spawn(async move {
                let mut connections = 0;
                while start.elapsed() < slice {
                    assert_eq!(plain.go().await, 200);
                    connections += 1;
                }
                connections
            });
        }
        self.connections += clients.join_all().await.into_iter().sum::<usize>();
        self.seconds += start.elapsed().as_secs_f64();
    }
}

#[tokio::main]
async fn main() {
    let is_full = std::env::args().any(|arg| arg == "--bench");
    let (rounds, slice) = if is_full { (5, Duration::from_millis(500)) } else { (1, Duration::from_millis(20)) };

    let dir = Dir::new();
    let redirect = redirects().await;
    dir.write("gateway.yaml", config(redirect));
    let mut gateway = Gateway::start_with(dir, &["-C", "gateway.yaml"]).await;
    let echo = tcp_echo().await;
    let plain = Way::new(gateway.addr("service-0").await, "", echo.addr());
    let plugin = Way::new(gateway.addr("example").await, &basic("alice", "wonder"), echo.addr());

    println!(
        "{:<22} {:>21} {:>7}   {:>23} {:>7}",
        "attack", "another plugin's p99", "ratio", "plain connections/s", "ratio"
    );
    for Attack { name, service, user, password } in attacks(redirect) {
        let attack = Way::new(gateway.addr(service).await, &basic(user, &password), echo.addr());
        let (mut quiet, mut under) = (Measured::default(), Measured::default());
        quiet.add(&plugin, &plain, slice / 5).await;
        quiet = Measured::default();
        for _ in 0..rounds {
            quiet.add(&plugin, &plain, slice).await;
            let mut attackers = JoinSet::new();
            for _ in 0..ATTACKERS {
                let attack = attack.clone();
                attackers.spawn(async move {
                    loop {
                        attack.go().await;
                        tokio::time::sleep(ATTACK_PAUSE).await;
                    }
                });
            }
            // Until the attack has begun.
            tokio::time::sleep(slice / 5).await;
            under.add(&plugin, &plain, slice).await;
            // They end only when one of their connections is lost.
            if let Some(lost) = attackers.try_join_next() {
                lost.unwrap();
            }
            attackers.shutdown().await;
            // Until what was begun has reached its deadline.
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        let (p99, p99_under) = (quiet.p99(), under.p99());
        let (rate, rate_under) = (quiet.rate(), under.rate());
        println!(
            "{name:<22} {p99:>9.2?} ->{p99_under:>9.2?} {:>6.2}x   {rate:>10.0} ->{rate_under:>10.0} {:>6.2}x",
            p99_under.as_secs_f64() / p99.as_secs_f64(),
            rate_under / rate
        );
    }
}
