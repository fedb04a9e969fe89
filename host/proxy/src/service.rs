//! [`Service`]: what happens to every accepted connection before its handler sees it (GOST reference, dataplane 2).

mod streams;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use drawspan_modules::{Admission, ClientCertificate, ConnInfo, ConnLimiter, RateLimiter, Recorder};
use drawspan_wire::proxy_protocol::{Addresses, Header};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::handler::{Handler, HandlerError};
use crate::listener::{Accepted, DnsQuestion, Transport, UdpSession};
use crate::metrics::Request;
use crate::net::{Buffered, Counters, Limits, counting};
use crate::tls::TlsServer;
use crate::{Conn, ServiceMetrics, Shaper, WsServer};

/// For a PROXY header to arrive, as in GOST.
const PROXY_TIME: Duration = Duration::from_secs(10);

/// A handler and the modules that stand in front of it.
pub struct Service {
    /// Its name.
    pub name: Arc<str>,
    /// A PROXY header is read if one comes.
    pub accept_proxy: bool,
    /// Which clients are served; all if `None`.
    pub admission: Option<Admission>,
    /// How many at a time.
    pub conn_limiter: Option<ConnLimiter>,
    /// How many a second.
    pub rate_limiter: Option<RateLimiter>,
    /// Bandwidth of the service and its connections.
    pub shaper: Option<Shaper>,
    /// Is told each client's address (`recorder.service.client.address`).
    pub client_recorder: Option<Recorder>,
    /// Where its connections are counted for its observer.
    pub counters: Option<Arc<Counters>>,
    /// Where they are counted for who watches the gateway.
    pub metrics: Option<ServiceMetrics>,
    /// Spoken with clients before the handler's protocol.
    pub layer: Layer,
    /// A connection carries many, each of which is one for the handler.
    pub mux: Option<drawspan_smux::Config>,
    /// For what `layer` speaks first.
    pub handshake_timeout: Duration,
    /// Speaks with clients.
    pub handler: Handler,
}

/// What a listener speaks over an accepted connection.
pub enum Layer {
    /// Nothing.
    Plain,
    /// TLS.
    Tls(TlsServer),
    /// A websocket, over TLS or not.
    Ws(WsServer, Option<TlsServer>),
}

impl Layer {
    async fn accept(&self, conn: Buffered) -> io::Result<(Buffered, Option<ClientCertificate>)> {
        let (stream, certificate) = match self {
            Self::Plain => return Ok((conn, None)),
            Self::Tls(tls) => tls.accept(conn).await?,
            Self::Ws(ws, None) => (ws.accept(conn).await?, None),
            Self::Ws(ws, Some(tls)) => {
                let (stream, certificate) = tls.accept(conn).await?;
                (ws.accept(Buffered::new(stream)).await?, certificate)
            }
        };
        Ok((Buffered::new(stream), certificate))
    }
}

/// A service's current connection.
struct Counted<'s>(&'s Counters);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.current_conns.fetch_sub(1, Relaxed);
    }
}

impl Service {
    /// Serves one connection until it ends, with all that it carries; see [`Handler::handle`] for `drain` and dropping the
    /// future. Nothing here happens in the accept loop, so that a slow plugin keeps nobody else waiting. What fails is
    /// logged; refusals are no failures. `sids` gives each connection's id.
    pub async fn serve(
        self: &Arc<Self>,
        accepted: Accepted,
        network: &'static str,
        sids: &(impl Fn() -> Arc<str> + Sync),
        drain: CancellationToken,
    ) {
        let Accepted { transport, client, local } = accepted;
        let info = ConnInfo { certificate: None, service: Arc::clone(&self.name), sid: sids(), client, local };
        let counted = self.counters.as_deref().map(|counters| {
            counters.total_conns.fetch_add(1, Relaxed);
            counters.current_conns.fetch_add(1, Relaxed);
            Counted(counters)
        });
        let outcome = match transport {
            // Boxed: what it needs must not be carried along by the connection that comes of it.
            Transport::Stream(stream) => {
                match Box::pin(self.admit_stream(Buffered::new(stream), info.clone(), network)).await {
                    Ok(Some((conn, _permit))) => match &self.mux {
                        Some(config) => Box::pin(self.serve_streams(conn, *config, network, sids, drain)).await,
                        None => {
                            let info = conn.info.clone();
                            let request = self.request(&info);
                            let served = self.handler.handle(conn, drain).await;
                            request.into_iter().for_each(|request| request.over(&served));
                            served.map_err(|error| (info, error))
                        }
                    },
                    Ok(None) => Ok(()),
                    Err(error) => Err((info, error)),
                }
            }
            Transport::Udp(session) => match Box::pin(self.admit_udp(session, &info, network)).await {
                Some((conn, _permit)) => {
                    let request = self.request(&info);
                    let served = self.handler.handle_datagrams(conn, self.admission.as_ref()).await;
                    request.into_iter().for_each(|request| request.over(&served));
                    served.map_err(|error| (info, error))
                }
                None => Ok(()),
            },
            Transport::Dns(question) => {
                Box::pin(self.serve_question(question, &info, network)).await.map_err(|error| (info, error))
            }
            // GOST: asks the admission about the interface itself.
            Transport::Tun(device) => {
                let limits = match &self.shaper {
                    Some(shaper) => shaper.of_connection(&info, network).await,
                    None => Vec::new(),
                };
                let conn = Conn { stream: device, info: info.clone(), limits, counters: self.counters_of(&info) };
                let served = Box::pin(self.handler.handle_packets(conn, self.admission.as_ref(), drain)).await;
                served.map_err(|error| (info, error))
            }
        };
        if let Err((info, error)) = outcome {
            if let Some(Counted(counters)) = &counted {
                counters.total_errs.fetch_add(1, Relaxed);
            }
            failed(&info, &error);
        }
    }

