//! The handshakes of websockets: [`WsServer`] and [`WsClient`].

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawspan_wire::http1::{HeadScanner, RequestHead, ResponseHead};
use drawspan_wire::websocket::{Role, accept, check_request, check_response};
use tokio::time::timeout;

use crate::net::{Buffered, HeadReadError, Stream, Websocket, read_head};

/// How a client opens a websocket.
#[derive(Clone, Debug)]
pub struct WsServer {
    /// What it asks for; anything else is not found.
    pub path: String,
    /// Added to the answer.
    pub headers: Vec<(String, String)>,
    /// For the head of its request, once TLS is spoken; `None`: as long as the handshakes may take.
    pub head_timeout: Option<Duration>,
}

/// How a websocket is opened to a node.
#[derive(Clone, Debug)]
pub struct WsClient {
    /// The `Host` header.
    pub host: String,
    /// What is asked for.
    pub path: String,
    /// Added to the request.
    pub headers: Vec<(String, String)>,
    /// How often a ping is sent; `None`: never.
    pub ping: Option<Duration>,
}

impl WsServer {
    /// Answers a client's handshake. The caller bounds its time; dropping the future closes the connection.
    ///
    /// # Errors
    /// When the client wants something else; it was told.
    pub(crate) async fn accept(&self, mut conn: Buffered) -> io::Result<Stream> {
        let read = read_head(&conn.stream, &mut conn.received, HeadScanner::request());
        let bytes = match self.head_timeout {
            Some(limit) => timeout(limit, read).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?,
            None => read.await,
        };
        let bytes = bytes.map_err(broken)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let head = RequestHead::parse(&bytes).map_err(invalid)?;
        let path = head.target.split('?').next().unwrap_or_default();
        let (status, key) = match check_request(&head) {
            _ if path != self.path => ("404 Not Found", None),
            Ok(key) => ("101 Switching Protocols", Some(key)),
            Err(_) => ("400 Bad Request", None),
        };
        let Some(key) = key else {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            conn.stream.write_all(answer.as_bytes()).await?;
            crate::net::linger(conn.stream).await;
            return Err(invalid(format!("no websocket: answered {status}")));
        };
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
            accept(key)
        );
        push(&mut answer, &self.headers);
        conn.stream.write_all(answer.as_bytes()).await?;
        Ok(Websocket::new(conn, Role::Server, None).into_stream())
    }
}

impl WsClient {
    /// Opens a websocket to a node. The caller bounds its time; dropping the future closes the connection.
    ///
    /// # Errors
    /// When the node doesn't want one.
    pub(crate) async fn connect(&self, mut conn: Buffered) -> io::Result<Stream> {
        // A nonce that no answer from a cache has.
        let half = || RandomState::new().hash_one(0).to_ne_bytes();
        let key = STANDARD.encode([half(), half()].concat());
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
             Sec-WebSocket-Version: 13\r\n",
            self.path, self.host
        );
        push(&mut request, &self.headers);
        conn.stream.write_all(request.as_bytes()).await?;
        let bytes = read_head(&conn.stream, &mut conn.received, HeadScanner::response()).await.map_err(broken)?;
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        let head = ResponseHead::parse(&bytes).map_err(invalid)?;
        check_response(&head, key.as_bytes()).map_err(invalid)?;
        Ok(Websocket::new(conn, Role::Client, self.ping).into_stream())
    }
}

/// Adds headers and the end of the head.
fn push(head: &mut String, headers: &[(String, String)]) {
    for (name, value) in headers {
        // Line ends become blanks, as in Go.
        head.push_str(&format!("{name}: {value}").replace(['\r', '\n'], " "));
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
}

fn invalid(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

fn broken(error: HeadReadError) -> io::Error {
    match error {
        HeadReadError::Io(error) => error,
        HeadReadError::Head(error) => invalid(error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (Buffered, Buffered) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (Buffered::new(near.unwrap()), Buffered::new(far.unwrap().0))
    }

    fn client(path: &str) -> WsClient {
        let headers = vec![("X-A".to_owned(), "1".to_owned())];
        WsClient { host: "example.org".to_owned(), path: path.to_owned(), headers, ping: None }
    }

    #[tokio::test]
    async fn much_passes_both_ways_and_each_may_end_first() {
        const SIZE: usize = 3 * 1024 * 1024;
        let (near, far) = pair().await;
        let server = WsServer { path: "/ws".to_owned(), headers: Vec::new(), head_timeout: None };
        let opening = client("/ws");
        let (near, far) = tokio::join!(opening.connect(near), server.accept(far));
        let (near, far) = (near.unwrap(), far.unwrap());
        let pattern = |seed: usize| (0..SIZE).map(|at| (at * 31 + seed) as u8).collect::<Vec<_>>();
        let exchange = |stream: Stream, send: Vec<u8>| async move {
            let (mut read, mut write) = tokio::io::split(stream);
            let mut got = Vec::new();
            let sending = async {
                write.write_all(&send).await.unwrap();
                write.shutdown().await.unwrap();
            };
            tokio::join!(sending, async { read.read_to_end(&mut got).await.unwrap() });
            got
        };
        let (at_near, at_far) = tokio::join!(exchange(near, pattern(1)), exchange(far, pattern(2)));
        assert!(at_near == pattern(2) && at_far == pattern(1));
    }

    #[tokio::test]
    async fn another_path_is_not_found() {
        let (near, far) = pair().await;
        let (server, client) =
            (WsServer { path: "/ws".to_owned(), headers: Vec::new(), head_timeout: None }, client("/other"));
        let (opened, accepted) = tokio::join!(client.connect(near), server.accept(far));
        assert!(opened.unwrap_err().to_string().contains("404"));
        assert!(accepted.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn pings_are_sent_and_answered() {
        let (near, mut far) = pair().await;
        let client = WsClient { ping: Some(Duration::from_secs(15)), ..client("/ws") };
        let server = async {
            let bytes = read_head(&far.stream, &mut far.received, HeadScanner::request()).await.unwrap().unwrap();
            let head = RequestHead::parse(&bytes).unwrap();
            let key = accept(check_request(&head).unwrap());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {key}\r\n\r\n"
            );
            far.stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (opened, ()) = tokio::join!(client.connect(near), server);
        let mut opened = opened.unwrap();
        let reading = tokio::spawn(async move {
            let mut got = [0; 2];
            opened.read_exact(&mut got).await.unwrap();
            got
        });
        let ping = far.read_exactly(6).await.unwrap();
        assert_eq!(ping[..2], [0x89, 0x80], "masked, empty");
        // A ping of the server's and then a message.
        far.stream.write_all(b"\x89\x01x\x82\x02hi").await.unwrap();
        let pong = far.read_exactly(7).await.unwrap();
        assert_eq!(pong[..2], [0x8a, 0x81]);
        assert_eq!(pong[6] ^ pong[2], b'x');
        assert_eq!(&reading.await.unwrap(), b"hi");
    }
}
