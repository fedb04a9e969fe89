//! [`HttpPlugin`]: a fake authenticator server that speaks HTTP and JSON.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use crate::serve::{BoxStream, accept_tls, loopback};
use crate::{Server, Tls, Users};

/// How the server answers.
#[derive(Clone, Debug)]
pub enum HttpAnswer {
    /// Accepts these users; the id is the user name.
    Users(Users),
    /// The same, when there is a permit, which it takes.
    Held(Arc<Semaphore>, Users),
    /// Always this status, header (if any) and body.
    Reply {
        /// The status.
        status: u16,
        /// One header.
        header: Option<(&'static str, &'static str)>,
        /// The body.
        body: Bytes,
    },
    /// Redirects to a page that accepts everyone.
    RedirectToYes(u16),
    /// Never answers.
    Never,
    /// Drops the connection.
    Hangup,
}

impl HttpAnswer {
    /// Always this status and body.
    pub fn reply(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Reply { status, header: None, body: body.into() }
    }
}

/// A request that the server got.
#[derive(Clone, Debug)]
pub struct HttpCall {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null when it isn't JSON.
    pub body: Value,
}

/// A running fake authenticator.
pub struct HttpPlugin {
    server: Server,
    state: Arc<State>,
}

struct State {
    answer: HttpAnswer,
    calls: Mutex<Vec<HttpCall>>,
}

impl HttpPlugin {
    /// Serves plain HTTP.
    pub async fn start(answer: HttpAnswer) -> Self {
        Self::start_at(loopback(), answer, None).await
    }

    /// Serves HTTPS.
    pub async fn start_tls(tls: impl Into<Tls>, answer: HttpAnswer) -> Self {
        Self::start_at(loopback(), answer, tls.into()).await
    }

    /// Serves at `addr`.
    pub async fn start_at(addr: SocketAddr, answer: HttpAnswer, tls: Tls) -> Self {
        let state = Arc::new(State { answer, calls: Mutex::default() });
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

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The requests so far.
    #[must_use]
    pub fn calls(&self) -> Vec<HttpCall> {
        self.state.calls.lock().unwrap().clone()
    }

    /// Ends it; when this returns, its port is free.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

impl State {
    async fn serve(self: Arc<Self>, stream: BoxStream) {
        let hangup = Notify::new();
        let service = service_fn(|request| self.call(request, &hangup));
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => {}
            () = hangup.notified() => {}
        }
    }

    async fn call(&self, request: Request<Incoming>, hangup: &Notify) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.calls.lock().unwrap().push(HttpCall {
            method: parts.method,
            path: parts.uri.to_string(),
            headers: parts.headers,
            body: body.clone(),
        });
        Ok(match &self.answer {
            HttpAnswer::Users(users) => check(users, &body),
            HttpAnswer::Held(gate, users) => {
                gate.acquire().await.expect("a gate stays").forget();
                check(users, &body)
            }
            HttpAnswer::Reply { status, header, body } => response(*status, *header, body.clone()),
            HttpAnswer::RedirectToYes(_) if parts.uri.path() == "/yes" => yes(),
            HttpAnswer::RedirectToYes(status) => response(*status, Some(("location", "/yes")), Bytes::new()),
            HttpAnswer::Never => std::future::pending().await,
            HttpAnswer::Hangup => {
                hangup.notify_one();
                std::future::pending().await
            }
        })
    }
}

fn check(users: Users, request: &Value) -> Response<Full<Bytes>> {
    let user = request["username"].as_str().unwrap_or_default();
    let ok = users.contains(&(user, request["password"].as_str().unwrap_or_default()));
    response(200, None, json!({"ok": ok, "id": if ok { user } else { "" }}).to_string().into())
}

fn yes() -> Response<Full<Bytes>> {
    response(200, None, Bytes::from_static(br#"{"ok":true}"#))
}

fn response(status: u16, header: Option<(&str, &str)>, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    response.body(Full::new(body)).expect("a status and a header that HTTP allows")
}
