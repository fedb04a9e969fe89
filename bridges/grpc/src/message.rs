//! What gRPC makes of HTTP/2: a message with a prefix in each direction, and a status at the end.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use drawspan_wit::{CallError, ErrorKind, Refusal, chain};
use h2::RecvStream;
use http::HeaderMap;
use percent_encoding::percent_decode;
use prost::Message;
use tonic::Code;

/// Whether the message is compressed, and its length.
const PREFIX: usize = 5;

/// The body of a request.
pub(crate) fn frame(message: &impl Message) -> Result<Bytes, CallError> {
    let length = message.encoded_len();
    let prefix = u32::try_from(length).map_err(|_| CallError::new(ErrorKind::Refused, "the request is too large"))?;
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(prefix);
    // It has room for all of the message.
    message.encode(&mut frame).map_err(|error| CallError::new(ErrorKind::Refused, chain(&error)))?;
    Ok(frame.freeze())
}

/// The message in the body of a reply.
pub(crate) fn unframe<M: Message + Default>(mut body: Bytes) -> Result<M, CallError> {
    let (Ok(compressed), Ok(length)) = (body.try_get_u8(), body.try_get_u32()) else {
        return Err(bad("the reply has no message"));
    };
    if compressed != 0 {
        return Err(bad("the reply is compressed, which wasn't asked for"));
    }
    if usize::try_from(length) != Ok(body.len()) {
        return Err(bad("the reply is not one message"));
    }
    M::decode(body).map_err(|error| bad(chain(&error)))
}

/// The body of a reply, whose message has at most `max` bytes, and then its status.
pub(crate) async fn receive(mut stream: RecvStream, max: usize) -> Result<Bytes, CallError> {
    let mut body = Bytes::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.map_err(|error| lost(&error))?;
        // What is read makes room for more; a stream that is closed already needs none.
        let _ = stream.flow_control().release_capacity(chunk.len());
        // Nearly every reply is one chunk, which needs no copy.
        body = if body.is_empty() { chunk } else { join(body, &chunk) };
        let announced = body.get(1..PREFIX).map_or(0, |mut length| length.get_u32() as usize);
        if announced.max(body.len().saturating_sub(PREFIX)) > max {
            return Err(bad(format!("the reply is larger than {max} bytes (maxReply)")));
        }
    }
    let trailers = stream.trailers().await.map_err(|error| lost(&error))?;
    check(trailers.as_ref().unwrap_or(&HeaderMap::new()))?;
    Ok(body)
}

fn join(body: Bytes, chunk: &[u8]) -> Bytes {
    let mut body = BytesMut::from(body);
    body.put_slice(chunk);
    body.freeze()
}

/// Fails unless the trailers say OK.
pub(crate) fn check(trailers: &HeaderMap) -> Result<(), CallError> {
    let Some(status) = trailers.get("grpc-status") else {
        return Err(bad("the reply has no grpc-status; is it a gRPC server?"));
    };
    let code = Code::from_bytes(status.as_bytes());
    let kind = match code {
        Code::Ok => return Ok(()),
        Code::DeadlineExceeded => ErrorKind::Deadline,
        _ => ErrorKind::Refused,
    };
    let message = trailers.get("grpc-message").map_or(&b""[..], |message| message.as_bytes());
    let message = percent_decode(message).decode_utf8_lossy();
    let colon = if message.is_empty() { "" } else { ": " };
    let reason = format!("the server answered {code:?}{colon}{message}");
    Err(if code == Code::Unavailable {
        CallError::refused(Refusal::Unavailable, reason)
    } else {
        CallError::new(kind, reason)
    })
}

/// The connection broke under a call. Not `Unavailable`: the call itself may have brought the server down.
pub(crate) fn lost(error: &h2::Error) -> CallError {
    bad(format!("connection lost: {}", chain(error)))
}

pub(crate) fn bad(reason: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::BadReply, reason)
}

#[cfg(test)]
mod tests {
    use drawspan_proto::AuthenticateReply;
    use http::HeaderValue;

    use super::*;

    fn reply() -> AuthenticateReply {
        AuthenticateReply { ok: true, id: "alice".into() }
    }

    #[test]
    fn a_message_arrives() {
        assert_eq!(unframe::<AuthenticateReply>(frame(&reply()).unwrap()).unwrap(), reply());
        // All fields at their defaults are no bytes at all.
        let empty = AuthenticateReply::default();
        assert_eq!(unframe::<AuthenticateReply>(frame(&empty).unwrap()).unwrap(), empty);
    }

    #[test]
    fn what_is_not_one_message_is_a_bad_reply() {
        let good = frame(&reply()).unwrap();
        let compressed = [&[1], &good[1..]].concat();
        for (body, reason) in [
            (&b""[..], "no message"),
            (&good[..4], "no message"),
            (&good[..good.len() - 1], "not one message"),
            (&[&good[..], &good[..]].concat(), "not one message"),
            (&compressed, "compressed"),
            (&[0, 0, 0, 0, 2, 0xff, 0xff], "decode"),
        ] {
            let error = unframe::<AuthenticateReply>(Bytes::copy_from_slice(body)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadReply);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn only_the_status_0_is_a_yes() {
        let trailers = |pairs: &[(&'static str, &'static [u8])]| {
            let pairs =
                pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap()));
            check(&pairs.collect::<HeaderMap>())
        };
        assert!(trailers(&[("grpc-status", b"0"), ("grpc-message", b"ignored")]).is_ok());
        for (pairs, kind, text) in [
            (&[] as &[(_, &[u8])], ErrorKind::BadReply, "the reply has no grpc-status; is it a gRPC server?"),
            (&[("grpc-status", b"4")], ErrorKind::Deadline, "the server answered DeadlineExceeded"),
            (
                &[("grpc-status", b"14"), ("grpc-message", b"a%20%C3%BC%")],
                ErrorKind::Refused,
                "the server answered Unavailable: a ü%",
            ),
            (&[("grpc-status", b"00")], ErrorKind::Refused, "the server answered Unknown"),
            (&[("grpc-status", b"1000")], ErrorKind::Refused, "the server answered Unknown"),
            (
                &[("grpc-status", b"5"), ("grpc-message", b"\xff")],
                ErrorKind::Refused,
                "the server answered NotFound: \u{fffd}",
            ),
            (
                &[("grpc-status", b"5"), ("grpc-status-details-bin", b"?")],
                ErrorKind::Refused,
                "the server answered NotFound",
            ),
        ] {
            let error = trailers(pairs).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
        }
    }
}
