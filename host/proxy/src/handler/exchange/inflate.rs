//! Responses that the proxy asked to be compressed, for clients that didn't (`compression`).

use std::io::{self, Write as _};

use bytes::{Buf as _, BytesMut};
use drawspan_wire::http1::{BodyScanner, Header, Headers, ResponseHead};
use flate2::write::MultiGzDecoder;

use super::chunks::Chunks;
use crate::net::{BodyError, Stream, eof, fill};

/// The head of what is behind a compressed response's, if it is one: in chunks, since nobody knows how much that is.
pub(super) fn head<'b>(response: &ResponseHead<'b>) -> Option<ResponseHead<'b>> {
    if !response.headers.get("content-encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case(b"gzip")) {
        return None;
    }
    let changed = ["content-encoding", "content-length", "transfer-encoding"];
    let kept = response.headers.iter().filter(|header| !changed.iter().any(|name| header.is(name)));
    let chunked = Header { name: "Transfer-Encoding", value: b"chunked" };
    let headers: Headers<'b> = kept.chain([chunked]).collect();
    Some(ResponseHead { headers, ..response.clone() })
}

/// Passes the plain form of what `body` delimits on to the client. However much that is, little of it is held.
pub(super) async fn relay(
    from: &Stream,
    received: &mut BytesMut,
    mut body: BodyScanner,
    client: &Chunks<'_>,
) -> Result<(), BodyError> {
    let mut decoder = MultiGzDecoder::new(Vec::new());
    loop {
        let mut compressed = Vec::new();
        let belonging = body.decode(received, |part| compressed.extend_from_slice(part));
        received.advance(belonging.map_err(BodyError::Malformed)?);
        let mut rest = &compressed[..];
        while !rest.is_empty() {
            let taken = decoder.write(rest).map_err(BodyError::Read)?;
            if taken == 0 {
                return Err(BodyError::Read(io::ErrorKind::InvalidData.into()));
            }
            rest = &rest[taken..];
            client.write(decoder.get_ref()).await?;
            decoder.get_mut().clear();
        }
        if body.is_complete() {
            break;
        }
        match fill(from, received).await {
            Ok(1..) => {}
            Ok(0) if body.may_end() => break,
            Ok(0) => return Err(BodyError::Read(eof())),
            Err(error) => return Err(BodyError::Read(error)),
        }
    }
    decoder.try_finish().map_err(BodyError::Read)?;
    client.write(decoder.get_ref()).await?;
    client.end().await
}
