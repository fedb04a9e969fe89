//! Heads that the proxy writes itself: its answers, and what it makes of requests and responses that it passes on.

use drawspan_wire::http1::{GOST_TARGETS, RequestHead, ResponseHead, Version};
use http::StatusCode;

use super::Settings;
use crate::handler::exchange::Persistence;
use crate::handler::exchange::heads::{push, push_header};

/// What Go's client calls itself; added when the client does not say what it is (GOST reference, dataplane 7).
const USER_AGENT: &str = "Go-http-client/1.1";

/// Headers of the proxy's own answers that say how long those are, so that no configured header may say otherwise.
const FRAMING: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// An answer without a body, after which the connection is closed. A configured header replaces an own one. Without a
/// length, to the letter as GOST writes it: the end of the connection is the end of the body.
pub(super) fn refusal(settings: &Settings, status: u16, own: &[(&str, &str)]) -> Vec<u8> {
    let mut answer = own_head(settings, status, own);
    answer.extend(b"\r\n");
    answer
}

/// Status line and headers of an own answer, open for more headers.
pub(super) fn own_head(settings: &Settings, status: u16, own: &[(&str, &str)]) -> Vec<u8> {
    let mut head = status_line(status);
    head.extend(b"Connection: close\r\n");
    let configured = |name: &str| settings.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    for (name, value) in &settings.headers {
        if !FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
            push(&mut head, name, value.as_bytes());
        }
    }
    for (name, value) in own {
        if !configured(name) {
            push(&mut head, name, value.as_bytes());
        }
    }
    head
}

/// An answer to a request that should have been passed on: no configured headers, and no word of the connection's end, as
/// GOST has it.
pub(in crate::handler) fn failure(status: u16) -> Vec<u8> {
    let mut answer = status_line(status);
    answer.extend(b"Content-Length: 0\r\n\r\n");
    answer
}

/// The answer to a CONNECT for datagrams, whose frames follow.
pub(super) fn relaying() -> Vec<u8> {
    failure(200)
}

fn status_line(status: u16) -> Vec<u8> {
    let known = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    format!("HTTP/1.1 {status} {}\r\n", known.unwrap_or("Unknown")).into_bytes()
}

/// The answer to a CONNECT that succeeded, to the letter: clients compare it.
pub(super) fn established(settings: &Settings) -> Vec<u8> {
    let mut head = b"HTTP/1.1 200 Connection established\r\n".to_vec();
    push(&mut head, "Proxy-Agent", settings.agent.as_bytes());
    head.extend(b"\r\n");
    head
}

/// What is to become of the connection to an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Close,
    /// Another request may follow; only for HTTP/1.1, which needn't be told.
    Keep,
    /// Another protocol.
    Upgrade,
}

/// The request as it goes to the origin.
///
/// GOST: speaks 1.1 to every origin and rewrites its responses for clients of 1.0. Here a client of 1.0 gets an origin of
/// 1.0, so that the response's framing suits both.
///
/// With `inflates` the origin may compress its response, for which its client didn't ask.
pub(super) fn request(head: &RequestHead<'_>, authority: &str, path: &str, after: After, inflates: bool) -> Vec<u8> {
    let mut out = format!("{} {path} {}\r\nHost: {authority}\r\n", head.method, head.version.as_str()).into_bytes();
    if head.headers.get("user-agent").is_none() {
        push(&mut out, "User-Agent", USER_AGENT.as_bytes());
    }
    for header in head.headers.end_to_end() {
        if !header.is("host") && !GOST_TARGETS.iter().any(|name| header.is(name)) {
            push_header(&mut out, header);
        }
    }
    if inflates {
        push(&mut out, "Accept-Encoding", b"gzip");
    }
    match after {
        After::Close => push(&mut out, "Connection", b"close"),
        After::Keep => {}
        After::Upgrade => push_upgrade(&mut out, head.headers.get("upgrade")),
    }
    out.extend(b"\r\n");
    out
}

