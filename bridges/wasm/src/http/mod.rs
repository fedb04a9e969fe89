//! `wasi:http`: the requests that a component may send.

mod body;
mod connector;
mod hosts;

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::Level;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

use crate::bridge::WasmSettings;
use crate::host::Host;
use crate::log::GuestLog;
use body::Body;
use connector::{ConnectError, Connector};
use hosts::Hosts;

pub use hosts::{HostName, HttpHost};

/// The package whose interfaces need the grant.
pub(crate) const PACKAGE: &str = "wasi:http/";
/// How many requests an instance may have open at a time.
const REQUESTS: usize = 32;
/// Connections to one host that are kept for the next request, and for how long.
const IDLE: (usize, Duration) = (4, Duration::from_secs(30));
/// The largest head of a reply, in bytes.
const HEAD: usize = 64 << 10;

pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// What all instances of a plugin send their requests with.
pub(crate) struct HttpClient {
    hosts: Arc<Hosts>,
    client: Client<Connector, WasiBody>,
    log: Arc<GuestLog>,
    timeout: Duration,
    max_reply: usize,
}

impl HttpClient {
    /// None, when nothing is granted.
    pub(crate) fn new(settings: &WasmSettings, log: &Arc<GuestLog>) -> Option<Arc<Self>> {
        if settings.http_hosts.is_empty() {
            return None;
        }
        let hosts = Arc::new(Hosts::new(settings.http_hosts.clone()));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE.1)
            .pool_max_idle_per_host(IDLE.0)
            .http1_max_buf_size(HEAD)
            .build(Connector::new(&hosts));
        let (timeout, max_reply) = (settings.timeout, settings.max_reply);
        Some(Arc::new(Self { hosts, client, log: Arc::clone(log), timeout, max_reply }))
    }

    fn refuse(&self, uri: &Uri, why: &str) {
        let host = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        self.log.line(Level::WARN, &format!("a request to {host} is refused: {why}"));
    }

    /// Sends the request, if its host is listed. Redirects are the component's business: a new request, checked again.
    async fn send(&self, request: Request<WasiBody>, options: RequestOptions) -> Result<Response<Body>> {
        let deadline = Instant::now() + self.timeout;
        let uri = request.uri().clone();
        let (host, is_tls) = (uri.host().unwrap_or_default(), uri.scheme() == Some(&Scheme::HTTPS));
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err(Error::HttpRequestUriInvalid);
        }
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        if !self.hosts.lists(host, port, is_tls) {
            self.refuse(&uri, "`httpHosts` doesn't list it");
            return Err(Error::HttpRequestDenied);
        }
        let patience = |wish: Option<Duration>| wish.unwrap_or(self.timeout);
        let head = patience(options.connect_timeout).saturating_add(patience(options.first_byte_timeout));
        let head = deadline.min(Instant::now() + head.min(self.timeout));
        let response = match timeout_at(head, self.client.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let error = told(&error);
                if let Error::DestinationIpProhibited = error {
                    self.refuse(&uri, "its address is a private one; list that in `httpHosts` too if it is meant");
                }
                return Err(error);
            }
            Err(_) => return Err(Error::ConnectionReadTimeout),
        };
        let pause = patience(options.between_bytes_timeout);
        Ok(response.map(|body| Body::new(body, self.max_reply, pause, deadline)))
    }
}

/// What the component is told.
fn told(error: &hyper_util::client::legacy::Error) -> Error {
    let mut cause = error.source();
    while let Some(source) = cause {
        if let Some(error) = source.downcast_ref::<ConnectError>() {
            return error.into();
        }
        if source.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return Error::HttpProtocolError;
        }
        cause = source.source();
    }
    Error::ConnectionTerminated
}

/// An instance's way out.
pub(crate) struct Hooks {
    client: Option<Arc<HttpClient>>,
    room: Arc<Semaphore>,
}

impl Hooks {
    pub(crate) fn new(client: Option<&Arc<HttpClient>>) -> Self {
        Self { client: client.cloned(), room: Arc::new(Semaphore::new(REQUESTS)) }
    }
}

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<()>> + Send>)>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (client, room) = (self.client.clone(), Arc::clone(&self.room).try_acquire_owned());
        Box::new(async move {
            let client = client.ok_or(Error::HttpRequestDenied)?;
            let room = room.map_err(|_| Error::ConnectionLimitReached)?;
            let response = client.send(request, options.unwrap_or_default()).await?;
            let response = response.map(|body| body.holding(room).boxed_unsync());
            // The connection belongs to the client: there is nothing else to drive.
            Ok((response, Box::new(std::future::ready(Ok(()))) as Box<dyn Future<Output = Result<()>> + Send>))
        })
    }
}
