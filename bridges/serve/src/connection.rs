//! Accepting, and the life of a connection.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::{AnyPlugin, Body, Server};

/// What is spoken on a listener.
#[derive(Clone, Copy)]
enum Protocol {
    Grpc,
    Http,
}

impl<P: AnyPlugin> Server<P> {
    /// Serves gRPC on `listener` until `shutdown`, and then ends the calls that are being answered. Dropping the future
    /// stops accepting; connections end as at `shutdown` only when that is cancelled too.
    pub async fn serve_grpc(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        self.accept(listener, Protocol::Grpc, shutdown).await;
    }

    /// The same over HTTP: each module at a path of its name, e.g. `/auther`; the only module that there is at any path but those of others.
    pub async fn serve_http(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        self.accept(listener, Protocol::Http, shutdown).await;
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, protocol: Protocol, shutdown: CancellationToken) {
        let room = Arc::new(Semaphore::new(self.options.max_connections));
        let connections = TaskTracker::new();
        let tls = self.options.tls.as_deref().map(|config| {
            let mut config = config.clone();
            config.alpn_protocols = vec![match protocol {
                Protocol::Grpc => b"h2".to_vec(),
                Protocol::Http => b"http/1.1".to_vec(),
            }];
            TlsAcceptor::from(Arc::new(config))
        });
        let next = async || {
            // Never closed.
            let permit = Arc::clone(&room).acquire_owned().await.ok();
            (listener.accept().await, permit)
        };
        while let Some((accepted, permit)) = shutdown.run_until_cancelled(next()).await {
            match accepted {
                Ok((stream, peer)) => {
                    let (server, tls, shutdown) = (Arc::clone(&self), tls.clone(), shutdown.clone());
                    connections.spawn(async move {
                        if let Err(reason) = server.connection(stream, tls, protocol, shutdown).await {
                            debug!(%peer, "connection lost: {reason}");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely.
                    warn!("can't accept connections: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        protocol: Protocol,
        shutdown: CancellationToken,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let stream = match tls {
            None => Either::Left(stream),
            Some(tls) => {
                let handshake = timeout(self.options.read_timeout, tls.accept(stream));
                let Some(stream) = shutdown.run_until_cancelled(handshake).await else { return Ok(()) };
                Either::Right(stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??)
            }
        };
        let mut builder = Builder::new(TokioExecutor::new());
        // Whoever is slow to ask is idle: see below.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(self.options.idle_timeout);
        let builder = match protocol {
            Protocol::Grpc => builder.http2_only(),
            Protocol::Http => builder.http1_only(),
        };
        let activity = Activity::default();
        let service = service_fn(|request| activity.during(Arc::clone(&self).answer(protocol, request)));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));

        let mut seen = 0;
        let mut leaving = false;
        let mut check = Instant::now() + self.options.idle_timeout;
        loop {
            tokio::select! {
                result = &mut connection => return result,
                () = shutdown.cancelled(), if !leaving => {}
                () = sleep_until(check) => {
                    if leaving {
                        return Ok(());
                    }
                    check = Instant::now() + self.options.idle_timeout;
                    if !activity.none_since(&mut seen) {
                        continue;
                    }
                }
            }
            leaving = true;
            check = Instant::now() + self.options.drain_timeout;
            connection.as_mut().graceful_shutdown();
        }
    }

    async fn answer(
        self: Arc<Self>,
        protocol: Protocol,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        Ok(match protocol {
            Protocol::Grpc => self.grpc(request).await,
            Protocol::Http => self.http(request).await,
        })
    }
}

/// The calls of a connection.
#[derive(Clone, Default)]
struct Activity(Arc<Calls>);

#[derive(Default)]
struct Calls {
    begun: AtomicUsize,
    over: AtomicUsize,
}

impl Activity {
    /// Counts a call, whether it ends or is dropped.
    fn during<T, F: Future<Output = T>>(&self, call: F) -> impl Future<Output = T> + use<T, F> {
        struct Over(Arc<Calls>);
        impl Drop for Over {
            fn drop(&mut self) {
                self.0.over.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        let over = Over(Arc::clone(&self.0));
        async move {
            let _over = over;
            call.await
        }
    }

    /// Whether nothing was asked since this was asked last, and nothing is being answered.
    fn none_since(&self, seen: &mut usize) -> bool {
        let begun = self.0.begun.load(Ordering::Relaxed);
        let none = begun == *seen && begun == self.0.over.load(Ordering::Relaxed);
        *seen = begun;
        none
    }
}
