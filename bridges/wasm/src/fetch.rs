//! [`fetch`]: a component from elsewhere.
//!
//! It is fetched once and kept, by its digest, beside the compiled ones: the digest says what it must be, so it never changes,
//! and a restart needs no network.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use drawspan_bridge_transport::{Connector, TlsSettings, basic, redacted, target};
use drawspan_wit::chain;
use http::header::{AUTHORIZATION, LOCATION, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use url::{Position, Url};

use crate::Engine;
use crate::cache::write;
use crate::compiled::Digest;
use crate::component::hex;

/// The largest component that is fetched, in bytes.
const LARGEST: usize = 64 << 20;
/// The time for all of it, and for each connection.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// Why a component can't be fetched. The URL is shown without credentials and query.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {reason}")]
pub struct FetchError {
    url: String,
    reason: String,
}

/// Where the component at `url` is, whose digest is `sha256`: fetched now, or some time before.
pub(crate) async fn fetch(
    engine: &Engine,
    url: &Url,
    sha256: Option<Digest>,
    tls: &TlsSettings,
) -> Result<PathBuf, FetchError> {
    let failed = |reason: String| FetchError { url: redacted(url), reason };
    let Some(wanted) = sha256 else {
        return Err(failed("what is fetched needs its `sha256` in the config".into()));
    };
    if engine.compiler().cache().is_none() {
        return Err(failed("there is no folder to keep it in; set XDG_CACHE_HOME, or fetch it yourself".into()));
    }
    let lookup = engine.clone();
    let kept = move || lookup.compiler().cache().map(|cache| cache.fetched(&wanted));
    let kept = tokio::task::spawn_blocking(kept).await.ok().flatten();
    let (path, is_there) = kept.ok_or_else(|| failed("the host failed".into()))?;
    if is_there {
        return Ok(path);
    }
    tracing::info!(kind = "plugin", url = redacted(url), "fetching a component");
    let bytes = timeout(FETCH_TIMEOUT, get(url, tls))
        .await
        .unwrap_or_else(|_| Err(format!("it was not there within {FETCH_TIMEOUT:?}")))
        .map_err(&failed)?;
    let target = path.clone();
    let keep = move || {
        let found = Digest::from(Sha256::digest(&bytes));
        if found == wanted {
            return write(&target, &[&bytes]).map_err(|error| format!("{}: {error}", target.display()));
        }
        let (found, wanted) = (hex(&found), hex(&wanted));
        Err(format!("its sha256 is {found}, the config wants {wanted}; if it was replaced on purpose, change `sha256`"))
    };
    let kept = tokio::task::spawn_blocking(keep).await.unwrap_or_else(|error| Err(error.to_string()));
    kept.map(|()| path).map_err(failed)
}

/// Follows redirects as long as they are encrypted.
async fn get(url: &Url, tls: &TlsSettings) -> Result<Bytes, String> {
    let mut at = url.clone();
    for _ in 0..=REDIRECTS {
        if at.scheme() != "https" {
            return Err(format!("{} is not https", redacted(&at)));
        }
        // Credentials are for the server in the config, and not for where it sends us.
        let credentials = basic(url).filter(|_| at.origin() == url.origin());
        let response = ask(&at, credentials, tls).await?;
        let status = response.status();
        if status == StatusCode::OK {
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            return body.map(|body| body.to_bytes()).map_err(|error| {
                if error.is::<LengthLimitError>() {
                    format!("it is larger than {} MiB", LARGEST >> 20)
                } else {
                    format!("connection lost: {}", chain(&*error))
                }
            });
        }
        let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
        let Some(location) = location.and_then(|location| location.to_str().ok()) else {
            return Err(format!("the server answered {status}"));
        };
        at = at.join(location).map_err(|error| format!("a redirect leads nowhere: {error}"))?;
    }
    Err(format!("more than {REDIRECTS} redirects"))
}

async fn ask(
    url: &Url,
    credentials: Option<HeaderValue>,
    tls: &TlsSettings,
) -> Result<Response<hyper::body::Incoming>, String> {
    let target = target(url).ok_or("it names no server")?;
    let connector = Connector::new(target, Some(tls), b"http/1.1", false, CONNECT_TIMEOUT);
    let connector = connector.map_err(|error| error.to_string())?;
    let mut request = Request::get(&url[..Position::AfterQuery])
        .header(USER_AGENT, concat!("drawspan/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    if let Some(credentials) = credentials {
        request.headers_mut().insert(AUTHORIZATION, credentials);
    }
    let client = Client::builder(TokioExecutor::new()).build(connector);
    client
        .request(request)
        .await
        .map_err(|error| std::error::Error::source(&error).map_or_else(|| error.to_string(), chain))
}

#[cfg(test)]
mod tests;
