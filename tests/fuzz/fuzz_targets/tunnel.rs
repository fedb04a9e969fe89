//! What a stranger sends to a tunnel server or its entry point, without a socket: it is answered in a form that it knows, whoever
//! serves the tunnel is told of it in a form that they know, and nothing waits for it for ever.
//!
//! The first byte chooses where it comes in and how its bytes are cut, the second how many of the next are the tunnel's answer.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::{Addr, ConnInfo, Endpoint, Ingress, IngressRules};
use drawspan_proxy::Conn;
use drawspan_proxy::handler::{
    Entrypoint, EntrypointSettings, Handler, HandlerParts, TunnelServer, TunnelSettings, Tunnels,
};
use drawspan_proxy::net::Stream;
use drawspan_smux::{Config, Session};
use drawspan_wire::http1::{HeadScanner, RequestHead};
use drawspan_wire::relay::{Command, Features, Request, Response, Status, TunnelId};
use drawspan_wire::smux::Version;
use drawspan_wire::socks::Address;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const TUNNEL: Uuid = Uuid::from_u128(0x4d21094e_b74c_4916_86c1_d9fa36ea677b);
const PRIVATE: Uuid = Uuid::from_u128(3);
const PUBLIC: Uuid = Uuid::from_u128(4);
/// What handlers wait for takes no time here.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

fuzz_target!(|bytes: &[u8]| {
    let [choice, length, bytes @ ..] = bytes else { return };
    let (answer, bytes) = bytes.split_at(bytes.len().min(usize::from(*length)));
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(come(choice % 2 == 0, choice / 4 % 2 == 0, usize::from(choice / 8) + 1, answer, bytes));
});

async fn come(by_entrypoint: bool, keepalive: bool, size: usize, answer: &[u8], bytes: &[u8]) {
    let tunnels = Arc::new(Tunnels::new(None));
    let rules =
        [("srv.test", TUNNEL, false), ("private.test", PRIVATE, true), ("gone.test", Uuid::from_u128(5), false)];
    let rules = rules.map(|(host, tunnel, private)| (host.to_owned(), Endpoint { tunnel, private }));
    let ingress = Some(Ingress::new(Arc::new(IngressRules::new(rules))));
    let (read_timeout, idle_timeout) = (Duration::from_secs(15), Some(Duration::from_secs(300)));
    let settings = TunnelSettings {
        public_id: Some(PUBLIC),
        direct: false,
        ttl: Duration::from_secs(60),
        address: String::new(),
        read_timeout,
        idle_timeout,
        mux: Config::new(Version::V2),
    };
    let server = TunnelServer::new(HandlerParts::default(), Arc::clone(&tunnels), ingress.clone(), settings);
    let server = Arc::new(Handler::Tunnel(server));
    let settings = EntrypointSettings { keepalive, read_timeout, idle_timeout };
    let entrypoint =
        Arc::new(Handler::Entrypoint(Entrypoint::new(HandlerParts::default(), tunnels, ingress, settings)));

    let speaks_http = by_entrypoint && !bytes.is_empty() && ![1, 0x16].contains(&bytes[0]);
    let (conn, _serving) = connect(&server);
    tokio::spawn(serve(bind(conn).await, answer.to_vec(), speaks_http));
    let (conn, handling) = connect(if by_entrypoint { &entrypoint } else { &server });
    let (mut reader, mut writer) = split(conn);
    let pieces: Vec<_> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
    tokio::spawn(async move {
        for piece in pieces {
            if writer.write_all(&piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    });
    let mut got = Vec::new();
    let _ = timeout(FOR_EVER, reader.read_to_end(&mut got)).await.expect("it isn't let go");
    timeout(FOR_EVER, handling).await.expect("it is still waited for").unwrap();
    match got.first() {
        None => {}
        Some(_) if speaks_http => assert!(got.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&got)),
        Some(_) if bytes[0] == 1 => assert!(matches!(Response::parse(&got), Ok(Some(_))), "{got:?}"),
        // What comes through the tunnel.
        Some(_) => assert_eq!((by_entrypoint, bytes[0]), (true, 0x16), "{got:?}"),
    }
}

/// A connection to the handler, and its end.
fn connect(handler: &Arc<Handler>) -> (DuplexStream, JoinHandle<()>) {
    let (near, far) = duplex(64 << 10);
    let unnamed = Addr::unnamed;
    let info =
        ConnInfo { service: "s".into(), sid: "sid".into(), client: unnamed(), local: unnamed(), certificate: None };
    let conn = Conn::new(Stream::layered(far, unnamed(), unnamed()), info);
    let handler = Arc::clone(handler);
    let handling = tokio::spawn(async move {
        let _ = handler.handle(conn, CancellationToken::new()).await;
    });
    (near, handling)
}

/// Becomes who serves the tunnel.
async fn bind(mut conn: DuplexStream) -> Session {
    let features = Features {
        address: Some(Address::Name(b"srv.test".to_vec(), 0)),
        tunnel: Some(TunnelId { id: TUNNEL.into_bytes(), udp: false, weight: 0 }),
        ..Features::default()
    };
    conn.write_all(&Request { command: Command::Bind, udp: false, features }.encode().unwrap()).await.unwrap();
    received(&mut conn).await.expect("the tunnel can be served");
    Session::server(conn, Config::new(Version::V2)).unwrap()
}

/// Answers each visitor once.
async fn serve(session: Session, answer: Vec<u8>, speaks_http: bool) {
    while let Some(mut stream) = session.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move {
            let Some(Response { status, features }) = received(&mut stream).await else { return };
            assert_eq!(status, Status::OK);
            assert!(features.source.is_some() && features.address.is_some());
            let mut bytes = Vec::new();
            while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                if speaks_http {
                    let Ok(Some(length)) = HeadScanner::request().scan(&bytes) else { continue };
                    let head = RequestHead::parse(&bytes[..length]).expect("the head is one");
                    assert!(head.headers.get("gost-forwarded-node").is_some());
                }
                break;
            }
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        });
    }
}

/// The message that comes first.
async fn received(from: &mut (impl AsyncRead + Unpin)) -> Option<Response> {
    let mut bytes = vec![0; 4];
    from.read_exact(&mut bytes).await.ok()?;
    bytes.resize(4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 0);
    from.read_exact(&mut bytes[4..]).await.ok()?;
    Some(Response::parse(&bytes).expect("it is a message").expect("all of it is there").0)
}
