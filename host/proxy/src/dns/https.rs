//! [`Https`]: DNS over HTTPS (RFC 8484).

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use drawspan_wire::http1::HostPort;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tower_service::Service;

use super::{AskError, nobody};
use crate::net::Stream;
use crate::tls::TlsClient;
use crate::{Router, Wanted};

pub(crate) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/dns-message");

/// Where a server answers by HTTPS.
pub struct HttpsTarget {
    /// The whole URL, without credentials.
    pub uri: Uri,
    /// The header for the credentials in it.
    pub authorization: Option<HeaderValue>,
    /// What is connected to.
    pub at: HostPort,
    /// TLS towards it, which says that it knows HTTP/2.
    pub tls: TlsClient,
}

/// A client of one server. It keeps connections for a while.
pub(super) struct Https {
    client: Client<Connect, Full<Bytes>>,
    uri: Uri,
    authorization: Option<HeaderValue>,
}

impl Https {
    pub(super) fn new(target: HttpsTarget, router: Router) -> Self {
        let HttpsTarget { uri, authorization, at, tls } = target;
        let mut builder = Client::builder(TokioExecutor::new());
        let client = builder.pool_timer(TokioTimer::new()).build(Connect { router, at, tls });
        Self { client, uri, authorization }
    }

    /// The body of the answer to `question`.
    pub(super) async fn post(&self, question: &[u8]) -> Result<Bytes, AskError> {
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(question)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.extend([(CONTENT_TYPE, MEDIA_TYPE), (ACCEPT, MEDIA_TYPE)]);
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let reply = self.client.request(request).await.map_err(|error| AskError::Http(chain(&error)))?;
        if reply.status() != StatusCode::OK {
            return Err(AskError::Status(reply.status()));
        }
        let body = Limited::new(reply.into_body(), u16::MAX.into()).collect().await;
        Ok(body.map_err(|error| AskError::Http(chain(&*error)))?.to_bytes())
    }
}

/// Without query: it may be secret.
impl fmt::Display for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "https://{authority}{}", self.uri.path())
    }
}

/// An error and what it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Connects to the server, wherever a request is for.
#[derive(Clone)]
struct Connect {
    router: Router,
    at: HostPort,
    tls: TlsClient,
}

impl Service<Uri> for Connect {
    type Response = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { router, at, tls } = self.clone();
        Box::pin(async move {
            // Questions of several clients share it.
            let (client, info) = (String::new().into(), nobody());
            let wanted = Wanted { network: "tcp", target: &at, client: &client, info: &info };
            let upstream = router.dial(&wanted).await.map_err(io::Error::other)?;
            let (stream, protocol) = tls.connect_for_protocol(upstream.conn).await?;
            Ok(Secured { io: TokioIo::new(stream), is_h2: protocol.as_deref() == Some(b"h2") })
        })
    }
}

/// A connection and what is spoken over it.
struct Secured {
    io: TokioIo<Stream>,
    is_h2: bool,
}

impl Connection for Secured {
    fn connected(&self) -> Connected {
        if self.is_h2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for Secured {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl Write for Secured {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
