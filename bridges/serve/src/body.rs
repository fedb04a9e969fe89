//! The body of a request.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

use crate::Server;

/// Why a request's body can't be used.
pub(crate) enum BodyError {
    TooLarge,
    CutOff,
    Late,
}

impl<P> Server<P> {
    /// All of a body, if it has `limit` bytes at most. What is beyond is read and thrown away: a client that is still sending
    /// would lose the answer with the connection.
    pub(crate) async fn read<B: Body<Data = Bytes>>(&self, body: B, limit: usize) -> Result<Bytes, BodyError> {
        let read = async {
            let mut body = pin!(body);
            let (mut bytes, mut length) = (BytesMut::new(), 0_usize);
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(|_| BodyError::CutOff)?.into_data() else { continue };
                length = length.saturating_add(data.len());
                if length <= limit {
                    bytes.extend_from_slice(&data);
                }
            }
            if length <= limit { Ok(bytes.freeze()) } else { Err(BodyError::TooLarge) }
        };
        timeout(self.options.read_timeout, read).await.unwrap_or(Err(BodyError::Late))
    }
}
