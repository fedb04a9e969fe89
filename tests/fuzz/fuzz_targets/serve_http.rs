//! Requests to `plugin serve` over HTTP, without a socket: the first line is method and target, the rest is the body. Each is
//! answered, and what the plugin is asked can be asked again.

#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use drawspan_bridge_http::{HttpCall, Payload};
use drawspan_plugin_serve::{Options, Server};
use drawspan_wit::{CallError, ErrorKind, Module, Plugin};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

struct Asked;

impl<C: HttpCall> Plugin<C> for Asked {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let again = match call.encode() {
            Payload::Json(body) => C::decode_request(&body, &[]),
            Payload::Query(parameters) => {
                let owned = parameters.into_iter().map(|(name, value)| (name.to_owned(), value));
                C::decode_request(b"", &owned.collect::<Vec<_>>())
            }
        };
        assert!(again.is_ok_and(|again| again == *call));
        Err(CallError::new(ErrorKind::Refused, "no answers here"))
    }
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());
static SERVER: LazyLock<Arc<Server<Asked>>> = LazyLock::new(|| Server::new(Asked, Module::ALL, Options::default()));

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, body) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let (method, target) = line.split_at(line.iter().position(|byte| *byte == b' ').unwrap_or(line.len()));
    let request = Request::builder().method(method).uri(target.get(1..).unwrap_or_default());
    let Ok(request) = request.body(Full::new(Bytes::copy_from_slice(body))) else { return };
    let (head, body) = RUNTIME.block_on(SERVER.http(request)).into_parts();
    let body = RUNTIME.block_on(body.collect()).unwrap().to_bytes();
    let known = [
        StatusCode::OK,
        StatusCode::BAD_REQUEST,
        StatusCode::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED,
        StatusCode::INTERNAL_SERVER_ERROR,
    ];
    assert!(known.contains(&head.status), "{}", head.status);
    assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
});
