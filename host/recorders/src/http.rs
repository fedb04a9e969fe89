//! [`Http`]: each record as the body of a POST.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drawspan_bridge_transport::{Connector, TlsError, TlsSettings, basic, redacted, target};
use drawspan_wit::chain;
use drawspan_wit::recorder::WriteRequest;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;
use url::{Position, Url};

use crate::Sink;

/// A response's body is read up to here, so that its connection can be used again.
const MAX_REPLY: usize = 64 << 10;

/// Where records are posted.
pub struct HttpSettings {
    /// `http` or `https`, verified against the system's roots. Credentials in it are sent as basic authentication.
    pub url: Url,
    /// For the whole exchange.
    pub timeout: Duration,
    /// Further headers; values may be secrets.
    pub header: Vec<(String, String)>,
}

/// Why nothing can be posted.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL can't be asked.
    #[error("`{0}` is not a URL of a server; write `http://host:port/path`")]
    Url(String),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A header can't be sent.
    #[error("the header `{0}` can't be sent")]
    Header(String),
}

/// Posts each record to a web server.
pub struct Http {
    client: Client<Connector, Full<Bytes>>,
    uri: Uri,
    header: HeaderMap,
    /// As logs show it.
    url: String,
    timeout: Duration,
}

impl Http {
    /// Does not connect.
    ///
    /// # Errors
    /// When the URL isn't one, TLS can't be set up, or a header can't be sent.
    pub fn new(settings: &HttpSettings) -> Result<Self, HttpError> {
        let HttpSettings { url, timeout, header } = settings;
        let invalid = || HttpError::Url(redacted(url));
        let tls = TlsSettings { secure: true, ..TlsSettings::default() };
        let tls = (url.scheme() == "https").then_some(&tls);
        let connector = Connector::new(target(url).ok_or_else(invalid)?, tls, b"http/1.1", false, *timeout)?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector),
            uri: url[..Position::AfterQuery].parse().map_err(|_| invalid())?,
            header: headers(url, header)?,
            url: redacted(url),
            timeout: *timeout,
        })
    }

    async fn post(&self, data: &[u8]) -> Result<(), String> {
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(data)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.header.clone();
        let reply = self.client.request(request).await.map_err(|error| chain(&error))?;
        let status = reply.status();
        // Whatever it says; a connection that breaks only now has done its work.
        drop(Limited::new(reply.into_body(), MAX_REPLY).collect().await);
        match status.as_u16() {
            400.. => Err(format!("the server answered {status}")),
            // GOST: follows redirects, perhaps with a GET that carries no record.
            300..400 => Err(format!("the server answered {status}; redirects are not followed")),
            _ => Ok(()),
        }
    }
}

impl Sink for Http {
    const AT_A_TIME: usize = 16;
    const BATCH: usize = 1;

    async fn keep(&self, records: &[Arc<WriteRequest>]) -> Result<(), String> {
        for record in records {
            let posted = timeout(self.timeout, self.post(&record.data)).await;
            let posted = posted.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)));
            posted.map_err(|error| format!("{}: {error}", self.url))?;
        }
        Ok(())
    }
}

fn headers(url: &Url, further: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("drawspan/", env!("CARGO_PKG_VERSION"))));
    headers.extend(basic(url).map(|value| (AUTHORIZATION, value)));
    for (name, value) in further {
        let unsendable = || HttpError::Header(name.clone());
        let mut value = HeaderValue::from_str(value).map_err(|_| unsendable())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable())?, value);
    }
    Ok(headers)
}
