//! [`GrpcPlugin`]: a fake authenticator server that speaks gRPC.
//!
//! gRPC is written out here (a five-byte prefix and two trailers over HTTP/2) so that wrong answers can be given too.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use drawspan_proto::{AuthenticateReply, AuthenticateRequest};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::sync::{Notify, Semaphore};

use crate::serve::{BoxStream, accept_tls, loopback};
use crate::{Server, Tls, Users};

const UNIMPLEMENTED: u16 = 12;
const UNAUTHENTICATED: u16 = 16;

/// How the server answers a call whose token is right.
#[derive(Clone, Debug)]
pub enum GrpcAnswer {
    /// Accepts these users; the id is the user name.
    Users(Users),
    /// The same, after this time.
    Slow(Duration, Users),
    /// The same, when there is a permit, which it takes.
    Held(Arc<Semaphore>, Users),
    /// Never answers.
    Never,
    /// Accepts everyone under this id.
    Id(String),
    /// Ends the call with this status.
    Status(u16),
    /// Sends these bytes as the reply message.
    Message(&'static [u8]),
    /// Drops the connection.
    Hangup,
}

/// A call that the server got.
#[derive(Clone, Debug)]
pub struct GrpcCall {
    /// The `:authority`.
    pub authority: String,
    /// The metadata.
    pub metadata: HeaderMap,
    /// The request message.
    pub request: AuthenticateRequest,
}

/// A running fake authenticator.
pub struct GrpcPlugin {
    server: Server,
    state: Arc<State>,
}

struct State {
    token: Option<&'static str>,
    answer: GrpcAnswer,
    calls: Mutex<Vec<GrpcCall>>,
}

impl GrpcPlugin {
    /// Serves plain HTTP/2 and asks for no token.
    pub async fn start(answer: GrpcAnswer) -> Self {
        Self::start_at(loopback(), answer, None, None).await
    }

    /// Serves TLS.
    pub async fn start_tls(tls: impl Into<Tls>, answer: GrpcAnswer) -> Self {
        Self::start_at(loopback(), answer, None, tls.into()).await
    }

    /// Serves at `addr`. A call without this `token` is answered with UNAUTHENTICATED.
    pub async fn start_at(addr: SocketAddr, answer: GrpcAnswer, token: Option<&'static str>, tls: Tls) -> Self {
        let state = State::new(token, answer);
        let shared = Arc::clone(&state);
        let server = Server::tcp(addr, move |stream| {
            let (state, tls) = (Arc::clone(&shared), tls.clone());
            async move {
                if let Some(stream) = accept_tls(stream, tls).await {
                    state.serve(stream).await;
                }
            }
        })
        .await;
        Self { server, state }
    }

    /// Serves on a unix socket.
    #[must_use]
    pub fn start_unix(path: &Path, answer: GrpcAnswer) -> Self {
        let state = State::new(None, answer);
        let shared = Arc::clone(&state);
        let server = Server::unix(path, move |stream| {
            let state = Arc::clone(&shared);
            async move { state.serve(stream).await }
        });
        Self { server, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<GrpcCall> {
        self.state.calls.lock().unwrap().clone()
    }

    /// Ends it; when this returns, its port is free.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

impl State {
    fn new(token: Option<&'static str>, answer: GrpcAnswer) -> Arc<Self> {
        Arc::new(Self { token, answer, calls: Mutex::default() })
    }

    async fn serve(self: Arc<Self>, stream: BoxStream) {
        let hangup = Arc::new(Notify::new());
        let service = service_fn(|request| {
            let (state, hangup) = (Arc::clone(&self), Arc::clone(&hangup));
            async move { state.call(request, &hangup).await }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => {}
            () = hangup.notified() => {}
        }
    }

    async fn call(&self, request: Request<Incoming>, hangup: &Notify) -> Result<Response<Body>, Infallible> {
        if request.uri().path() != "/proto.Authenticator/Authenticate" {
            return Ok(self.answer_any(hangup).await.unwrap_or_else(|| status(UNIMPLEMENTED)));
        }
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Ok(status(UNIMPLEMENTED)) };
        let body = body.to_bytes();
        let message = body.get(PREFIX..).expect("a gRPC message has a prefix");
        let request = AuthenticateRequest::decode(message).expect("an AuthenticateRequest");
        self.calls.lock().unwrap().push(GrpcCall {
            authority: parts.uri.authority().map(ToString::to_string).unwrap_or_default(),
            metadata: parts.headers.clone(),
            request: request.clone(),
        });
        let token = parts.headers.get("token").and_then(|token| token.to_str().ok());
        if self.token.is_some() && self.token != token {
            return Ok(status(UNAUTHENTICATED));
        }
        if let Some(answer) = self.answer_any(hangup).await {
            return Ok(answer);
        }
        let users = match &self.answer {
            GrpcAnswer::Users(users) => users,
            GrpcAnswer::Slow(delay, users) => {
                tokio::time::sleep(*delay).await;
                users
            }
            GrpcAnswer::Held(gate, users) => {
                gate.acquire().await.expect("a gate stays").forget();
                users
            }
            GrpcAnswer::Id(id) => return Ok(reply(&AuthenticateReply { ok: true, id: id.clone() })),
            _ => return Ok(status(UNIMPLEMENTED)),
        };
        Ok(reply(&check(users, &request)))
    }

    /// The answer, if it is the same to all calls, of other services too.
    async fn answer_any(&self, hangup: &Notify) -> Option<Response<Body>> {
        match &self.answer {
            GrpcAnswer::Never => std::future::pending().await,
            GrpcAnswer::Status(code) => Some(status(*code)),
            GrpcAnswer::Message(bytes) => Some(framed(bytes)),
            GrpcAnswer::Hangup => {
                hangup.notify_one();
                std::future::pending().await
            }
            _ => None,
        }
    }
}

fn check(users: Users, request: &AuthenticateRequest) -> AuthenticateReply {
    let ok = users.contains(&(&request.username, &request.password));
    AuthenticateReply { ok, id: if ok { request.username.clone() } else { String::new() } }
}

/// Whether the message is compressed (no), and its length.
const PREFIX: usize = 5;
type Body = BoxBody<Bytes, Infallible>;

fn reply(reply: &AuthenticateReply) -> Response<Body> {
    framed(&reply.encode_to_vec())
}

fn framed(message: &[u8]) -> Response<Body> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).expect("a message is short").to_be_bytes());
    bytes.extend(message);
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    response(Full::new(bytes.into()).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed())
}

/// A reply of nothing but a status. Its message is there to be found in the log.
fn status(code: u16) -> Response<Body> {
    let mut response = response(Empty::new().boxed());
    response.headers_mut().insert("grpc-status", code.into());
    response.headers_mut().insert("grpc-message", HeaderValue::from_static("said the fake"));
    response
}

fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
