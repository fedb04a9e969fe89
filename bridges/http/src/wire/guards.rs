//! Auther, admission, bypass.

use drawspan_bridge_gost::{certificate, known, network, text};
use drawspan_wit::CallError;
use drawspan_wit::admission::{self, AdmissionRequest};
use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use drawspan_wit::bypass::{BypassRequest, Match};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::{HttpCall, Payload, Verdict, answer, is_ok};
use crate::json;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Authentication {
    service: String,
    username: String,
    password: String,
    client: String,
    #[serde(rename(serialize = "clientCn", deserialize = "clientcn"), skip_serializing_if = "String::is_empty")]
    client_cn: String,
    #[serde(rename(serialize = "clientSan", deserialize = "clientsan"), skip_serializing_if = "Vec::is_empty")]
    client_san: Vec<String>,
    #[serde(
        rename(serialize = "clientCertFingerprint", deserialize = "clientcertfingerprint"),
        skip_serializing_if = "String::is_empty"
    )]
    client_cert_fingerprint: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Authenticated {
    ok: bool,
    id: String,
}

impl HttpCall for AuthenticationRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Payload {
        let mut body = Authentication {
            service: self.service.clone(),
            username: self.username.clone(),
            password: self.password.clone(),
            client: text(&self.client_address),
            ..Authentication::default()
        };
        if let Some(certificate) = &self.certificate {
            body.client_cn.clone_from(&certificate.common_name);
            body.client_san.clone_from(&certificate.alternative_names);
            body.client_cert_fingerprint.clone_from(&certificate.fingerprint);
        }
        Payload::Json(json::to_vec(&body))
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        let reply: Authenticated = json::reply(body)?;
        Ok(reply.ok.then_some(Identity { client_id: reply.id }))
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let request: Authentication = json::request(body)?;
        Ok(Self {
            username: request.username,
            password: request.password,
            client_address: known(request.client),
            service: request.service,
            certificate: certificate(request.client_cn, request.client_san, request.client_cert_fingerprint),
        })
    }

    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>) {
        let ok = reply.is_some();
        answer(&Authenticated { ok, id: reply.map(|identity| identity.client_id).unwrap_or_default() })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Admission {
    service: String,
    network: String,
    addr: String,
}

impl HttpCall for AdmissionRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Payload {
        Payload::Json(json::to_vec(&Admission {
            service: text(&self.service),
            network: self.network.clone(),
            addr: self.client_address.clone(),
        }))
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        Ok(if is_ok(body)? { admission::Verdict::Admitted } else { admission::Verdict::Denied })
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let request: Admission = json::request(body)?;
        Ok(Self {
            network: network(request.network, &request.addr),
            client_address: request.addr,
            service: known(request.service),
        })
    }

    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>) {
        answer(&Verdict { ok: reply == admission::Verdict::Admitted })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Bypass {
    service: String,
    network: String,
    addr: String,
    client: String,
    host: String,
    path: String,
}

impl HttpCall for BypassRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Payload {
        Payload::Json(json::to_vec(&Bypass {
            service: text(&self.service),
            network: self.network.clone(),
            addr: self.target_address.clone(),
            client: text(&self.client_id),
            host: text(&self.host),
            path: text(&self.path),
        }))
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        Ok(if is_ok(body)? { Match::Matched } else { Match::Unmatched })
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let request: Bypass = json::request(body)?;
        Ok(Self {
            network: request.network,
            target_address: request.addr,
            host: known(request.host),
            path: known(request.path),
            client_id: known(request.client),
            service: known(request.service),
        })
    }

    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>) {
        answer(&Verdict { ok: reply == Match::Matched })
    }

    /// Stable GOST lets everything pass at an error status.
    fn failure_reply() -> Option<Vec<u8>> {
        Some(json::to_vec(&Verdict { ok: true }))
    }
}
