//! [`Web`]: what the gateway serves by HTTP itself, files and metrics (GOST reference, dataplane 9, admin 2).

mod files;
mod told;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drawspan_modules::ClientId;
use drawspan_wire::http1::{Credentials, HostPort};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;

pub use self::files::Files;

use self::told::Told;
use super::session::{Asked, Session};
use super::{HandlerError, HandlerParts};
use crate::Conn;
use crate::net::{Buffered, Stream, pipe};

/// Bytes between the server and the connection that carries it.
const BUFFER: usize = 64 * 1024;

/// Serves HTTP. Who may ask is asked for each request; the other modules of its parts mean nothing to it.
pub struct Web {
    parts: HandlerParts,
    page: Page,
    settings: WebSettings,
}

/// What is served.
pub enum Page {
    /// Files of a folder.
    Files(Files),
    /// Metrics in the format of OpenMetrics, at that path.
    Metrics(String, Arc<Registry>),
}

/// What can be set (GOST reference, config 7).
#[derive(Debug, Clone, Copy)]
pub struct WebSettings {
    /// `readTimeout`: for a request's head to arrive, and between requests.
    pub read_timeout: Duration,
    /// `idleTimeout`: ends connections in which no byte moves for so long.
    pub idle_timeout: Option<Duration>,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

impl Web {
    /// Serves `page` to whom the authenticator of `parts` lets in.
    #[must_use]
    pub fn new(parts: HandlerParts, page: Page, settings: WebSettings) -> Self {
        Self { parts, page, settings }
    }

    /// As [`Handler::handle`](super::Handler::handle).
    pub(crate) async fn handle(&self, conn: Conn, drain: CancellationToken) -> Result<(), HandlerError> {
        let (session, client) = Session::start(conn, self.page.name(), &self.parts);
        // Requests have records, connections have none.
        session.exchange_template();
        let nowhere = HostPort { host: String::new(), port: 0 };
        let meters =
            session.meters(&Asked { target: nowhere, user: None, client_id: ClientId::from(String::new()) }).await;
        // To the client's connection the server is a target like any other, so that bytes are counted and limited alike.
        let (near, far) = tokio::io::duplex(BUFFER);
        let local = session.info.local.clone();
        let server = Buffered::new(Stream::layered(near, local.clone(), local));
        let moving = pipe(client, server, &session.traffic, &meters, self.settings.idle_timeout);
        // However either of them ends, the other one sees.
        let _ = tokio::join!(self.serve(&session, far, &drain), moving);
        Ok(())
    }

    async fn serve(&self, session: &Session<'_>, stream: DuplexStream, drain: &CancellationToken) -> hyper::Result<()> {
        let service = service_fn(|request| async move { Ok::<_, Infallible>(self.answer(session, request).await) });
        let mut builder = http1::Builder::new();
        // A client may have no more to say, and still listen.
        builder.timer(TokioTimer::new()).header_read_timeout(self.settings.read_timeout).half_close(true);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            outcome = &mut connection => return outcome,
            () = drain.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }

    async fn answer(&self, session: &Session<'_>, request: Request<Incoming>) -> Response<Body> {
        let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let Credentials { username, password } = authorization.and_then(Credentials::parse).unwrap_or_default();
        let told = Told::of(session, self.page.name(), &request, &username);
        let admitted = match &self.parts.authenticator {
            Some(authenticator) => authenticator.authenticate(&session.info, &username, &password).await.is_some(),
            None => true,
        };
        let response = match &self.page {
            page if !admitted => page.unauthorized(),
            Page::Files(files) => files.answer(request).await,
            Page::Metrics(path, registry) => metrics(&request, path, registry),
        };
        told.until_sent(response)
    }
}

impl Page {
    fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "file",
            Self::Metrics(..) => "metrics",
        }
    }

    fn unauthorized(&self) -> Response<Body> {
        let mut response = text(StatusCode::UNAUTHORIZED, "");
        if let Self::Files(_) = self {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        }
        response
    }
}

fn metrics(request: &Request<Incoming>, path: &str, registry: &Registry) -> Response<Body> {
    if request.uri().path() != path {
        return not_found();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    let mut page = String::new();
    match prometheus_client::encoding::text::encode(&mut page, registry) {
        Ok(()) => of_type("application/openmetrics-text; version=1.0.0; charset=utf-8", page),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn of_type(media_type: &'static str, content: impl Into<Bytes>) -> Response<Body> {
    let mut response = text(StatusCode::OK, content);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let text: Bytes = text.into();
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(Full::new(text).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, length);
    response
}
