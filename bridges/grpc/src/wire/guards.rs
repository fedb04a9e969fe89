//! Auther, admission, bypass.

use drawspan_bridge_gost::{certificate, known, network, text};
use drawspan_proto as proto;
use drawspan_wit::CallError;
use drawspan_wit::admission::{AdmissionRequest, Verdict};
use drawspan_wit::authenticator::{AuthenticationRequest, ClientCertificate, Identity};
use drawspan_wit::bypass::{BypassRequest, Match};

use super::GrpcCall;

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
            client: text(&self.client_address),
            service: self.service.clone(),
            client_cn: certificate.common_name,
            client_san: certificate.alternative_names,
            client_cert_fingerprint: certificate.fingerprint,
        }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        Ok(reply.ok.then_some(Identity { client_id: reply.id }))
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self {
            username: request.username,
            password: request.password,
            client_address: known(request.client),
            service: request.service,
            certificate: certificate(request.client_cn, request.client_san, request.client_cert_fingerprint),
        })
    }

    fn encode_reply(reply: Self::Reply) -> Self::Response {
        proto::AuthenticateReply {
            ok: reply.is_some(),
            id: reply.map(|identity| identity.client_id).unwrap_or_default(),
        }
    }
}

impl GrpcCall for AdmissionRequest {
    type Request = proto::AdmissionRequest;
    type Response = proto::AdmissionReply;
    const PATH: &'static str = "/proto.Admission/Admit";

    fn encode(&self) -> Self::Request {
        proto::AdmissionRequest {
            addr: self.client_address.clone(),
            service: text(&self.service),
            network: self.network.clone(),
        }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        Ok(if reply.ok { Verdict::Admitted } else { Verdict::Denied })
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self {
            network: network(request.network, &request.addr),
            client_address: request.addr,
            service: known(request.service),
        })
    }

    fn encode_reply(reply: Self::Reply) -> Self::Response {
        proto::AdmissionReply { ok: reply == Verdict::Admitted }
    }
}

impl GrpcCall for BypassRequest {
    type Request = proto::BypassRequest;
    type Response = proto::BypassReply;
    const PATH: &'static str = "/proto.Bypass/Bypass";

    fn encode(&self) -> Self::Request {
        proto::BypassRequest {
            addr: self.target_address.clone(),
            client: text(&self.client_id),
            network: self.network.clone(),
            host: text(&self.host),
            path: text(&self.path),
            service: text(&self.service),
        }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        Ok(if reply.ok { Match::Matched } else { Match::Unmatched })
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self {
            network: request.network,
            target_address: request.addr,
            host: known(request.host),
            path: known(request.path),
            client_id: known(request.client),
            service: known(request.service),
        })
    }

    fn encode_reply(reply: Self::Reply) -> Self::Response {
        proto::BypassReply { ok: reply == Match::Matched }
    }
}
