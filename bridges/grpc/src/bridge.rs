//! [`GrpcBridge`]: the transport of all calls.

use std::sync::Arc;
use std::time::Duration;

use drawspan_bridge_transport::{Connector, Target, TlsError, TlsSettings};
use drawspan_wit::{CallError, Plugin};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};

use crate::GrpcCall;
use crate::channel::Channel;
use crate::message::{bad, check, frame, lost, receive, unframe};

/// How to reach a gRPC plugin server.
#[derive(Clone, Debug)]
pub struct GrpcSettings {
    /// Where it listens.
    pub target: Target,
    /// Present: TLS, with `h2` selected by the server.
    pub tls: Option<TlsSettings>,
    /// Sent as metadata `token` with every call; visible ASCII.
    pub token: Option<String>,
    /// Told to the server as the call's deadline (`grpc-timeout`).
    pub timeout: Duration,
    /// The limit of one attempt to connect.
    pub connect_timeout: Duration,
    /// The largest reply accepted, in bytes.
    pub max_reply: usize,
}

/// Why a gRPC bridge can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token can't be sent.
    #[error("the token has characters other than visible ASCII")]
    Token,
}

/// Answers calls by asking a gRPC plugin server. Connects when first asked, and again when the connection was lost;
/// threads share two connections.
pub struct GrpcBridge {
    channel: Channel,
    origin: Uri,
    /// Of every request.
    headers: HeaderMap,
    max_reply: usize,
}

impl GrpcBridge {
    /// Does not connect.
    ///
    /// # Errors
    /// When TLS can't be set up or the token can't be sent.
    pub fn new(settings: GrpcSettings) -> Result<Self, GrpcError> {
        let GrpcSettings { target, tls, token, timeout, connect_timeout, max_reply } = settings;
        let mut headers = HeaderMap::new();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("drawspan/", env!("CARGO_PKG_VERSION"))));
        headers.insert("grpc-timeout", grpc_timeout(timeout));
        if let Some(token) = token {
            let visible = token.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            let token = HeaderValue::from_str(&token).ok().filter(|_| visible);
            let mut token = token.ok_or(GrpcError::Token)?;
            // Kept out of what both ends remember of headers.
            token.set_sensitive(true);
            headers.insert("token", token);
        }
        Ok(Self {
            channel: Channel::new(Connector::new(target.clone(), tls.as_ref(), b"h2", true, connect_timeout)?),
            origin: origin(&target, tls.as_ref()),
            headers,
            max_reply,
        })
    }

    fn request(&self, path: &'static str) -> Request<()> {
        let mut uri = self.origin.clone().into_parts();
        uri.path_and_query = Some(PathAndQuery::from_static(path));
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        // The origin with another path is a URI too.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// At most eight digits and a unit.
fn grpc_timeout(timeout: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let (number, unit) = match (timeout.as_micros(), timeout.as_millis()) {
        (micros, _) if micros <= MOST => (micros, 'u'),
        (_, millis) if millis <= MOST => (millis, 'm'),
        _ => (u128::from(timeout.as_secs()).min(MOST), 'S'),
    };
    // Digits and a letter are a header value.
    HeaderValue::try_from(format!("{number}{unit}")).unwrap_or_else(|_| HeaderValue::from_static("10S"))
}

/// What becomes `:scheme` and `:authority`: `tls.serverName`, else the target.
fn origin(target: &Target, tls: Option<&TlsSettings>) -> Uri {
    let authority = match (tls.and_then(|tls| tls.server_name.as_deref()), target) {
        (Some(name), _) => name.to_owned(),
        (None, Target::Tcp(..)) => target.to_string(),
        (None, Target::Unix(_)) => "localhost".to_owned(),
    };
    let uri = |authority| {
        let scheme = if tls.is_some() { "https" } else { "http" };
        Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build()
    };
    // A host that is no URI authority can't be resolved either; the connection says so better than we could here.
    uri(authority.as_str()).or_else(|_| uri("localhost")).unwrap_or_default()
}

impl<C: GrpcCall> Plugin<C> for GrpcBridge {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let message = frame(&call.encode())?;
        let mut sender = self.channel.ready(C::MODULE).await?;
        let (response, mut body) = sender.send_request(self.request(C::PATH), false).map_err(|e| lost(&e))?;
        // A server may answer, and be done with the call, before it has read all.
        let sent = body.send_data(message, true);
        let response = response.await.map_err(|error| lost(sent.as_ref().err().unwrap_or(&error)))?;
        let (head, body) = response.into_parts();
        // Where there is no message, the status needs no trailers.
        if head.headers.contains_key("grpc-status") {
            check(&head.headers)?;
            return Err(bad("the reply has no message"));
        }
        if head.status != StatusCode::OK {
            return Err(bad(format!("the server answered HTTP status {}; is it a gRPC server?", head.status.as_u16())));
        }
        C::decode(unframe(receive(body, self.max_reply).await?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        for (timeout, header) in [
            (Duration::from_millis(1), "1000u"),
            (Duration::from_secs(10), "10000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(grpc_timeout(timeout), header);
        }
    }
}
