//! gRPC: one service per module. Calls are unary, so a message is a prefix of five bytes and two trailers over HTTP/2.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use drawspan_bridge_grpc::GrpcCall;
use drawspan_wit::{CallError, ErrorKind, Plugin, Refusal};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use prost::Message;
use tonic::{Code, Status};

use crate::body::BodyError;
use crate::{AnyPlugin, Body, Server};

/// Whether the message is compressed, and its length.
const PREFIX: usize = 5;

impl<P: AnyPlugin> Server<P> {
    pub(crate) async fn grpc(&self, request: Request<Incoming>) -> Response<Body> {
        let kind = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if request.method() != Method::POST || !kind.starts_with(b"application/grpc") {
            let mut response = Response::new(Empty::new().boxed_unsync());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        match self.unary(request).await {
            Ok(message) => reply(&message),
            Err(status) => status.into_http::<Empty<Bytes>>().map(BodyExt::boxed_unsync),
        }
    }

    async fn unary(&self, request: Request<Incoming>) -> Result<Vec<u8>, Status> {
        if !self.admits(request.headers().get("token").map(HeaderValue::as_bytes)) {
            return Err(Status::unauthenticated("the token is missing or wrong"));
        }
        let mut routes = self.routes.iter().filter(|route| self.modules.contains(&route.module));
        let route = routes
            .find(|route| route.path == request.uri().path())
            .ok_or_else(|| Status::unimplemented("this plugin has no such method"))?;
        let answer = async {
            let message = self.message(request.into_body()).await?;
            (route.grpc)(&self.plugin, message).await
        };
        answer.await.or_else(|status| route.grpc_failure.clone().ok_or(status))
    }

    /// The one message of a body.
    async fn message(&self, body: Incoming) -> Result<Bytes, Status> {
        let limit = self.options.max_request;
        let mut body = self.read(body, limit.saturating_add(PREFIX)).await.map_err(|error| match error {
            BodyError::TooLarge => Status::resource_exhausted(format!("a request has {limit} bytes at most")),
            BodyError::CutOff => Status::cancelled("the request was cut off"),
            BodyError::Late => Status::deadline_exceeded("the request was not sent in time"),
        })?;
        let (Ok(compressed), Ok(length)) = (body.try_get_u8(), body.try_get_u32()) else {
            return Err(Status::invalid_argument("the request has no message"));
        };
        if compressed != 0 {
            return Err(Status::unimplemented("messages can't be compressed"));
        }
        if usize::try_from(length).is_ok_and(|length| length == body.len()) {
            Ok(body)
        } else {
            Err(Status::invalid_argument("the request is not one message"))
        }
    }
}

/// Answers one call.
pub(crate) async fn call<C: GrpcCall, P: Plugin<C>>(plugin: &P, message: Bytes) -> Result<Vec<u8>, Status> {
    let request = C::Request::decode(message).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let request = C::decode_request(request).map_err(Status::invalid_argument)?;
    let reply = plugin.call(Arc::new(request)).await.map_err(|error| status(&error))?;
    Ok(C::encode_reply(reply).encode_to_vec())
}

fn status(error: &CallError) -> Status {
    let code = match error.kind() {
        ErrorKind::Refused => match error.refusal() {
            Some(Refusal::InvalidRequest) => Code::InvalidArgument,
            Some(Refusal::Unavailable) => Code::Unavailable,
            Some(Refusal::Failed) | None => Code::Unknown,
        },
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Deadline => Code::DeadlineExceeded,
        ErrorKind::Overloaded => Code::ResourceExhausted,
        ErrorKind::Trapped | ErrorKind::BadReply => Code::Internal,
    };
    Status::new(code, error.to_string())
}

fn reply(message: &[u8]) -> Response<Body> {
    let Ok(length) = u32::try_from(message.len()) else {
        return Status::internal("the reply is too large").into_http::<Empty<Bytes>>().map(BodyExt::boxed_unsync);
    };
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(length);
    frame.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
