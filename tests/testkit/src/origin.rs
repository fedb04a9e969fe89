//! Servers for the gateway to proxy to.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Server;
use crate::serve::loopback;

/// Sends back what it receives; on end of input it finishes sending and closes.
pub async fn tcp_echo() -> Server {
    Server::tcp(loopback(), |mut stream| async move {
        let (mut reader, mut writer) = stream.split();
        if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
            let _ = writer.shutdown().await;
            let _ = reader.read(&mut [0]).await;
        }
    })
    .await
}

/// Answers the first bytes with a response of more than anybody takes.
pub async fn endless_origin() -> Server {
    Server::tcp(loopback(), |mut stream| async move {
        let Ok(1..) = stream.read(&mut [0; 4096]).await else { return };
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n").await;
        while stream.write_all(&[7; 65536]).await.is_ok() {}
    })
    .await
}

/// Answers every request with 200 and a body that tells the request line, the headers and the body that it received.
pub async fn http_origin() -> Server {
    Server::tcp(loopback(), |stream| async move {
        let connection = hyper::server::conn::http1::Builder::new();
        let _ = connection.serve_connection(TokioIo::new(stream), service_fn(describe)).await;
    })
    .await
}

async fn describe(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    text += &format!("\n{}", String::from_utf8_lossy(&body));
    Ok(Response::new(Full::new(text.into())))
}
