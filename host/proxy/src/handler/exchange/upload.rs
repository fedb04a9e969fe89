//! [`Upload`]: a request's body on its way, beside what is waited for meanwhile.

use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Exchange, HandlerError};
use crate::net::{BodyError, Stream};

/// The request on its way to the origin, while something else is waited for.
pub(super) struct Upload<'u, F> {
    pub(super) exchange: &'u Exchange<'u>,
    pub(super) client: &'u Stream,
    pub(super) future: Pin<&'u mut F>,
    pub(super) outcome: Option<Result<(), BodyError>>,
}

impl<F: Future<Output = Result<(), BodyError>>> Upload<'_, F> {
    /// Whether the whole request was sent.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.outcome, Some(Ok(())))
    }

    /// Waits for `work` while the request is being sent; for `limit` at most once it was.
    ///
    /// A client that fails ends everything. An origin that takes no more of the request may still answer it.
    pub(super) async fn beside<T>(
        &mut self,
        work: impl Future<Output = T>,
        limit: Option<Duration>,
    ) -> Result<T, HandlerError> {
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
                    return Err(HandlerError::UpstreamTimedOut { target: self.exchange.request.target.to_string() });
                }
            }
        }
    }

    fn deadline(&self, limit: Option<Duration>) -> Option<Instant> {
        limit.filter(|_| self.outcome.is_some()).map(|limit| Instant::now() + limit)
    }
}
