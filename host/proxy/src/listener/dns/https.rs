//! Questions over HTTPS (RFC 8484): HTTP/1.1 and HTTP/2.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use drawspan_modules::Addr;
use drawspan_wire::dns::{MAX_QUERY, is_question};
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::stream::PIPELINE;
use super::{Shared, Way};
use crate::dns::MEDIA_TYPE;
use crate::net::Buffered;

/// Requests of a connection.
#[derive(Default)]
struct Load {
    begun: AtomicU64,
    done: AtomicU64,
}

/// Serves a connection until it ends, or nothing has been asked for `read_timeout`.
pub(super) async fn serve(conn: Buffered, client: Addr, shared: Arc<Shared>) -> io::Result<()> {
    let (load, stop, patience) = (Arc::<Load>::default(), shared.stop.clone(), shared.settings.read_timeout);
    let counted = Arc::clone(&load);
    let service = service_fn(move |request| {
        let (client, shared, load) = (client.clone(), Arc::clone(&shared), Arc::clone(&counted));
        async move {
            load.begun.fetch_add(1, Relaxed);
            let response = respond(request, &client, &shared).await;
            load.done.fetch_add(1, Relaxed);
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(u32::try_from(PIPELINE).ok());
    let mut serving = pin!(builder.serve_connection(TokioIo::new(conn.into_stream()), service));
    let mut before = (0, 0);
    loop {
        tokio::select! {
            served = serving.as_mut() => return served.map_err(io::Error::other),
            () = sleep(patience) => {}
            () = stop.cancelled() => break,
        }
        let now = (load.begun.load(Relaxed), load.done.load(Relaxed));
        if now == before && now.0 == now.1 {
            break;
        }
        before = now;
    }
    serving.as_mut().graceful_shutdown();
    timeout(patience, serving).await?.map_err(io::Error::other)
}

async fn respond(request: Request<Incoming>, client: &Addr, shared: &Shared) -> Response<Full<Bytes>> {
    let (status, body) = match exchange(request, client, shared).await {
        Ok(answer) => (StatusCode::OK, answer),
        Err(status) => (status, Vec::new()),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    if status == StatusCode::OK {
        response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
    }
    response
}

/// The answer to a request, or the status of a failure. GOST: 200 without a message when there is no answer.
async fn exchange(request: Request<Incoming>, client: &Addr, shared: &Shared) -> Result<Vec<u8>, StatusCode> {
    let message = if request.method() == Method::GET {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let (_, text) = form_urlencoded::parse(query).find(|(key, _)| key == "dns").ok_or(StatusCode::BAD_REQUEST)?;
        URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?.into()
    } else if request.method() == Method::POST {
        if request.headers().get(CONTENT_TYPE) != Some(&MEDIA_TYPE) {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let body = Limited::new(request.into_body(), MAX_QUERY).collect();
        let body = timeout(shared.settings.read_timeout, body).await.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
        body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes()
    } else {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    };
    if !is_question(&message) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let (sender, answer) = oneshot::channel();
    shared.ask(message, Way::Response(sender), client).await;
    answer.await.map_err(|_| StatusCode::BAD_GATEWAY)
}
