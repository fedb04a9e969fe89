//! HTTP: one endpoint per module, whose calls differ by verb.

use std::sync::Arc;

use bytes::Bytes;
use drawspan_bridge_http::HttpCall;
use drawspan_wit::{CallError, ErrorKind, Module, Plugin, Refusal};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use url::form_urlencoded;

use crate::body::BodyError;
use crate::routes::Parameters;
use crate::{AnyPlugin, Body, Server};

impl<P: AnyPlugin> Server<P> {
    /// Answers one request, whoever accepted its connection; [`Server::serve_http`] answers with this. Dropping the future ends
    /// the call.
    pub async fn http<B: hyper::body::Body<Data = Bytes>>(&self, request: Request<B>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if !self.admits(bearer(&head)) {
            let response = error(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
            return with(response, WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let Some(module) = self.module(head.uri.path()) else {
            return error(StatusCode::NOT_FOUND, "this plugin has no such module");
        };
        let routes = self.routes.iter().filter(|route| route.module == module);
        let Some(route) = routes.clone().find(|route| route.method == head.method) else {
            let methods: Vec<_> = routes.map(|route| route.method.as_str()).collect();
            let response = error(StatusCode::METHOD_NOT_ALLOWED, "the module isn't asked so");
            return match HeaderValue::try_from(methods.join(", ")) {
                Ok(methods) => with(response, ALLOW, methods),
                Err(_) => response,
            };
        };
        let query = head.uri.query().unwrap_or_default();
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let limit = self.options.max_request;
        let answer = async {
            let body = self.read(body, limit).await.map_err(|error| match error {
                BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, format!("a request has {limit} bytes at most")),
                BodyError::CutOff => (StatusCode::BAD_REQUEST, "the request was cut off".into()),
                BodyError::Late => (StatusCode::REQUEST_TIMEOUT, "the request was not sent in time".into()),
            })?;
            (route.http)(&self.plugin, body, parameters).await
        };
        match (answer.await, &route.http_failure) {
            (Ok((status, body)), _) => json(status, body),
            (Err(_), Some(body)) => json(StatusCode::OK, body.clone()),
            (Err((status, reason)), None) => error(status, &reason),
        }
    }

    /// What is asked at a path: the module of its name; where no module has that name, the only one that there is.
    fn module(&self, path: &str) -> Option<Module> {
        match Module::ALL.into_iter().find(|module| module.as_str() == path.trim_matches('/')) {
            Some(named) => self.modules.contains(&named).then_some(named),
            None => self.modules.iter().next().filter(|_| self.modules.len() == 1).copied(),
        }
    }
}

fn bearer(head: &Parts) -> Option<&[u8]> {
    let value = head.headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// A status and a body; or a status and the reason why there is no answer.
pub(crate) type Reply = Result<(StatusCode, Vec<u8>), (StatusCode, String)>;

/// Answers one call.
pub(crate) async fn call<C: HttpCall, P: Plugin<C>>(plugin: &P, body: Bytes, parameters: Parameters) -> Reply {
    let request = C::decode_request(&body, &parameters).map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
    let reply = plugin.call(Arc::new(request)).await.map_err(|error| (status(&error), error.to_string()))?;
    Ok(C::encode_reply(reply))
}

fn status(error: &CallError) -> StatusCode {
    match error.kind() {
        ErrorKind::Refused => match error.refusal() {
            Some(Refusal::InvalidRequest) => StatusCode::BAD_REQUEST,
            Some(Refusal::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            Some(Refusal::Failed) | None => StatusCode::INTERNAL_SERVER_ERROR,
        },
        ErrorKind::Trapped | ErrorKind::BadReply => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Unavailable | ErrorKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Deadline => StatusCode::GATEWAY_TIMEOUT,
    }
}

fn error(status: StatusCode, reason: &str) -> Response<Body> {
    json(status, serde_json::json!({ "error": reason }).to_string().into_bytes())
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
    *response.status_mut() = status;
    with(response, CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

fn with(mut response: Response<Body>, name: HeaderName, value: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(name, value);
    response
}
