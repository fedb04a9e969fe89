//! The gateway while one of its plugins is hostile: what becomes of another plugin's calls, and of connections that ask no
//! plugin at all.
//!
//! Eight clients of the hostile plugin's service open connections in which it misbehaves, one after the other, at most a hundred a
//! second each. Quiet and attack take turns, so that what else the machine does hits both. In the quiet turn the same clients open
//! as many connections a second, which a plugin that means well answers in the same way: what differs is the plugin, not the load.
//!
//! Each attack must end in the answer that it has here, and no connection may be lost.
//!
//! `cargo bench --workspace --bench attack -- loop` takes the attacks with `loop` in their name. Without `--bench` (so in `cargo test`)
//! it only shows that they are contained.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![allow(clippy::unwrap_used, reason = "a benchmark that can't run stops")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use drawspan_testkit::{Dir, Gateway, basic, tcp_echo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

const GUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt");
const EXAMPLE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/authenticator-rust/authenticator.wasm");
const ATTACKERS: u32 = 8;
const ATTACK_PAUSE: Duration = Duration::from_millis(10);
/// Connections at a time when their number is what counts.
const CLIENTS: usize = 4;

/// What one kind of attack asks a hostile plugin for: the user name says what, the password how much of it.
struct Attack {
    name: &'static str,
    service: &'static str,
    user: &'static str,
    password: String,
    /// What the client is told.
    status: u16,
}

fn attacks(redirect: SocketAddr, private: SocketAddr) -> Vec<Attack> {
    let denied = |name, service, user, password: &str| Attack {
        name,
        service,
        user,
        password: password.to_owned(),
        status: 407,
    };
    // What does no harm in the end lets its user in.
    let harmless =
        |name, service, user, password: &str| Attack { status: 200, ..denied(name, service, user, password) };
    let file = "/data/../../../../../../etc/passwd";
    vec![
        denied("loop", "hostile", "loop", ""),
        denied("loop with allocation", "hostile", "alloc-loop", ""),
        denied("loop of host calls", "reach", "flood", "100000000"),
        denied("sleep", "wasi", "sleep", "3600"),
        denied("memory bomb", "hostile", "bomb", ""),
        denied("table bomb", "table-bomb", "", ""),
        denied("stack overflow", "hostile", "recurse", ""),
        denied("trap", "hostile", "trap", ""),
        denied("huge reply", "hostile", "huge", ""),
        denied("malformed UTF-8", "reach", "utf8", ""),
        denied("handle exhaustion", "reach", "handles", ""),
        harmless("log flood", "wasi", "stdout", &"a line of the flood\n".repeat(150)),
        denied("path escape", "reach", "read", file),
        denied("socket without a grant", "reach", "tcp", "127.0.0.1:1"),
        harmless("environment", "wasi", "env", ""),
        denied("private address", "outside", "get", &format!("http://localhost:{}/", private.port())),
        denied("redirect elsewhere", "outside", "follow", &format!("http://{redirect}/")),
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
        service("table-bomb", ", auther: table-bomb"),
        "authers:\n".to_owned(),
        auther("example", &format!("addr: {EXAMPLE}, config: {{users: \"alice:wonder\"}}")),
        hostile("hostile", ""),
        hostile("wasi", ""),
        hostile("table-bomb", ""),
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

/// Clients of one service, until they are dropped: [`ATTACKERS`] of them, each with a connection every so often, but never with two
/// at a time.
struct Clients {
    tasks: JoinSet<()>,
    connections: Arc<AtomicU32>,
}

impl Clients {
    fn start(way: &Way, status: u16, every: Duration) -> Self {
        let connections = Arc::new(AtomicU32::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..ATTACKERS {
            let (way, connections) = (way.clone(), Arc::clone(&connections));
            tasks.spawn(async move {
                let mut next = interval(every);
                next.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    next.tick().await;
                    assert_eq!(way.go().await, status);
                    connections.fetch_add(1, Relaxed);
                }
            });
        }
        Self { tasks, connections }
    }

    /// They end by themselves only when a connection was lost, or answered in another way than expected.
    async fn stop(mut self) {
        if let Some(ended) = self.tasks.try_join_next() {
            ended.unwrap();
        }
        self.tasks.shutdown().await;
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
    // One is granted by its address, the other by name only.
    let (redirect, private) = (redirects().await, redirects().await);
    dir.write("gateway.yaml", config(redirect));
    let mut gateway = Gateway::start_with(dir, &["-C", "gateway.yaml"]).await;
    let echo = tcp_echo().await;
    let plain = Way::new(gateway.addr("service-0").await, "", echo.addr());
    let example = gateway.addr("example").await;
    let plugin = Way::new(example, &basic("alice", "wonder"), echo.addr());
    let stranger = Way::new(example, &basic("alice", "no"), echo.addr());

    println!(
        "{:<22} {:>21} {:>7}   {:>23} {:>7}",
        "attack", "another plugin's p99", "ratio", "plain connections/s", "ratio"
    );
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    for Attack { name, service, user, password, status } in attacks(redirect, private) {
        if !name.contains(&only) {
            continue;
        }
        let attack = Way::new(gateway.addr(service).await, &basic(user, &password), echo.addr());
        let well_meant = if status == 200 { &plugin } else { &stranger };
        assert_eq!(attack.go().await, status, "{name}");
        let (mut quiet, mut under) = (Measured::default(), Measured::default());
        Measured::default().add(&plugin, &plain, slice / 5).await;
        for _ in 0..rounds {
            let attackers = Clients::start(&attack, status, ATTACK_PAUSE);
            // Until the attack has begun.
            sleep(slice / 5).await;
            let (start, before) = (Instant::now(), attackers.connections.load(Relaxed));
            under.add(&plugin, &plain, slice).await;
            let connections = attackers.connections.load(Relaxed) - before;
            let every = start.elapsed() * ATTACKERS / connections.max(1);
            attackers.stop().await;
            // Until what was begun has reached its deadline.
            sleep(Duration::from_millis(1100)).await;

            let others = Clients::start(well_meant, status, every);
            quiet.add(&plugin, &plain, slice).await;
            others.stop().await;
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