    /// A client's datagrams as the handler gets them, and what counts them; `None` if it is refused.
    ///
    /// GOST: doesn't count them as one of its connections.
    async fn admit_udp(
        &self,
        mut session: UdpSession,
        info: &ConnInfo,
        network: &'static str,
    ) -> Option<(Conn<UdpSession>, impl Sized + use<>)> {
        let permit = self.admit(info, network).await?;
        session.admitted();
        let limits = self.enter(info, network).await?;
        Some((Conn { stream: session, info: info.clone(), limits, counters: self.counters_of(info) }, permit))
    }

    /// Has a question answered; none if its client is refused.
    async fn serve_question(
        &self,
        question: DnsQuestion,
        info: &ConnInfo,
        network: &'static str,
    ) -> Result<(), HandlerError> {
        let Some(_permit) = self.admit(info, network).await else { return Ok(()) };
        let Some(limits) = self.enter(info, network).await else { return Ok(()) };
        let conn = Conn { stream: question, info: info.clone(), limits, counters: self.counters_of(info) };
        let request = self.request(info);
        let served = self.handler.handle_question(conn).await;
        request.into_iter().for_each(|request| request.over(&served));
        served
    }

    /// The connection within its layers, and what counts it; `None` if it is refused, which it isn't told.
    async fn admit_stream(
        &self,
        mut conn: Buffered,
        mut info: ConnInfo,
        network: &'static str,
    ) -> Result<Option<(Conn, impl Sized + use<>)>, HandlerError> {
        if self.accept_proxy
            && let Some(Addresses { source, destination }) = proxy_header(&mut conn).await?
        {
            info.client = source.into();
            info.local = destination.into();
        }
        let Some(permit) = self.admit(&info, network).await else { return Ok(None) };
        let mut counters = self.counters_of(&info);
        // Bytes of a layer count as they come, as in GOST.
        if (!matches!(self.layer, Layer::Plain) || self.mux.is_some()) && !counters.is_empty() {
            conn = counting(conn, std::mem::take(&mut counters));
        }
        let shaken = timeout(self.handshake_timeout, self.layer.accept(conn)).await;
        let (stream, certificate) = shaken.map_err(|_| HandlerError::ClientTimedOut)?.map_err(HandlerError::Client)?;
        info.certificate = certificate.map(Arc::new);
        // What a connection carries enters by itself.
        let limits = match self.mux {
            Some(_) => Some(Vec::new()),
            None => self.enter(&info, network).await,
        };
        Ok(limits.map(|limits| (Conn { stream, info, limits, counters }, permit)))
    }

    /// Lets the client in, and counts it as long as what this returns lives; `None` if it is refused.
    async fn admit(&self, info: &ConnInfo, network: &'static str) -> Option<impl Sized + use<>> {
        if let Some(admission) = &self.admission
            && !admission.admits(info, network).await
        {
            refused(info, "admission", "the client is refused");
            return None;
        }
        // GOST: one connection too many ends the service, or is served after all.
        let Some(limiter) = &self.conn_limiter else { return Some(None) };
        let permit = limiter.admit(&info.client);
        if permit.is_none() {
            refused(info, "climiter", "too many connections");
            return None;
        }
        Some(permit)
    }

    /// Where the bytes of a connection are counted beside its own.
    fn counters_of(&self, info: &ConnInfo) -> Box<[Arc<Counters>]> {
        let of_client = self.metrics.as_ref().map(|metrics| metrics.counters(&info.client));
        self.counters.iter().cloned().chain(of_client).collect()
    }

    /// Counts a connection that the handler has from now on.
    fn request(&self, info: &ConnInfo) -> Option<Box<Request>> {
        self.metrics.as_ref().map(|metrics| Box::new(metrics.request(&info.client)))
    }

