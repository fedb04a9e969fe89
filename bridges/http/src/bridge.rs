//! [`HttpBridge`]: the transport of all calls.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drawspan_bridge_gost::unusable;
use drawspan_bridge_transport::{ConnectError, Connector, TlsError, TlsSettings, basic, redacted, target};
use drawspan_wit::{CallError, ErrorKind, Module, Plugin, Refusal, chain};
use flate2::read::GzDecoder;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url};

use crate::{HttpCall, Payload};

/// How to reach an HTTP plugin server.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The URL to ask, used as it is; `http` or `https`. Credentials in it are sent as basic authentication.
    pub url: Url,
    /// How an `https` URL is verified; absent: against the system's roots.
    pub tls: Option<TlsSettings>,
    /// Sent as `Authorization: Bearer`, unless the URL has credentials. GOST: only versions after 3.2.6 send it.
    pub token: Option<String>,
    /// The limit of one attempt to connect.
    pub connect_timeout: Duration,
    /// The largest reply accepted, in bytes, after decompression.
    pub max_reply: usize,
}

impl HttpSettings {
    /// The URL as logs show it: without credentials and query, which may hold secrets.
    #[must_use]
    pub fn redacted_url(&self) -> String {
        redacted(&self.url)
    }
}

/// Why an HTTP bridge can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL can't be asked.
    #[error("`{0}` is not a URL of a server; write `http://host:port/path`")]
    Url(String),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token can't be sent.
    #[error("the token has characters that an HTTP header can't carry")]
    Token,
}

/// Answers calls by asking an HTTP plugin server, over a pool of keep-alive connections.
pub struct HttpBridge {
    client: Client<Connector, Full<Bytes>>,
    url: Url,
    uri: Uri,
    authorization: Option<HeaderValue>,
    max_reply: usize,
}

impl HttpBridge {
    /// Does not connect.
    ///
    /// # Errors
    /// When the URL isn't one, TLS can't be set up, or the token can't be sent.
    pub fn new(settings: HttpSettings) -> Result<Self, HttpError> {
        let invalid = || HttpError::Url(settings.redacted_url());
        let HttpSettings { url, tls, token, connect_timeout, max_reply } = &settings;
        let target = target(url).ok_or_else(invalid)?;
        let verified = TlsSettings { secure: true, ..TlsSettings::default() };
        let tls = (url.scheme() == "https").then_some(tls.as_ref().unwrap_or(&verified));
        let connector = Connector::new(target, tls, b"http/1.1", false, *connect_timeout)?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector),
            url: url.clone(),
            uri: url[..Position::AfterQuery].parse().map_err(|_| invalid())?,
            authorization: authorization(url, token.as_deref())?,
            max_reply: *max_reply,
        })
    }

    async fn ask(&self, module: Module, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, CallError> {
        self.client.request(request).await.map_err(|error| {
            let source = std::error::Error::source(&error);
            match source.and_then(|source| source.downcast_ref::<ConnectError>()) {
                Some(error) => CallError::new(error.kind(module), error.to_string()),
                None => unusable(format!("connection lost: {}", source.map_or_else(|| error.to_string(), chain))),
            }
        })
    }

    async fn body(&self, reply: Response<Incoming>) -> Result<Bytes, CallError> {
        let gzip =
            reply.headers().get(CONTENT_ENCODING).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
        let body = Limited::new(reply.into_body(), self.max_reply).collect().await.map_err(|error| {
            unusable(if error.is::<LengthLimitError>() {
                self.too_large()
            } else {
                format!("connection lost: {}", chain(&*error))
            })
        })?;
        let body = body.to_bytes();
        if gzip { self.gunzip(&body).map_err(unusable) } else { Ok(body) }
    }

    fn gunzip(&self, body: &[u8]) -> Result<Bytes, String> {
        let mut plain = Vec::new();
        let limit = self.max_reply as u64 + 1;
        GzDecoder::new(body)
            .take(limit)
            .read_to_end(&mut plain)
            .map_err(|error| format!("the reply is not gzip: {error}"))?;
        if plain.len() > self.max_reply { Err(self.too_large()) } else { Ok(plain.into()) }
    }

    fn too_large(&self) -> String {
        format!("the reply is larger than {} bytes (maxReply)", self.max_reply)
    }
}

fn authorization(url: &Url, token: Option<&str>) -> Result<Option<HeaderValue>, HttpError> {
    if let Some(value) = basic(url) {
        return Ok(Some(value));
    }
    let Some(token) = token else { return Ok(None) };
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| HttpError::Token)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// What Go leaves as it is in a query; a space becomes `+`.
const QUERY: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');

/// The URL with these parameters beside its own, sorted by name, as GOST writes them.
fn with_query(url: &Url, parameters: Vec<(&'static str, String)>) -> String {
    let own = url.query_pairs().filter(|(name, _)| parameters.iter().all(|(ours, _)| ours != name));
    let mut pairs: Vec<_> = own.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    pairs.extend(parameters.into_iter().map(|(name, value)| (name.to_owned(), value)));
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    let escape = |text: &str| utf8_percent_encode(text, &QUERY).to_string().replace(' ', "+");
    let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    format!("{}?{}", &url[..Position::AfterPath], query.join("&"))
}

/// A status that is no answer.
fn refused(status: StatusCode) -> CallError {
    // GOST: follows redirects, and a page that says `{"ok":true}` lets anyone in.
    let hint = if status.is_redirection() { "; redirects are not followed" } else { "" };
    let reason = format!("the server answered {status}{hint}");
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return CallError::refused(Refusal::Unavailable, reason);
    }
    CallError::new(ErrorKind::Refused, reason)
}

impl<C: HttpCall> Plugin<C> for HttpBridge {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        if let Some(reply) = call.unsent() {
            return Ok(reply);
        }
        let (uri, body) = match call.encode() {
            Payload::Json(body) => (self.uri.clone(), body.into()),
            Payload::Query(parameters) => {
                let uri = with_query(&self.url, parameters).parse();
                // Only what is too long. A client may be able to cause it.
                (uri.map_err(|_| CallError::new(ErrorKind::Refused, "the URL would be too long"))?, Bytes::new())
            }
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = C::METHOD;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("drawspan/", env!("CARGO_PKG_VERSION"))));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let reply = self.ask(C::MODULE, request).await?;
        match reply.status() {
            StatusCode::OK => C::decode(&self.body(reply).await?),
            status => C::decode_status(status).ok_or_else(|| refused(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_join_those_of_the_url_as_in_gost() {
        let query = |url: &str, parameters: &[(&'static str, &str)]| {
            with_query(
                &url.parse().unwrap(),
                parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            )
        };
        for (url, parameters, merged) in [
            ("http://a:1/x", &[("host", "b:80"), ("service", "s")][..], "http://a:1/x?host=b%3A80&service=s"),
            ("http://a:1", &[("host", "b")], "http://a:1/?host=b"),
            ("http://a:1/?z=1&b=2&b=1#f", &[("host", "ü *~/+")], "http://a:1/?b=2&b=1&host=%C3%BC+%2A~%2F%2B&z=1"),
            ("http://a:1/?host=evil&t=a+b", &[("host", "b")], "http://a:1/?host=b&t=a+b"),
        ] {
            assert_eq!(query(url, parameters), merged);
        }
    }
}
