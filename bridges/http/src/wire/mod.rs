//! The cells: one per call, in the order of the WIT package. What the values mean is written in `drawspan-bridge-gost`.
//!
//! * `guards.rs`: auther, admission, bypass
//! * `routes.rs`: hop, limiter, hosts, resolver
//! * `tables.rs`: ingress, router, sd
//! * `bodies.rs`: recorder, observer, rewriter

mod bodies;
mod guards;
mod routes;
mod tables;
#[cfg(test)]
mod tests;

use drawspan_bridge_gost::known;
use drawspan_wit::{Call, CallError};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::json;

/// What a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A JSON body.
    Json(Vec<u8>),
    /// Parameters that join those of the URL; no body.
    Query(Vec<(&'static str, String)>),
}

/// What HTTP needs to know of a call.
pub trait HttpCall: Call {
    /// The verb. The calls of one module have different ones.
    const METHOD: Method;

    /// The request, for a server.
    fn encode(&self) -> Payload;

    /// The body of a server's reply, whose status was 200.
    ///
    /// # Errors
    /// When it isn't the JSON that it should be, or says that a message had no effect.
    fn decode(body: &[u8]) -> Result<Self::Reply, CallError>;

    /// What a status other than 200 means, if it is an answer and not a failure.
    #[must_use]
    fn decode_status(_status: StatusCode) -> Option<Self::Reply> {
        None
    }

    /// The reply to a call that needn't be sent.
    fn unsent(&self) -> Option<Self::Reply> {
        None
    }

    /// The request of a client: its body, and the parameters of its URL.
    ///
    /// # Errors
    /// A reason; the client is told that its request is invalid.
    fn decode_request(body: &[u8], query: &[(String, String)]) -> Result<Self, String>;

    /// Status and JSON body of the reply, for a client.
    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>);

    /// The body that a client is sent, with status 200, when there is no answer: where GOST makes another of an error
    /// status than it should.
    #[must_use]
    fn failure_reply() -> Option<Vec<u8>> {
        None
    }
}

/// A reply that says yes or no.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Verdict {
    ok: bool,
}

fn is_ok(body: &[u8]) -> Result<bool, CallError> {
    Ok(json::reply::<Verdict>(body)?.ok)
}

/// Status 200 with this body.
fn answer(body: &impl Serialize) -> (StatusCode, Vec<u8>) {
    (StatusCode::OK, json::to_vec(body))
}

/// The first parameter of that name, as Go's `Get`; `None` if it is empty.
fn parameter(query: &[(String, String)], name: &str) -> Option<String> {
    query.iter().find(|(key, _)| key == name).and_then(|(_, value)| known(value.clone()))
}

/// Parameters without those that aren't known.
fn parameters<const N: usize>(query: [(&'static str, Option<&String>); N]) -> Payload {
    Payload::Query(query.into_iter().filter_map(|(key, value)| Some((key, value?.clone()))).collect())
}
