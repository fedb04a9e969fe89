//! One request passed on to its origin, and the response passed back (RFC 9110 §7.6, RFC 9112 §9).

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use drawspan_wire::http1::{BodyLength, BodyScanner, HeadScanner, RequestHead, ResponseHead, Version};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::answer::{self, Persistence};
use super::{Asked, HandlerError, Http, Next, Session, Tunnel, send};
use crate::handler::record::{HttpRecord, Record};
use crate::net::{Activity, BodyError, Buffered, Flow, HeadReadError, Meters, Stream, read_head, relay_body};

/// Responses with a status below 200 that an origin may send before the final one; more than a few are an attack.
const MAX_INTERIM: usize = 16;

/// A request that names its origin.
pub(super) struct Forward<'r> {
    pub(super) head: &'r RequestHead<'r>,
    pub(super) authority: &'r str,
    pub(super) path: &'r str,
    pub(super) length: BodyLength,
    pub(super) asked: Asked,
}

/// How an exchange left the client's connection.
enum Outcome {
    Keep,
    Close,
    Upgraded,
}

/// What an exchange shares with who started it, and who has to know how far it came.
struct Exchange<'e> {
    session: &'e Session<'e>,
    request: &'e Forward<'e>,
    record: &'e Written<'e>,
    drain: &'e CancellationToken,
    meters: Meters,
    activity: Activity,
    /// Whether the client was sent anything of the final response; then nothing else can be said.
    answered: AtomicBool,
    /// Bounds the wait for the origin's response head once the request was sent.
    read_timeout: Duration,
}

impl Http {
    pub(super) async fn forward(
        &self,
        session: &Session<'_>,
        client: &mut Buffered,
        request: Forward<'_>,
        drain: &CancellationToken,
    ) -> Result<Next, HandlerError> {
        let _piping = session.piping(request.asked.clone());
        let dialed = session.dial(&request.asked).await;
        let before = session.traffic.totals();
        let mut record = session.exchange_record(&request.asked);
        if let Some(record) = &mut record {
            record.proto = "http";
            record.http = Some(HttpRecord::of(request.head, request.authority));
            match &dialed {
                Ok(upstream) => upstream.note(record),
                Err(error) => record.err = error.to_string(),
            }
        }
        let record = Written { record: Mutex::new(record), session, before };
        let mut upstream = match dialed {
            Ok(upstream) => upstream.conn,
            Err(error) => {
                self.answer(session, client, &answer::failure(503)).await?;
                return Err(error.into());
            }
        };
        let exchange = Exchange {
            session,
            request: &request,
            record: &record,
            drain,
            meters: session.meters(&request.asked).await,
            activity: Activity::new(),
            answered: AtomicBool::new(false),
            read_timeout: self.settings.read_timeout,
        };
        let outcome = tokio::select! {
            outcome = exchange.run(client, &mut upstream) => outcome,
            () = exchange.activity.idle(self.settings.idle_timeout) => Err(HandlerError::Idle),
        };
        match outcome {
            Ok(Outcome::Keep) => Ok(Next::Again),
            Ok(Outcome::Close) => Ok(Next::Close),
            Ok(Outcome::Upgraded) => {
                Ok(Next::Tunnel(Tunnel { upstream, asked: request.asked.clone(), replay: Bytes::new() }))
            }
            Err(error) => {
                record.note(|record| record.err = error.to_string());
                // The origin must not be left with half a request while the client is told.
                drop(upstream);
                // GOST: 503 whatever the reason.
                let status = match &error {
                    HandlerError::BadRequest(_) => Some(400),
                    HandlerError::Upstream { .. } => Some(502),
                    HandlerError::UpstreamTimedOut { .. } | HandlerError::Idle => Some(504),
                    _ => None,
                };
                if let Some(status) = status
                    && !exchange.answered.load(Relaxed)
                {
                    self.answer(session, client, &answer::failure(status)).await?;
                }
                Err(error)
            }
        }
    }
}

/// The record of an exchange, written when it is over, however it ends.
struct Written<'w> {
    record: Mutex<Option<Record>>,
    session: &'w Session<'w>,
    /// Bytes that moved before it.
    before: (u64, u64),
}

impl Written<'_> {
    fn note(&self, add: impl FnOnce(&mut Record)) {
        if let Some(record) = self.record.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            add(record);
        }
    }

    fn answered(&self, response: &ResponseHead<'_>) {
        self.note(|record| {
            if let Some(http) = &mut record.http {
                http.answered(response);
            }
        });
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        let (input, output) = self.session.traffic.totals();
        let record = self.record.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(mut record), Some(recorder)) = (record, &self.session.parts.recorder) {
            record.input_bytes = input - self.before.0;
            record.output_bytes = output - self.before.1;
            record.write(recorder);
        }
    }
}

