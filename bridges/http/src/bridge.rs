//! [`HttpBridge`]: the transport of all calls.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use drawspan_bridge_transport::{Connector, Target, TlsError, TlsSettings};
use drawspan_wit::{CallError, ErrorKind, Plugin, chain};
use flate2::read::GzDecoder;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::percent_decode_str;
use url::{Host, Position, Url};

use crate::HttpCall;

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
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        // These fail for URLs without a host only, which have no credentials.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.into()
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
    url: Uri,
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
        let host = match url.host().ok_or_else(invalid)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        let target = Target::Tcp(host, url.port_or_known_default().ok_or_else(invalid)?);
        let verified = TlsSettings { secure: true, ..TlsSettings::default() };
        let tls = (url.scheme() == "https").then_some(tls.as_ref().unwrap_or(&verified));
        let connector = Connector::new(target, tls, b"http/1.1", false, *connect_timeout)?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector),
            url: url[..Position::AfterQuery].parse().map_err(|_| invalid())?,
            authorization: authorization(url, token.as_deref())?,
            max_reply: *max_reply,
        })
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Bytes, CallError> {
        let reply = self.client.request(request).await.map_err(|error| {
            let kind = if error.is_connect() { ErrorKind::Unavailable } else { ErrorKind::BadReply };
            let what = if error.is_connect() { "" } else { "connection lost: " };
            CallError::new(
                kind,
                format!("{what}{}", std::error::Error::source(&error).map_or_else(|| error.to_string(), chain)),
            )
        })?;
        let status = reply.status();
        if status != StatusCode::OK {
            // GOST: follows redirects, and a page that says `{"ok":true}` lets anyone in.
            let hint = if status.is_redirection() { "; redirects are not followed" } else { "" };
            return Err(CallError::new(ErrorKind::Refused, format!("the server answered {status}{hint}")));
        }
        let gzip =
            reply.headers().get(CONTENT_ENCODING).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
        let body = Limited::new(reply.into_body(), self.max_reply).collect().await.map_err(|error| {
            let reason = if error.is::<LengthLimitError>() {
                self.too_large()
            } else {
                format!("connection lost: {}", chain(&*error))
            };
            CallError::new(ErrorKind::BadReply, reason)
        })?;
        let body = body.to_bytes();
        if gzip { self.gunzip(&body).map_err(|reason| CallError::new(ErrorKind::BadReply, reason)) } else { Ok(body) }
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
    let text = if !url.username().is_empty() || url.password().is_some() {
        let mut plain: Vec<u8> = percent_decode_str(url.username()).collect();
        plain.push(b':');
        plain.extend(percent_decode_str(url.password().unwrap_or_default()));
        format!("Basic {}", BASE64_STANDARD.encode(plain))
    } else if let Some(token) = token {
        format!("Bearer {token}")
    } else {
        return Ok(None);
    };
    let mut value = HeaderValue::try_from(text).map_err(|_| HttpError::Token)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

impl<C: HttpCall> Plugin<C> for HttpBridge {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let mut request = Request::new(Full::new(Bytes::from(call.encode())));
        *request.method_mut() = C::METHOD;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("drawspan/", env!("CARGO_PKG_VERSION"))));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let body = self.ask(request).await?;
        C::decode(&body).map_err(|reason| CallError::new(ErrorKind::BadReply, reason))
    }
}
