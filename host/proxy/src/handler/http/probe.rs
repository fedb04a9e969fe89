//! What a client that may not use the proxy gets: a 407, or something that doesn't look like a proxy at all.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use drawspan_modules::ClientId;
use drawspan_wire::http1::{
    BodyLength, BodyScanner, HeadScanner, HostPort, RequestHead, ResponseHead, Version, url_host,
};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::answer::{self, After};
use super::{Asked, HandlerError, Http, Next, ProbeResist, Session, Tunnel, WebPage, status};
use crate::Router;
use crate::handler::exchange::Persistence;
use crate::net::{Activity, BodyError, Buffer, Buffered, Flow, HeadReadError, Meters, read_head, relay_body};
use crate::tls::{ClientSettings, TlsClient};

/// For a page or a file to reach the client, all in all.
const DECOY_TIME: Duration = Duration::from_secs(15);

impl Http {
    /// Answers a request that failed to authenticate (GOST reference, dataplane 7).
    pub(super) async fn refuse(
        &self,
        session: &Session<'_>,
        client: &mut Buffered,
        bytes: &Bytes,
        head: &RequestHead<'_>,
    ) -> Result<Next, HandlerError> {
        tracing::debug!(
            kind = "handler",
            handler = session.handler,
            service = %session.info.service,
            sid = %session.info.sid,
            client = %session.info.client,
            "proxy authentication required"
        );
        session.note(|record| record.err = "authentication failed".to_owned());
        match &self.settings.probe_resist {
            Some(probe_resist) if !self.knocks(head) => self.decoy(session, client, bytes, probe_resist).await,
            _ => {
                status(session, 407);
                self.answer(session, client, &self.authentication_required(head)).await?;
                Ok(Next::Close)
            }
        }
    }

    /// Whether the client knows the secret host, which may be any host's name, existing or not.
    fn knocks(&self, head: &RequestHead<'_>) -> bool {
        let host = url_host(head);
        host.is_some_and(|host| self.settings.knock.iter().any(|knock| knock.eq_ignore_ascii_case(host)))
    }

    fn authentication_required(&self, head: &RequestHead<'_>) -> Vec<u8> {
        let authenticate = format!("Basic realm=\"{}\"", self.settings.realm);
        let own = [("Proxy-Authenticate", authenticate.as_str()), ("Proxy-Connection", "close")];
        let kept = head.headers.get("proxy-connection").is_some_and(|value| value.eq_ignore_ascii_case(b"keep-alive"));
        answer::refusal(&self.settings, 407, if kept { &own } else { &own[..1] })
    }

    async fn decoy(
        &self,
        session: &Session<'_>,
        client: &mut Buffered,
        bytes: &Bytes,
        probe_resist: &ProbeResist,
    ) -> Result<Next, HandlerError> {
        let shown = match probe_resist {
            ProbeResist::Code(code) => {
                self.refusal(session, client, *code, &[]).await?;
                return Ok(Next::Close);
            }
            ProbeResist::Host(address) => match dial(address).await {
                Ok(upstream) => {
                    let asked = Asked { target: address.clone(), user: None, client_id: ClientId::from(String::new()) };
                    // The bytes as they came: the server judges them as if it had been asked itself.
                    let replay = bytes.clone();
                    return Ok(Next::Tunnel(Tunnel { upstream, asked, replay, sniffed: false, frames: None }));
                }
                Err(error) => Err(error),
            },
            ProbeResist::Web(page) => bounded(self.show_page(session, client, page)).await,
            ProbeResist::File(path) => bounded(self.show_file(session, client, path)).await,
        };
        match shown {
            Ok(()) => {}
            Err(Undone::Unanswered(reason)) => {
                tracing::warn!(service = %session.info.service, sid = %session.info.sid, "probeResist: {reason}");
                self.answer(session, client, &answer::refusal(&self.settings, 503, &[])).await?;
            }
            Err(Undone::CutShort) => {}
        }
        Ok(Next::Close)
    }