    /// The limits of a connection whose handler comes next; `None` if there are too many of them.
    async fn enter(&self, info: &ConnInfo, network: &'static str) -> Option<Vec<Arc<Limits>>> {
        if let Some(recorder) = &self.client_recorder
            && let Err(error) = recorder.write(info.client.host().into_bytes()).await
        {
            tracing::warn!(kind = "recorder", service = %info.service, sid = %info.sid, "{error}");
        }
        if self.rate_limiter.as_ref().is_some_and(|limiter| !limiter.allows(&info.client)) {
            refused(info, "rlimiter", "too many connections per second");
            return None;
        }
        match &self.shaper {
            Some(shaper) => Some(shaper.of_connection(info, network).await),
            None => Some(Vec::new()),
        }
    }
}

/// Logs how a connection ended.
fn failed(info: &ConnInfo, error: &HandlerError) {
    let ConnInfo { service, sid, client, .. } = info;
    match error {
        HandlerError::Dial(_)
        | HandlerError::Interface(_)
        | HandlerError::Upstream { .. }
        | HandlerError::UpstreamTimedOut { .. } => {
            tracing::warn!(kind = "handler", %service, %sid, %client, "{error}");
        }
        // The client's doing, and its loss.
        _ => tracing::debug!(kind = "handler", %service, %sid, %client, "{error}"),
    }
}

fn refused(info: &ConnInfo, kind: &str, reason: &str) {
    tracing::debug!(kind, service = %info.service, sid = %info.sid, client = %info.client, "{reason}");
}

/// Takes a PROXY header off the connection. One that doesn't come in time is none; GOST too.
async fn proxy_header(conn: &mut Buffered) -> Result<Option<Addresses>, HandlerError> {
    let read = async {
        loop {
            let parsed = Header::parse(&conn.received);
            match parsed.map_err(|error| HandlerError::BadRequest(error.to_string()))? {
                Some(header) => return Ok(header),
                None if conn.fill().await.map_err(HandlerError::Client)? > 0 => {}
                None => return Err(HandlerError::Client(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    };
    match timeout(PROXY_TIME, read).await {
        Ok(header) => {
            let header: Header = header?;
            bytes::Buf::advance(&mut conn.received, header.length);
            Ok(header.addresses)
        }
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::handler::{HandlerParts, http};
    use crate::tls::{Certificate, ClientSettings, Generated, Options, ServerSettings, TlsClient};

    fn service(counters: Option<Arc<Counters>>, layer: Layer) -> Service {
        Service {
            name: "s".into(),
            accept_proxy: true,
            admission: None,
            conn_limiter: None,
            rate_limiter: None,
            shaper: None,
            client_recorder: None,
            counters,
            metrics: None,
            layer,
            mux: None,
            handshake_timeout: Duration::from_secs(15),
            handler: Handler::Http(http::Http::new(HandlerParts::default(), http::Settings::default())),
        }
    }

    #[tokio::test]
    async fn a_connection_costs_little_while_it_waits() {
        let service = Arc::new(service(None, Layer::Plain));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let stream = TcpStream::connect(local).await.unwrap();
        let accepted =
            Accepted { transport: Transport::Stream(stream.into()), client: local.into(), local: local.into() };
        let future = service.serve(accepted, "tcp", &|| "".into(), CancellationToken::new());
        assert!(size_of_val(&future) < 6 * 1024, "{} bytes", size_of_val(&future));
    }

    #[tokio::test]
    async fn bytes_count_below_tls() {
        let counters = Arc::new(Counters::default());
        let generated = Generated {
            validity: Duration::from_secs(86_400),
            common_name: "test".to_owned(),
            organization: "test".to_owned(),
        };
        let certificate = Certificate::Generated(generated);
        let settings = ServerSettings { certificate, client_ca: None, options: Options::default() };
        let service = Arc::new(service(Some(Arc::clone(&counters)), Layer::Tls(TlsServer::new(&settings).unwrap())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let client = async {
            let stream = Buffered::new(TcpStream::connect(local).await.unwrap());
            let tls = TlsClient::new(&ClientSettings::default()).unwrap();
            let stream = tls.connect(stream).await.unwrap();
            stream.close_write().await.unwrap();
            // However it ends, it has ended.
            let _ = stream.read(1).await;
        };
        let serving = async {
            let (stream, peer) = listener.accept().await.unwrap();
            let transport = Transport::Stream(stream.into());
            let accepted = Accepted { transport, client: peer.into(), local: local.into() };
            service.serve(accepted, "tcp", &|| "".into(), CancellationToken::new()).await;
        };
        tokio::join!(client, serving);
        let (input, output) = (counters.input.load(Relaxed), counters.output.load(Relaxed));
        assert!(input > 200 && output > 200, "a handshake and nothing in it: {input}, {output}");
    }
}
