//! [`Exchange`]: a question and its answer on the wire.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use drawspan_bridge_transport::{Connector, Target, TlsError, TlsSettings, basic, redacted, target};
use drawspan_wit::chain;
use hickory_proto::op::Message;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;
use url::{Position, Url};

use crate::message::{self, Answer};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/dns-message");

/// Where a DNS server is and how it is spoken to. Names of servers are looked up by the system.
pub enum Transport {
    /// Plain DNS over UDP; over TCP what is too long for a datagram.
    Udp {
        /// A name or an address without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// Plain DNS over TCP.
    Tcp {
        /// A name or an address without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// DNS over TLS.
    Tls {
        /// A name or an address without brackets.
        host: String,
        /// Its port.
        port: u16,
        /// The name that the certificate must be for; none: any certificate does.
        verify: Option<String>,
    },
    /// DNS over HTTPS, by POST.
    Https {
        /// The whole URL. Credentials in it are sent as basic authentication.
        url: Url,
        /// The name that the certificate must be for; none: any certificate does.
        verify: Option<String>,
    },
}

/// Why a server can't be asked, whatever it says.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The URL can't be asked.
    #[error("`{0}` is not a URL of a server; write `https://host/dns-query`")]
    Url(String),
}

pub(crate) struct Exchange {
    /// As logs show it.
    shown: String,
    kind: Kind,
}

enum Kind {
    Udp { host: String, port: u16, tcp: Connector },
    Stream(Connector),
    Https { client: Box<Client<Connector, Full<Bytes>>>, uri: Uri, authorization: Option<HeaderValue> },
}

impl Exchange {
    pub(crate) fn new(transport: Transport, timeout: Duration) -> Result<Self, SetupError> {
        let tls = |verify: Option<String>| TlsSettings {
            secure: verify.is_some(),
            server_name: verify,
            ..TlsSettings::default()
        };
        let plain = |host: &str, port| Connector::new(Target::Tcp(host.to_owned(), port), None, b"", false, timeout);
        let shown = match &transport {
            Transport::Udp { host, port } => format!("udp://{}", Target::Tcp(host.clone(), *port)),
            Transport::Tcp { host, port } => format!("tcp://{}", Target::Tcp(host.clone(), *port)),
            Transport::Tls { host, port, .. } => format!("tls://{}", Target::Tcp(host.clone(), *port)),
            Transport::Https { url, .. } => redacted(url),
        };
        let kind = match transport {
            Transport::Udp { host, port } => Kind::Udp { tcp: plain(&host, port)?, host, port },
            Transport::Tcp { host, port } => Kind::Stream(plain(&host, port)?),
            Transport::Tls { host, port, verify } => {
                Kind::Stream(Connector::new(Target::Tcp(host, port), Some(&tls(verify)), b"dot", false, timeout)?)
            }
            Transport::Https { url, verify } => {
                let invalid = || SetupError::Url(redacted(&url));
                let target = target(&url).ok_or_else(invalid)?;
                let connector = Connector::new(target, Some(&tls(verify)), b"http/1.1", false, timeout)?;
                let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
                Kind::Https {
                    client: Box::new(client),
                    uri: url[..Position::AfterQuery].parse().map_err(|_| invalid())?,
                    authorization: basic(&url),
                }
            }
        };
        Ok(Self { shown, kind })
    }

    /// Asks once. Has no time limit of its own, but for connecting.
    pub(crate) async fn ask(&self, question: &Message) -> Result<Answer, String> {
        let bytes = question.to_vec().map_err(|error| error.to_string())?;
        let message = match &self.kind {
            Kind::Udp { host, port, tcp } => {
                let message = datagrams(host, *port, &bytes, question).await.map_err(|error| error.to_string())?;
                if message.metadata.truncation { stream(tcp, &bytes).await? } else { message }
            }
            Kind::Stream(connector) => stream(connector, &bytes).await?,
            Kind::Https { client, uri, authorization } => {
                let mut request = Request::new(Full::new(Bytes::from(bytes)));
                *request.method_mut() = Method::POST;
                *request.uri_mut() = uri.clone();
                let headers = request.headers_mut();
                headers.extend([(CONTENT_TYPE, MEDIA_TYPE), (ACCEPT, MEDIA_TYPE)]);
                headers.extend(authorization.clone().map(|value| (AUTHORIZATION, value)));
                let reply = client.request(request).await.map_err(|error| chain(&error))?;
                if reply.status() != StatusCode::OK {
                    return Err(format!("the server answered {}", reply.status()));
                }
                let body = Limited::new(reply.into_body(), u16::MAX.into()).collect().await;
                decode(&body.map_err(|error| chain(&*error))?.to_bytes())?
            }
        };
        match message::is_answer(&message, question) {
            true => message::read(&message, question),
            false => Err("the server answered another question".to_owned()),
        }
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// From a port of its own, so that who can't see the question can't answer it. Whatever else comes is passed over.
async fn datagrams(host: &str, port: u16, bytes: &[u8], question: &Message) -> io::Result<Message> {
    let mut addresses = tokio::net::lookup_host((host, port)).await?;
    let server =
        addresses.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the server has no address"))?;
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Ok(message) = Message::from_vec(&buffer[..length])
            && message::is_answer(&message, question)
        {
            return Ok(message);
        }
    }
}

async fn stream(connector: &Connector, bytes: &[u8]) -> Result<Message, String> {
    let mut stream = connector.connect().await.map_err(|error| error.to_string())?.into_tokio();
    let message = framed(&mut stream, bytes).await.map_err(|error| format!("connection lost: {error}"))?;
    decode(&message)
}

/// One message each way, with its length before it.
async fn framed(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    stream.flush().await?;
    let mut message = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

fn decode(bytes: &[u8]) -> Result<Message, String> {
    Message::from_vec(bytes).map_err(|error| format!("the answer can't be read: {error}"))
}
