//! Bodies that are rewritten: which, by whom, and how they come out of their encodings and back.

mod encoding;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use drawspan_wire::http1::{BodyLength, BodyScanner, Headers, RequestHead};
use serde_json::{Value, json};

use self::encoding::Encoding;
use super::HandlerError;
use super::written::Written;
use crate::handler::session::Session;
use crate::net::{self, Activity, BodyError, Buffered, Flow, Held, Meters, hold_body};
use crate::router::{BodyRewrite, Rewrite};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is rewritten, for the rewriter.
pub(super) struct Subject<'s> {
    pub(super) direction: Direction,
    /// The request's target.
    pub(super) uri: &'s str,
    pub(super) sid: &'s str,
}

pub(super) enum Direction {
    Request,
    Response,
}

/// Where in an event stream something stands.
pub(super) enum Phase {
    /// An event, by its number.
    Event(u64),
    /// Behind the last event; how many there were, and what broke the stream.
    End(u64, Option<String>),
}

impl Subject<'_> {
    /// As JSON text (GOST reference, modules 2.13).
    fn metadata(&self, phase: Option<&Phase>) -> String {
        let direction = match self.direction {
            Direction::Request => "request",
            Direction::Response => "response",
        };
        // In the order of Go, which is the alphabet's.
        let mut metadata: BTreeMap<&str, Value> = BTreeMap::new();
        metadata.extend([("direction", direction.into()), ("sid", self.sid.into()), ("uri", self.uri.into())]);
        let (name, index, error) = match phase {
            None => return json!(metadata).to_string(),
            Some(Phase::Event(0)) => ("start", 0, None),
            Some(Phase::Event(index)) => ("event", *index, None),
            Some(Phase::End(index, error)) => ("end", *index, error.as_ref()),
        };
        metadata.extend([("sse_phase", name.into()), ("event_index", index.into())]);
        metadata.extend(error.map(|error| ("stream_error", error.as_str().into())));
        json!(metadata).to_string()
    }
}

/// The rules for a body.
pub(super) struct Plan<'p> {
    rules: Vec<&'p BodyRewrite>,
    /// Bytes, in whatever encoding; a longer body passes as it is.
    pub(super) limit: usize,
    encoding: Encoding,
    events: bool,
}

impl<'p> Plan<'p> {
    /// `None` if a body with these headers isn't to be touched, or can't be.
    pub(super) fn of(rules: &'p [BodyRewrite], headers: &Headers<'_>) -> Option<Self> {
        let text =
            |name| headers.get(name).map(String::from_utf8_lossy).unwrap_or_default().trim().to_ascii_lowercase();
        let media_type = text("content-type").split(';').next().unwrap_or_default().trim().to_owned();
        let applies = |rule: &&BodyRewrite| rule.types.as_ref().is_none_or(|types| types.contains(&media_type));
        let rules: Vec<_> = rules.iter().filter(applies).collect();
        let limit = rules.iter().map(|rule| rule.max_size).max()?;
        // GOST: what is encoded in a way that it doesn't know is rewritten as it is.
        let encoding = Encoding::of(&text("content-encoding"))?;
        let events = media_type == "text/event-stream";
        // An encoded stream can't be taken apart.
        (!events || encoding == Encoding::Identity).then_some(Self { rules, limit, encoding, events })
    }

    pub(super) fn is_for_events(&self) -> bool {
        self.events
    }

    /// Whether a body of that length is not too long from the start.
    pub(super) fn admits(&self, length: BodyLength) -> bool {
        !matches!(length, BodyLength::Sized(length) if length > self.limit as u64)
    }

    /// The new body in the old encoding, or `None` if it stays as it is.
    pub(super) async fn apply(&self, subject: &Subject<'_>, content: Vec<u8>) -> Option<Vec<u8>> {
        let decoded = if content.is_empty() { content } else { self.encoding.decode(content, self.limit).await? };
        let new = self.rewrite(decoded, &subject.metadata(None)).await?;
        self.encoding.encode(new).await
    }

