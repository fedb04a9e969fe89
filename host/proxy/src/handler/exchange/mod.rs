//! [`Exchange`]: one request passed on to its origin, and the response passed back (RFC 9110 §7.6, RFC 9112 §9).

mod chunks;
pub(super) mod heads;
mod inflate;
mod response;
mod rewrite;
mod stream;
mod upload;
mod written;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use drawspan_wire::http1::{BodyLength, BodyScanner, HeadScanner, HostPort, RequestHead, ResponseHead, Version};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(super) use self::heads::Persistence;
pub(super) use self::response::Manner;
pub(super) use self::rewrite::rewrite_request;
pub(super) use self::written::Written;

use self::upload::Upload;
use super::HandlerError;
use super::frames::Frames;
use super::session::Session;
use crate::net::{Activity, BodyError, Buffered, Flow, HeadReadError, Meters, Stream, Tap, read_head, relay_body};

/// Responses with a status below 200 that an origin may send before the final one; more than a few are an attack.
const MAX_INTERIM: usize = 16;

/// How an exchange left the client's connection.
pub(super) enum Outcome {
    Keep,
    Close,
    /// What follows isn't HTTP any more; perhaps a websocket whose frames are to be recorded.
    Upgraded(Option<Box<Frames>>),
}

/// A request on its way.
pub(super) struct Request<'r> {
    pub(super) head: &'r RequestHead<'r>,
    /// It asks for another protocol.
    pub(super) upgrade: bool,
    /// Bytes of the head, if they count for the client.
    pub(super) counted: usize,
    /// Its body as far as the client still has to send it.
    pub(super) body: BodyScanner,
    /// What goes to the origin in front of that.
    pub(super) sent: Vec<u8>,
    /// Where it goes, for errors.
    pub(super) target: &'r HostPort,
    /// How the response goes back.
    pub(super) manner: Manner<'r>,
}

/// What an exchange shares with who started it, and who has to know how far it came.
pub(super) struct Exchange<'e> {
    pub(super) session: &'e Session<'e>,
    pub(super) request: Request<'e>,
    pub(super) record: &'e Written<'e>,
    pub(super) drain: &'e CancellationToken,
    pub(super) meters: &'e Meters,
    pub(super) activity: Activity,
    /// Whether the client was sent anything of the final response; then nothing else can be said.
    pub(super) answered: AtomicBool,
    /// Whether the origin takes another request on its connection.
    reusable: AtomicBool,
    /// Bounds the wait for the origin's response head once the request was sent.
    pub(super) read_timeout: Duration,
}

impl<'e> Exchange<'e> {
    pub(super) fn new(
        session: &'e Session<'e>,
        request: Request<'e>,
        record: &'e Written<'e>,
        drain: &'e CancellationToken,
        meters: &'e Meters,
        read_timeout: Duration,
    ) -> Self {
        let (activity, answered, reusable) = (Activity::new(), AtomicBool::new(false), AtomicBool::new(false));
        Self { session, request, record, drain, meters, activity, answered, reusable, read_timeout }
    }

    /// Passes the request on and the response back; ends when no byte has moved for `idle`.
    pub(super) async fn run(
        &self,
        client: &mut Buffered,
        upstream: &mut Buffered,
        idle: Option<Duration>,
    ) -> Result<Outcome, HandlerError> {
        let outcome = tokio::select! {
            outcome = self.pass(client, upstream) => outcome,
            () = self.activity.idle(idle) => Err(HandlerError::Idle),
        };
        outcome.inspect_err(|error| self.record.note(|record| record.err = error.to_string()))
    }

    /// Whether another request may be sent to the origin, after an exchange that left the client's connection open.
    pub(super) fn leaves_upstream_open(&self) -> bool {
        self.reusable.load(Relaxed)
    }

    /// What the client can still be told of an error.
    pub(super) fn status_of(&self, error: &HandlerError) -> Option<u16> {
        // GOST: 503 whatever the reason.
        let status = match error {
            HandlerError::BadRequest(_) => 400,
            HandlerError::Upstream { .. } => 502,
            HandlerError::UpstreamTimedOut { .. } | HandlerError::Idle => 504,
            _ => return None,
        };
        (!self.answered.load(Relaxed)).then_some(status)
    }

