//! A proxy client that sends what it is told, byte by byte.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::within;

/// The start of a response: everything up to the empty line.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Status line and headers, as sent.
    pub text: String,
}

impl Head {
    /// A header's value; the name is matched without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.text.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: String,
}

/// A `Proxy-Authorization` header line.
#[must_use]
pub fn basic(user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> String {
    let pair = [user.as_ref(), b":", password.as_ref()].concat();
    format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

/// Gets `http://target/path` through the proxy, with these header lines, on a connection of its own.
pub async fn get(proxy: SocketAddr, headers: &str, target: SocketAddr) -> Reply {
    let request = format!("GET http://{target}/hello HTTP/1.1\r\nHost: {target}\r\n{headers}Connection: close\r\n\r\n");
    let answer = exchange(proxy, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not a response: {answer:?}"));
    Reply { head: parse(head), body: body.to_owned() }
}

/// Sends these bytes and reads until the proxy closes the connection. A reset counts as a close.
pub async fn exchange(proxy: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = dial(proxy).await;
    stream.write_all(bytes).await.expect("the proxy takes the request");
    let mut answer = Vec::new();
    let _ = within("the proxy to answer and close", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Opens a tunnel to `target`, with these header lines.
///
/// # Errors
/// The head of the proxy's answer, if that isn't 200.
pub async fn connect(proxy: SocketAddr, headers: &str, target: SocketAddr) -> Result<Tunnel, Head> {
    let mut stream = dial(proxy).await;
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("the proxy takes the request");
    let head = within("the proxy's answer to CONNECT", read_head(&mut stream)).await;
    if head.status == 200 { Ok(Tunnel { stream }) } else { Err(head) }
}

/// Gets `http://target/hello` through the proxy on a connection that stays open afterwards.
pub async fn open_keep_alive(proxy: SocketAddr, target: SocketAddr) -> Tunnel {
    let mut stream = dial(proxy).await;
    let request = format!("GET http://{target}/hello HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the proxy takes the request");
    let head = within("the proxy's answer", read_head(&mut stream)).await;
    assert_eq!(head.status, 200, "{}", head.text);
    let length = head.header("content-length").and_then(|length| length.parse().ok()).expect("a body of known length");
    let mut tunnel = Tunnel { stream };
    tunnel.receive(length).await;
    tunnel
}

/// Opens a connection to the proxy, without a word.
pub async fn open(proxy: SocketAddr) -> Tunnel {
    Tunnel { stream: dial(proxy).await }
}

/// An open connection: a tunnel to the target, or one to the proxy that is kept alive.
#[derive(Debug)]
pub struct Tunnel {
    stream: TcpStream,
}

impl Tunnel {
    /// Sends `bytes` and waits for as many to come back; panics if they differ.
    pub async fn echo(&mut self, bytes: &[u8]) {
        self.send(bytes).await;
        assert_eq!(self.receive(bytes.len()).await, bytes, "the tunnel changes bytes");
    }

    /// Sends `bytes`.
    pub async fn send(&mut self, bytes: &[u8]) {
        within("the tunnel to take bytes", self.stream.write_all(bytes)).await.expect("the tunnel is open");
    }

    /// Waits for `len` bytes.
    pub async fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        within("bytes from the tunnel", self.stream.read_exact(&mut bytes)).await.expect("the tunnel is open");
        bytes
    }

    /// Says that nothing more will be sent.
    pub async fn finish_sending(&mut self) {
        self.stream.shutdown().await.expect("the tunnel is open");
    }

    /// Waits for the end, and returns what came before it.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        within("the tunnel to close", self.stream.read_to_end(&mut bytes)).await.expect("the tunnel closes in order");
        bytes
    }
}

/// Connects to `addr`.
async fn dial(addr: SocketAddr) -> TcpStream {
    let stream = within("a connection to the proxy", TcpStream::connect(addr)).await;
    let stream = stream.expect("the proxy accepts connections");
    stream.set_nodelay(true).expect("a TCP option");
    stream
}

/// Reads a head and not one byte more.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Head {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    parse(String::from_utf8_lossy(&bytes).trim_end())
}

fn parse(head: &str) -> Head {
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    Head { status: status.unwrap_or_else(|| panic!("not a response: {head:?}")), text: head.to_owned() }
}