/// A response's head as it goes to a client that speaks `version`; `None` for one that more responses follow.
pub(in crate::handler) fn response(
    head: &ResponseHead<'_>,
    version: Version,
    persistence: Option<Persistence>,
) -> Vec<u8> {
    let mut out = format!("{} {} {}\r\n", version.as_str(), head.status, head.reason).into_bytes();
    // Their length is no header's business (RFC 9112 §6.1, RFC 9110 §8.6); a client might believe one.
    let bodiless = head.status < 200 || head.status == 204;
    for header in head.headers.end_to_end() {
        if !(bodiless && (header.is("content-length") || header.is("transfer-encoding"))) {
            push_header(&mut out, header);
        }
    }
    match persistence {
        None if head.status == 101 => push_upgrade(&mut out, head.headers.get("upgrade")),
        None | Some(Persistence::Keep(Version::Http11)) => {}
        Some(Persistence::Keep(Version::Http10)) => push(&mut out, "Connection", b"keep-alive"),
        Some(Persistence::Close) => push(&mut out, "Connection", b"close"),
    }
    out.extend(b"\r\n");
    out
}

fn push_upgrade(out: &mut Vec<u8>, protocol: Option<&[u8]>) {
    push(out, "Connection", b"Upgrade");
    push(out, "Upgrade", protocol.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn own_answers() {
        let mut settings = Settings::default();
        assert_eq!(
            text(established(&settings)),
            "HTTP/1.1 200 Connection established\r\nProxy-Agent: gost/3.0\r\n\r\n"
        );
        settings.headers = [("X-A", "1\r\n2"), ("proxy-agent", "mine"), ("Content-Length", "9")]
            .map(|(n, v)| (n.into(), v.into()))
            .into();
        assert_eq!(
            text(refusal(&settings, 503, &[("Proxy-Agent", "gost/3.0"), ("X-B", "3")])),
            "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nX-A: 1  2\r\nproxy-agent: mine\r\nX-B: 3\r\n\r\n"
        );
        assert_eq!(text(failure(599)), "HTTP/1.1 599 Unknown\r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn requests_lose_what_is_meant_for_the_proxy() {
        let head = RequestHead::parse(
            b"GET http://a/ HTTP/1.1\r\nAccept: */*\r\nHost: b\r\nProxy-Authorization: x\r\nConnection: x-y, keep-alive\r\n\
              X-Gost-Target: t\r\nGost-Target: t\r\nX-Y: z\r\nUpgrade: h2c\r\n\r\n",
        )
        .unwrap();
        assert_eq!(
            text(request(&head, "a", "/", After::Close, false)),
            "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: Go-http-client/1.1\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        assert!(
            text(request(&head, "a", "/", After::Upgrade, false))
                .ends_with("Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        );
    }

    #[test]
    fn responses_say_what_becomes_of_the_connection() {
        let parse = |text| ResponseHead::parse(text).unwrap();
        let ok = parse(b"HTTP/1.0 200 Fine\r\nConnection: close\r\nContent-Length: 1\r\nX: y\r\n\r\n");
        let kept = "Content-Length: 1\r\nX: y\r\n";
        for (version, persistence, expected) in [
            (Version::Http11, Persistence::Close, format!("HTTP/1.1 200 Fine\r\n{kept}Connection: close\r\n\r\n")),
            (Version::Http11, Persistence::Keep(Version::Http11), format!("HTTP/1.1 200 Fine\r\n{kept}\r\n")),
            (
                Version::Http10,
                Persistence::Keep(Version::Http10),
                format!("HTTP/1.0 200 Fine\r\n{kept}Connection: keep-alive\r\n\r\n"),
            ),
        ] {
            assert_eq!(text(response(&ok, version, Some(persistence))), expected);
        }
        let empty = parse(b"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(
            text(response(&empty, Version::Http11, Some(Persistence::Keep(Version::Http11)))),
            "HTTP/1.1 204 No Content\r\n\r\n"
        );
    }
}