    async fn pass(&self, client: &mut Buffered, upstream: &mut Buffered) -> Result<Outcome, HandlerError> {
        let Buffered { stream: client, received: from_client } = client;
        let Buffered { stream: upstream, received: from_upstream } = upstream;
        let Request { head, sent, manner, .. } = &self.request;
        let (up, down) = Flow::both(&self.session.traffic, self.meters, &self.activity);
        let upload = async {
            up.moved(self.request.counted).await;
            upstream.write_all(sent).await.map_err(BodyError::Write)?;
            let body = self.request.body.clone();
            relay_body(client, from_client, upstream, body, up, self.record.request_tap()).await
        };
        let mut upload = Upload { exchange: self, client, future: pin!(upload), outcome: None };

        let mut interim = 0;
        let bytes = loop {
            let read = read_head(upstream, from_upstream, HeadScanner::response());
            let bytes = match upload.beside(read, Some(self.read_timeout)).await? {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Err(self.upstream_failed("closed without a response")),
                Err(HeadReadError::Io(error)) => return Err(self.upstream_failed(error)),
                Err(HeadReadError::Head(error)) => return Err(self.upstream_failed(error)),
            };
            let response = ResponseHead::parse(&bytes).map_err(|error| self.upstream_failed(error))?;
            match response.status {
                101 if self.request.upgrade && upload.is_complete() && switches_as_asked(head, &response) => {
                    return self.upgrade(client, &bytes, &response).await;
                }
                101 => return Err(self.upstream_failed("switched protocols unasked")),
                100..200 if interim == MAX_INTERIM => return Err(self.upstream_failed("too many interim responses")),
                100..200 => {
                    interim += 1;
                    // HTTP/1.0 doesn't know them (RFC 9110 §15.2).
                    if head.version == Version::Http11 {
                        self.tell(client, &bytes, &response).await?;
                    }
                }
                // A proxy behind a tunnel, or behind a forwarder.
                200..300 if head.method == "CONNECT" => return self.upgrade(client, &bytes, &response).await,
                _ => break bytes,
            }
        };

        let response = ResponseHead::parse(&bytes).map_err(|error| self.upstream_failed(error))?;
        let length = BodyLength::of_response(&response, head.method).map_err(|error| self.upstream_failed(error))?;
        if length == BodyLength::Chunked && head.version == Version::Http10 {
            return Err(self.upstream_failed("chunked response to an HTTP/1.0 request"));
        }
        self.record.answered(&response);
        self.reusable.store(response.keeps_alive(), Relaxed);
        // With a response before the request is complete nobody knows whether the rest of it will come.
        let keep = upload.is_complete()
            && head.keeps_alive()
            && manner.keeps_alive(&response)
            && length != BodyLength::UntilClose
            && !self.drain.is_cancelled();
        let download = self.respond(&bytes, &response, length, keep, upstream, from_upstream, client, down);
        match upload.beside(download, None).await? {
            Ok(()) if keep => Ok(Outcome::Keep),
            Ok(()) => Ok(Outcome::Close),
            Err(BodyError::Write(error)) => Err(HandlerError::Client(error)),
            Err(BodyError::Read(error)) => Err(self.upstream_failed(error)),
            Err(BodyError::Malformed(error)) => Err(self.upstream_failed(error)),
        }
    }

    /// Passes on the head after which something else than HTTP is spoken.
    async fn upgrade(
        &self,
        client: &Stream,
        bytes: &Bytes,
        response: &ResponseHead<'_>,
    ) -> Result<Outcome, HandlerError> {
        self.answered.store(true, Relaxed);
        self.record.answered(response);
        self.tell(client, bytes, response).await?;
        Ok(Outcome::Upgraded(self.frames()))
    }

    fn frames(&self) -> Option<Box<Frames>> {
        let (parts, head) = (self.session.parts, self.request.head);
        let rate = parts.websocket?;
        let is_websocket = head.headers.get("upgrade")?.eq_ignore_ascii_case(b"websocket");
        let recorder = parts.recorder.clone().filter(|_| is_websocket)?;
        Some(Box::new(Frames { record: self.record.copy()?, recorder, rate }))
    }

    /// Passes on the head of a response that isn't the last one, or has nothing behind it.
    async fn tell(&self, client: &Stream, bytes: &Bytes, response: &ResponseHead<'_>) -> Result<(), HandlerError> {
        let head = self.request.manner.head(bytes, response, self.request.head.version, None);
        send(self.session, client, self.read_timeout, &head).await
    }

    fn upstream_failed(&self, reason: impl ToString) -> HandlerError {
        HandlerError::Upstream { target: self.request.target.to_string(), reason: reason.to_string() }
    }

    /// What listens to the response's body.
    fn response_tap(&self) -> Option<&Tap> {
        self.record.response_tap()
    }
}

/// Writes `bytes` to the client within `limit`.
pub(super) async fn send(
    session: &Session<'_>,
    client: &Stream,
    limit: Duration,
    bytes: &[u8],
) -> Result<(), HandlerError> {
    let written = timeout(limit, client.write_all(bytes)).await;
    written.map_err(|_| HandlerError::ClientTimedOut)?.map_err(HandlerError::Client)?;
    session.answered(bytes.len());
    Ok(())
}

/// Whether a request asks for another protocol in a way that can be passed on: not with a body, behind which the new
/// protocol would begin.
pub(super) fn wants_upgrade(head: &RequestHead<'_>, length: BodyLength) -> bool {
    head.version == Version::Http11
        && matches!(length, BodyLength::None | BodyLength::Sized(0))
        && head.headers.has_token("connection", "upgrade")
        && head.headers.get("upgrade").is_some()
}

fn switches_as_asked(head: &RequestHead<'_>, response: &ResponseHead<'_>) -> bool {
    let protocol = response.headers.get("upgrade").and_then(|protocol| std::str::from_utf8(protocol).ok());
    protocol.is_some_and(|protocol| head.headers.has_token("upgrade", protocol))
}
