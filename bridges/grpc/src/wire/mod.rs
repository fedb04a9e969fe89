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

use drawspan_wit::{Call, CallError};
use prost::Message;

/// What gRPC needs to know of a call.
pub trait GrpcCall: Call {
    /// The request message.
    type Request: Message + Default + 'static;
    /// The reply message.
    type Response: Message + Default + 'static;
    /// `/package.Service/Method`.
    const PATH: &'static str;

    /// The request, for a server. `none` becomes the empty string.
    fn encode(&self) -> Self::Request;

    /// The reply of a server, whose status was OK.
    ///
    /// # Errors
    /// When the message makes no sense, or says that a message had no effect.
    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError>;

    /// The request of a client. The empty string becomes `none`.
    ///
    /// # Errors
    /// A reason, when the message makes no sense; the client is told that its request is invalid.
    fn decode_request(request: Self::Request) -> Result<Self, String>;

    /// The reply, for a client.
    fn encode_reply(reply: Self::Reply) -> Self::Response;

    /// What a client is told in place of a status when there is no answer: where GOST makes more of a status than it should.
    #[must_use]
    fn failure_reply() -> Option<Self::Response> {
        None
    }
}