    /// GOST: follows redirects; here the client gets to see them.
    async fn show_page(&self, session: &Session<'_>, client: &Buffered, page: &WebPage) -> Result<(), Undone> {
        let plain = dial(&page.address).await?;
        let Buffered { stream, mut received } = match page.tls {
            true => Buffered::new(self.decoy_tls(page)?.connect(plain).await?),
            false => plain,
        };
        let head =
            RequestHead { method: "GET", target: &page.path, version: Version::Http11, headers: Default::default() };
        stream.write_all(&answer::request(&head, &page.authority, &page.path, After::Close, false)).await?;
        let response = read_head(&stream, &mut received, HeadScanner::response()).await?;
        let bytes = response.ok_or_else(|| Undone::Unanswered("no response".to_owned()))?;
        let broken = |reason: &dyn ToString| Undone::Unanswered(reason.to_string());
        let response = ResponseHead::parse(&bytes).map_err(|error| broken(&error))?;
        if response.status < 200 {
            return Err(broken(&"interim response"));
        }
        let length = BodyLength::of_response(&response, "GET").map_err(|error| broken(&error))?;
        let head = answer::response(&response, Version::Http11, Some(Persistence::Close));
        self.answer(session, client, &head).await.map_err(|_| Undone::CutShort)?;
        let (meters, activity) = (Meters::default(), Activity::new());
        let (_, down) = Flow::both(&session.traffic, &meters, &activity);
        let relayed: Result<(), BodyError> =
            relay_body(&stream, &mut received, &client.stream, BodyScanner::new(length), down, None).await;
        relayed.map_err(|_| Undone::CutShort)
    }

    fn decoy_tls(&self, page: &WebPage) -> Result<&TlsClient, Undone> {
        if let Some(tls) = self.decoy_tls.get() {
            return Ok(tls);
        }
        let settings =
            ClientSettings { secure: true, server_name: Some(page.address.host.clone()), ..ClientSettings::default() };
        let tls = TlsClient::new(&settings).map_err(|error| Undone::Unanswered(error.to_string()))?;
        Ok(self.decoy_tls.get_or_init(|| tls))
    }

    async fn show_file(&self, session: &Session<'_>, client: &Buffered, path: &Path) -> Result<(), Undone> {
        let file = File::open(path).await?;
        let length = file.metadata().await?.len();
        let mut head = answer::own_head(&self.settings, 200, &[("Content-Type", "text/html")]);
        head.extend(format!("Content-Length: {length}\r\n\r\n").into_bytes());
        self.answer(session, client, &head).await.map_err(|_| Undone::CutShort)?;
        let mut file = file.take(length);
        loop {
            let mut buffer = Buffer::take();
            match file.read(&mut buffer).await {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    self.answer(session, client, &buffer[..read]).await.map_err(|_| Undone::CutShort)?;
                }
                Err(_) => return Err(Undone::CutShort),
            }
        }
    }
}

/// Why a decoy was not shown in full.
enum Undone {
    /// The client has seen nothing yet.
    Unanswered(String),
    /// Too late to say something else.
    CutShort,
}

impl From<io::Error> for Undone {
    fn from(error: io::Error) -> Self {
        Self::Unanswered(error.to_string())
    }
}

impl From<HeadReadError> for Undone {
    fn from(error: HeadReadError) -> Self {
        Self::Unanswered(error.to_string())
    }
}

async fn bounded(work: impl Future<Output = Result<(), Undone>>) -> Result<(), Undone> {
    timeout(DECOY_TIME, work).await.unwrap_or(Err(Undone::CutShort))
}

/// Directly, as GOST does: decoys are nobody's business up the chain.
async fn dial(address: &HostPort) -> Result<Buffered, Undone> {
    let router = Router { dial_timeout: DECOY_TIME, ..Router::default() };
    router.direct(address).await.map(Buffered::new).map_err(|error| Undone::Unanswered(error.to_string()))
}