    /// The new event, or `None` if it stays as it is.
    pub(super) async fn apply_to_event(&self, subject: &Subject<'_>, event: Vec<u8>, phase: Phase) -> Option<Vec<u8>> {
        self.rewrite(event, &subject.metadata(Some(&phase))).await
    }

    async fn rewrite(&self, mut body: Vec<u8>, metadata: &str) -> Option<Vec<u8>> {
        let mut changed = false;
        for rule in &self.rules {
            let matches = || rule.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&body));
            let new = match &rule.rewrite {
                // Asked about nothing too: it may put something there.
                Rewrite::Ask(rewriter) if body.is_empty() || matches() => {
                    rewriter.rewrite(body.clone(), Some(metadata.to_owned())).await
                }
                Rewrite::Replace(text) if matches() => {
                    let replaced =
                        |pattern: &regex::bytes::Regex| pattern.replace_all(&body, text.as_bytes()).into_owned();
                    rule.pattern.as_ref().map(replaced)
                }
                _ => None,
            };
            if let Some(new) = new {
                changed |= new != body;
                body = new;
            }
        }
        changed.then_some(body)
    }
}

/// What a request's body has become.
pub(in crate::handler) struct Rewritten {
    /// Goes upstream behind the head.
    pub(in crate::handler) bytes: Bytes,
    /// Of another length than the head says: this one.
    pub(in crate::handler) length: Option<usize>,
    /// What is still to come from the client.
    pub(in crate::handler) rest: BodyScanner,
}

/// Rewrites a request's body, which is read for that; `None` if it isn't to be touched. A client that waits for leave to
/// send it gets that.
#[allow(clippy::too_many_arguments, reason = "where from, by what, and who is told")]
pub(in crate::handler) async fn rewrite_request(
    session: &Session<'_>,
    client: &mut Buffered,
    head: &RequestHead<'_>,
    length: BodyLength,
    rules: &[BodyRewrite],
    meters: &Meters,
    record: &Written<'_>,
    idle: Option<Duration>,
) -> Result<Option<Rewritten>, HandlerError> {
    let Some(plan) = Plan::of(rules, &head.headers).filter(|plan| plan.admits(length)) else { return Ok(None) };
    let Buffered { stream, received } = client;
    if received.is_empty() && length != BodyLength::None && head.headers.has_token("expect", "100-continue") {
        stream.write_all(CONTINUE).await.map_err(HandlerError::Client)?;
        session.traffic.count(net::Direction::Down, CONTINUE.len());
    }
    let activity = Activity::new();
    let held = tokio::select! {
        held = hold_body(stream, received, BodyScanner::new(length), plan.limit, &activity) => held,
        () = activity.idle(idle) => return Err(HandlerError::Idle),
    };
    let held = held.map_err(|error| match error {
        BodyError::Read(error) | BodyError::Write(error) => HandlerError::Client(error),
        BodyError::Malformed(error) => HandlerError::BadRequest(error.to_string()),
    })?;
    let (up, _) = Flow::both(&session.traffic, meters, &activity);
    let hear = |content: &[u8]| record.request_tap().iter().for_each(|tap| tap.hear(content));
    let (bytes, length, rest) = match held {
        Held::Longer { bytes, rest } => {
            up.moved(bytes.len()).await;
            // It was well-formed a moment ago.
            let _ = BodyScanner::new(length).decode(&bytes, hear);
            (bytes.freeze(), None, rest)
        }
        Held::Whole { content, bytes } => {
            up.moved(bytes.len()).await;
            let subject = Subject { direction: Direction::Request, uri: head.target, sid: &session.info.sid };
            let none = BodyScanner::new(BodyLength::None);
            match plan.apply(&subject, content.clone()).await {
                Some(new) => {
                    hear(&new);
                    let length = new.len();
                    (new.into(), Some(length), none)
                }
                None => {
                    hear(&content);
                    (bytes.freeze(), None, none)
                }
            }
        }
    };
    Ok(Some(Rewritten { bytes, length, rest }))
}
