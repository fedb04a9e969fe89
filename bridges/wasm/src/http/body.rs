//! [`Body`]: a reply's body within its bounds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::Error;

/// A reply's body: so many bytes, no longer pause than so, and all of it by the deadline.
pub(super) struct Body {
    incoming: Incoming,
    limit: usize,
    left: usize,
    pause: Duration,
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Body {
    pub(super) fn new(incoming: Incoming, limit: usize, pause: Duration, deadline: Instant) -> Self {
        let alarm = Box::pin(sleep_until(deadline.min(Instant::now() + pause)));
        Self { incoming, limit, left: limit, pause, deadline, alarm, _room: None }
    }

    /// The same, which keeps `room` until it is dropped.
    pub(super) fn holding(self, room: OwnedSemaphorePermit) -> Self {
        Self { _room: Some(room), ..self }
    }

    fn too_large(&self) -> Error {
        Error::HttpResponseBodySize(u64::try_from(self.limit).ok())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Pending => {
                return match self.alarm.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(Error::ConnectionReadTimeout))),
                    Poll::Pending => Poll::Pending,
                };
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(Error::HttpResponseIncomplete))),
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = self.left.checked_sub(length) else { return Poll::Ready(Some(Err(self.too_large()))) };
        self.left = left;
        let alarm = self.deadline.min(Instant::now() + self.pause);
        self.alarm.as_mut().reset(alarm);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
