//! The cells: one per call, in the order of the WIT package.

use drawspan_proto as proto;
use drawspan_wit::Call;
use drawspan_wit::authenticator::{AuthenticationRequest, ClientCertificate, Identity};
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
    /// A reason, when the message makes no sense.
    fn decode(reply: Self::Response) -> Result<Self::Reply, String>;

    /// The request of a client. The empty string becomes `none`.
    ///
    /// # Errors
    /// A reason, when the message makes no sense; the client is told that its request is invalid.
    fn decode_request(request: Self::Request) -> Result<Self, String>;

    /// The reply, for a client.
    fn encode_reply(reply: Self::Reply) -> Self::Response;
}

impl GrpcCall for AuthenticationRequest {
    type Request = proto::AuthenticateRequest;
    type Response = proto::AuthenticateReply;
    const PATH: &'static str = "/proto.Authenticator/Authenticate";

    fn encode(&self) -> Self::Request {
        let certificate = self.certificate.clone().unwrap_or_else(|| ClientCertificate {
            common_name: String::new(),
            alternative_names: Vec::new(),
            fingerprint: String::new(),
        });
        proto::AuthenticateRequest {
            username: self.username.clone(),
            password: self.password.clone(),
            client: self.client_address.clone().unwrap_or_default(),
            service: self.service.clone(),
            client_cn: certificate.common_name,
            client_san: certificate.alternative_names,
            client_cert_fingerprint: certificate.fingerprint,
        }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, String> {
        Ok(reply.ok.then_some(Identity { client_id: reply.id }))
    }
}
