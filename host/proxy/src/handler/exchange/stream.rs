//! Event streams, whose events are rewritten one by one (GOST reference, modules 2.13).

use bytes::BytesMut;
use drawspan_wire::http1::BodyScanner;

use super::chunks::Chunks;
use super::rewrite::{Phase, Plan, Subject};
use crate::net::{BodyError, Stream, eof, fill};

/// An event stream on its way to a client.
pub(super) struct Events<'e> {
    pub(super) plan: &'e Plan<'e>,
    pub(super) subject: Subject<'e>,
    pub(super) client: Chunks<'e>,
}

impl Events<'_> {
    /// Passes on what `body` delimits, rewritten. An event that is too long ends the rewriting, not the stream.
    pub(super) async fn relay(
        &mut self,
        from: &Stream,
        received: &mut BytesMut,
        mut body: BodyScanner,
    ) -> Result<(), BodyError> {
        let (mut pending, mut index) = (Vec::new(), Some(0));
        let outcome = loop {
            let decoded = body.decode(received, |part| pending.extend_from_slice(part));
            let belonging = match decoded {
                Ok(belonging) => belonging,
                Err(error) => break Err(BodyError::Malformed(error)),
            };
            bytes::Buf::advance(received, belonging);
            while let (Some(at), Some(end)) = (index, event_end(&pending)) {
                let event: Vec<u8> = pending.drain(..end).collect();
                self.pass(event, Phase::Event(at)).await?;
                index = Some(at + 1);
            }
            if pending.len() > self.plan.limit && index.take().is_some() {
                tracing::warn!(
                    sid = self.subject.sid,
                    "rewriter: an event is too long; the rest of them stay unchanged"
                );
            }
            if index.is_none() {
                self.client.write(&std::mem::take(&mut pending)).await?;
            }
            if body.is_complete() {
                break Ok(());
            }
            match fill(from, received).await {
                Ok(1..) => {}
                Ok(0) if body.may_end() => break Ok(()),
                Ok(0) => break Err(BodyError::Read(eof())),
                Err(error) => break Err(BodyError::Read(error)),
            }
        };
        if let Some(mut at) = index {
            if outcome.is_ok() && !pending.is_empty() {
                self.pass(pending, Phase::Event(at)).await?;
                at += 1;
            }
            let error = outcome.as_ref().err().map(ToString::to_string);
            self.pass(Vec::new(), Phase::End(at, error)).await?;
        }
        outcome?;
        self.client.end().await
    }

    /// Rewrites an event, its empty line included, and passes on what is left of it.
    async fn pass(&self, event: Vec<u8>, phase: Phase) -> Result<(), BodyError> {
        let bare = event.strip_suffix(b"\r\n\r\n").or(event.strip_suffix(b"\n\n")).unwrap_or(&event);
        match self.plan.apply_to_event(&self.subject, bare.to_vec(), phase).await {
            None => self.client.write(&event).await,
            Some(mut new) => {
                if !new.is_empty() && !new.ends_with(b"\n\n") {
                    new.extend(b"\n\n");
                }
                self.client.write(&new).await
            }
        }
    }
}

/// Where the first event ends, behind its empty line.
fn event_end(bytes: &[u8]) -> Option<usize> {
    let end = |line: &[u8]| bytes.windows(line.len()).position(|window| window == line).map(|at| at + line.len());
    match (end(b"\n\n"), end(b"\r\n\r\n")) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
