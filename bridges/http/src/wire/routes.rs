//! Hop, limiter, hosts, resolver.

use drawspan_bridge_gost::{NO_ADDRESS, Word, from_rate, known, list, node, text, to_rate};
use drawspan_wit::CallError;
use drawspan_wit::hop::HopRequest;
use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::traffic_limiter::{LimitRequest, Rates};
use drawspan_wit::types::AddressFamily;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::{HttpCall, Payload, answer};
use crate::json;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Select {
    network: String,
    addr: String,
    host: String,
    path: String,
    client: String,
    src: String,
}

impl HttpCall for HopRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Payload {
        Payload::Json(json::to_vec(&Select {
            network: text(&self.network),
            addr: text(&self.target_address),
            host: text(&self.host),
            path: text(&self.path),
            client: text(&self.client_id),
            src: text(&self.source_address),
        }))
    }

    /// The whole body is the node.
    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        node(body).map(Some)
    }

    /// GOST: any status other than 200 is no node.
    fn decode_status(status: StatusCode) -> Option<Self::Reply> {
        matches!(status, StatusCode::NOT_FOUND | StatusCode::NO_CONTENT).then_some(None)
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let request: Select = json::request(body)?;
        Ok(Self {
            network: known(request.network),
            target_address: known(request.addr),
            host: known(request.host),
            path: known(request.path),
            client_id: known(request.client),
            source_address: known(request.src),
        })
    }

    /// To GOST, `{}` and `null` are a node without an address.
    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>) {
        reply.map_or_else(|| (StatusCode::NOT_FOUND, Vec::new()), |node| (StatusCode::OK, node.into_bytes()))
    }

    /// To GOST any status other than 200 is no node.
    fn failure_reply() -> Option<Vec<u8>> {
        Some(NO_ADDRESS.into())
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Limit {
    service: String,
    scope: String,
    network: String,
    addr: String,
    client: String,
    src: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Limits {
    r#in: i64,
    out: i64,
}

impl HttpCall for LimitRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Payload {
        Payload::Json(json::to_vec(&Limit {
            service: self.service.clone(),
            scope: self.scope.word(),
            network: self.network.clone(),
            addr: text(&self.target_address),
            client: text(&self.client_id),
            src: text(&self.source_address),
        }))
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        let reply: Limits = json::reply(body)?;
        Ok(Rates { upload: from_rate(reply.r#in), download: from_rate(reply.out) })
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let request: Limit = json::request(body)?;
        Ok(Self {
            scope: Word::read(&request.scope)?,
            service: request.service,
            network: request.network,
            target_address: known(request.addr),
            client_id: known(request.client),
            source_address: known(request.src),
        })
    }

    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>) {
        answer(&Limits { r#in: to_rate(reply.upload), out: to_rate(reply.download) })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Lookup {
    network: String,
    host: String,
    client: String,
}

impl Lookup {
    fn encode(family: AddressFamily, host: &str, client_id: &Option<String>) -> Payload {
        Payload::Json(json::to_vec(&Self { network: family.word(), host: host.into(), client: text(client_id) }))
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Addresses {
    ips: Vec<Option<String>>,
    ok: bool,
}

impl Addresses {
    fn encode(ips: Vec<String>) -> (StatusCode, Vec<u8>) {
        answer(&Self { ok: !ips.is_empty(), ips: ips.into_iter().map(Some).collect() })
    }

    /// To GOST a null is an empty text, which is no address.
    fn decode(ips: Vec<Option<String>>) -> Result<Vec<String>, CallError> {
        Ok(list(ips)?.into_iter().flatten().collect())
    }
}

impl HttpCall for LookupRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Payload {
        Lookup::encode(self.family, &self.host, &self.client_id)
    }

    /// `ok` doesn't count, as in GOST: servers leave it at false.
    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        Addresses::decode(json::reply::<Addresses>(body)?.ips)
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let Lookup { network, host, client } = json::request(body)?;
        Ok(Self { family: Word::read(&network)?, host, client_id: known(client) })
    }

    fn encode_reply(ips: Self::Reply) -> (StatusCode, Vec<u8>) {
        Addresses::encode(ips)
    }
}

impl HttpCall for ResolveRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Payload {
        Lookup::encode(self.family, &self.host, &self.client_id)
    }

    /// Here `ok` counts, as in GOST.
    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        let Addresses { ips, ok } = json::reply(body)?;
        if ok { Addresses::decode(ips) } else { Ok(Vec::new()) }
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let Lookup { network, host, client } = json::request(body)?;
        Ok(Self { family: Word::read(&network)?, host, client_id: known(client) })
    }

    fn encode_reply(ips: Self::Reply) -> (StatusCode, Vec<u8>) {
        Addresses::encode(ips)
    }
}