impl Exchange<'_> {
    async fn run(&self, client: &mut Buffered, upstream: &mut Buffered) -> Result<Outcome, HandlerError> {
        let Buffered { stream: client, received: from_client } = client;
        let Buffered { stream: upstream, received: from_upstream } = upstream;
        let Forward { head, authority, path, length, .. } = *self.request;
        let upgrade = wants_upgrade(head, length);
        let (up, down) = Flow::both(&self.session.traffic, &self.meters, &self.activity);
        let upload = async {
            let head = answer::request(head, authority, path, upgrade);
            upstream.write_all(&head).await.map_err(BodyError::Write)?;
            relay_body(client, from_client, upstream, BodyScanner::new(length), up).await
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
                101 if upgrade && upload.is_complete() && switches_as_asked(head, &response) => {
                    self.answered.store(true, Relaxed);
                    self.record.answered(&response);
                    self.tell(client, &response, None).await?;
                    return Ok(Outcome::Upgraded);
                }
                101 => return Err(self.upstream_failed("switched protocols unasked")),
                100..200 if interim == MAX_INTERIM => return Err(self.upstream_failed("too many interim responses")),
                100..200 => {
                    interim += 1;
                    // HTTP/1.0 doesn't know them (RFC 9110 §15.2).
                    if head.version == Version::Http11 {
                        self.tell(client, &response, None).await?;
                    }
                }
                _ => break bytes,
            }
        };

        let response = ResponseHead::parse(&bytes).map_err(|error| self.upstream_failed(error))?;
        let length = BodyLength::of_response(&response, head.method).map_err(|error| self.upstream_failed(error))?;
        if length == BodyLength::Chunked && head.version == Version::Http10 {
            return Err(self.upstream_failed("chunked response to an HTTP/1.0 request"));
        }
        self.record.answered(&response);
        // With a response before the request is complete nobody knows whether the rest of it will come.
        let keep = upload.is_complete()
            && head.keeps_alive()
            && length != BodyLength::UntilClose
            && !self.drain.is_cancelled();
        let persistence = if keep { Persistence::Keep(head.version) } else { Persistence::Close };
        self.answered.store(true, Relaxed);
        let download = async {
            let head = answer::response(&response, head.version, Some(persistence));
            client.write_all(&head).await.map_err(BodyError::Write)?;
            down.moved(head.len()).await;
            relay_body(upstream, from_upstream, client, BodyScanner::new(length), down).await
        };
        match upload.beside(download, None).await? {
            Ok(()) if keep => Ok(Outcome::Keep),
            Ok(()) => Ok(Outcome::Close),
            Err(BodyError::Write(error)) => Err(HandlerError::Client(error)),
            Err(BodyError::Read(error)) => Err(self.upstream_failed(error)),
            Err(BodyError::Malformed(error)) => Err(self.upstream_failed(error)),
        }
    }

    /// Passes on the head of a response that isn't the last one.
    async fn tell(
        &self,
        client: &Stream,
        response: &ResponseHead<'_>,
        persistence: Option<Persistence>,
    ) -> Result<(), HandlerError> {
        let head = answer::response(response, self.request.head.version, persistence);
        send(self.session, client, self.read_timeout, &head).await
    }

    fn upstream_failed(&self, reason: impl ToString) -> HandlerError {
        HandlerError::Upstream { target: self.request.asked.target.to_string(), reason: reason.to_string() }
    }
}

/// Whether a request asks for another protocol in a way that can be passed on: not with a body, behind which the new
/// protocol would begin.
fn wants_upgrade(head: &RequestHead<'_>, length: BodyLength) -> bool {
    head.version == Version::Http11
        && matches!(length, BodyLength::None | BodyLength::Sized(0))
        && head.headers.has_token("connection", "upgrade")
        && head.headers.get("upgrade").is_some()
}

fn switches_as_asked(head: &RequestHead<'_>, response: &ResponseHead<'_>) -> bool {
    let protocol = response.headers.get("upgrade").and_then(|protocol| std::str::from_utf8(protocol).ok());
    protocol.is_some_and(|protocol| head.headers.has_token("upgrade", protocol))
}

/// The request on its way to the origin, while something else is waited for.
struct Upload<'u, F> {
    exchange: &'u Exchange<'u>,
    client: &'u Stream,
    future: Pin<&'u mut F>,
    outcome: Option<Result<(), BodyError>>,
}

impl<F: Future<Output = Result<(), BodyError>>> Upload<'_, F> {
    /// Whether the whole request was sent.
    fn is_complete(&self) -> bool {
        matches!(self.outcome, Some(Ok(())))
    }

    /// Waits for `work` while the request is being sent; for `limit` at most once it was.
    ///
    /// A client that fails ends everything. An origin that takes no more of the request may still answer it.
    async fn beside<T>(&mut self, work: impl Future<Output = T>, limit: Option<Duration>) -> Result<T, HandlerError> {
        let mut work = pin!(work);
        let mut deadline = self.deadline(limit);
        loop {
            tokio::select! {
                // The request first: a response to the last of it must find it complete.
                biased;
                outcome = self.future.as_mut(), if self.outcome.is_none() => {
                    match outcome {
                        Err(BodyError::Read(error)) => return Err(HandlerError::Client(error)),
                        Err(BodyError::Malformed(error)) => return Err(HandlerError::BadRequest(error.to_string())),
                        outcome => self.outcome = Some(outcome),
                    }
                    deadline = self.deadline(limit);
                }
                done = &mut work => return Ok(done),
                error = self.client.failed() => return Err(HandlerError::Client(error)),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Err(HandlerError::UpstreamTimedOut { target: self.exchange.request.asked.target.to_string() });
                }
            }
        }
    }

    fn deadline(&self, limit: Option<Duration>) -> Option<Instant> {
        limit.filter(|_| self.outcome.is_some()).map(|limit| Instant::now() + limit)
    }
}
