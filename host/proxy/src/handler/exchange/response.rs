//! How a response goes back to the client.

use std::sync::atomic::Ordering::Relaxed;

use bytes::{Bytes, BytesMut};
use drawspan_wire::http1::{BodyLength, BodyScanner, ResponseHead, Version};

use super::chunks::Chunks;
use super::heads::{self, Edits, Persistence};
use super::inflate;
use super::rewrite::{Direction, Plan, Subject};
use super::{Exchange, stream};
use crate::handler::http::answer;
use crate::net::{BodyError, Flow, Held, Stream, hold_body, relay_body};
use crate::router::NodeHttp;

/// How responses are passed on.
pub(in crate::handler) enum Manner<'m> {
    /// By a proxy that its client knows of.
    Proxied {
        /// The client didn't ask for the compression that the origin was asked for.
        inflates: bool,
    },
    /// As they come.
    Untouched,
    /// As the settings of a node want it.
    Node {
        http: Option<&'m NodeHttp>,
        /// The client may send more requests.
        keep_alive: bool,
        /// The request's target, as the client wrote it.
        uri: &'m str,
    },
}

impl Manner<'_> {
    /// Whether another request may follow.
    pub(super) fn keeps_alive(&self, response: &ResponseHead<'_>) -> bool {
        match self {
            // Each request has an upstream of its own.
            Self::Proxied { .. } => true,
            Self::Untouched => response.keeps_alive(),
            Self::Node { keep_alive, .. } => *keep_alive && response.keeps_alive(),
        }
    }

    /// A response's head as it goes to a client that speaks `version`; `None` for one that more responses follow.
    pub(super) fn head(
        &self,
        bytes: &Bytes,
        response: &ResponseHead<'_>,
        version: Version,
        persistence: Option<Persistence>,
    ) -> Vec<u8> {
        match (self, persistence) {
            (Self::Proxied { .. }, _) => answer::response(response, version, persistence),
            (Self::Untouched, _) | (_, None) => bytes.to_vec(),
            (Self::Node { .. }, Some(persistence)) => heads::response(response, &self.edits(persistence)),
        }
    }

    fn edits(&self, persistence: Persistence) -> Edits {
        let mut edits = Edits::default();
        if let Self::Node { http: Some(http), .. } = self {
            edits.configured(&http.response_headers);
        }
        if persistence == Persistence::Close {
            edits.set("Connection", "close");
        }
        edits
    }
}

impl Exchange<'_> {
    /// Passes on the last response.
    #[allow(clippy::too_many_arguments, reason = "both ends of both connections, and what is known of the response")]
    pub(super) async fn respond(
        &self,
        bytes: &Bytes,
        response: &ResponseHead<'_>,
        length: BodyLength,
        keep: bool,
        upstream: &Stream,
        from_upstream: &mut BytesMut,
        client: &Stream,
        down: Flow<'_>,
    ) -> Result<(), BodyError> {
        let (manner, version) = (&self.request.manner, self.request.head.version);
        let persistence = if keep { Persistence::Keep(version) } else { Persistence::Close };
        let head = || manner.head(bytes, response, version, Some(persistence));
        let chunks = Chunks { client, down, tap: self.response_tap() };
        if let Manner::Proxied { inflates: true } = manner
            && !matches!(length, BodyLength::None | BodyLength::Sized(0))
            && let Some(plain) = inflate::head(response)
        {
            self.record.answered(&plain);
            self.begin(client, &answer::response(&plain, version, Some(persistence)), down).await?;
            return inflate::relay(upstream, from_upstream, BodyScanner::new(length), &chunks).await;
        }
        let mut body = BodyScanner::new(length);
        let mut early = BytesMut::new();
        if let Manner::Node { http: Some(http), uri, .. } = manner
            && length != BodyLength::None
            && let Some(plan) = Plan::of(&http.rewrite_response_body, &response.headers)
        {
            let subject = Subject { direction: Direction::Response, uri, sid: &self.session.info.sid };
            if plan.is_for_events() {
                // An older client can't be told where it ends.
                if version == Version::Http11 {
                    let mut edits = manner.edits(persistence);
                    edits.set("Transfer-Encoding", "chunked");
                    edits.remove("Content-Length");
                    self.begin(client, &heads::response(response, &edits), down).await?;
                    let mut events = stream::Events { plan: &plan, subject, client: chunks };
                    return events.relay(upstream, from_upstream, body).await;
                }
            } else if plan.admits(length) {
                match hold_body(upstream, from_upstream, body, plan.limit, &self.activity).await? {
                    Held::Whole { content, bytes } => match plan.apply(&subject, content).await {
                        Some(new) => {
                            let mut edits = manner.edits(persistence);
                            edits.body(new.len());
                            self.response_tap().iter().for_each(|tap| tap.hear(&new));
                            self.begin(client, &heads::response(response, &edits), down).await?;
                            return self.write(client, &new, down).await;
                        }
                        None => {
                            body = BodyScanner::new(BodyLength::None);
                            early = bytes;
                        }
                    },
                    Held::Longer { bytes, rest } => (early, body) = (bytes, rest),
                }
                if let Some(tap) = self.response_tap() {
                    // It was well-formed a moment ago.
                    let _ = BodyScanner::new(length).decode(&early, |part| tap.hear(part));
                }
            }
        }
        self.begin(client, &head(), down).await?;
        if !early.is_empty() {
            self.write(client, &early, down).await?;
        }
        relay_body(upstream, from_upstream, client, body, down, self.response_tap()).await
    }

    /// Sends the head, and records it if it isn't the origin's any more.
    async fn begin(&self, client: &Stream, head: &[u8], down: Flow<'_>) -> Result<(), BodyError> {
        if let (Manner::Node { .. }, Ok(sent)) = (&self.request.manner, ResponseHead::parse(head)) {
            self.record.answered(&sent);
        }
        self.write(client, head, down).await
    }

    async fn write(&self, client: &Stream, bytes: &[u8], down: Flow<'_>) -> Result<(), BodyError> {
        self.answered.store(true, Relaxed);
        client.write_all(bytes).await.map_err(BodyError::Write)?;
        down.moved(bytes.len()).await;
        Ok(())
    }
}
