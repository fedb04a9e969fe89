//! Hop, limiter, hosts, resolver.

use drawspan_bridge_gost::{NO_ADDRESS, Word, from_rate, known, list, node, text, to_rate};
use drawspan_proto as proto;
use drawspan_wit::CallError;
use drawspan_wit::hop::HopRequest;
use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::traffic_limiter::{LimitRequest, Rates};

use super::GrpcCall;

impl GrpcCall for HopRequest {
    type Request = proto::SelectRequest;
    type Response = proto::SelectReply;
    const PATH: &'static str = "/proto.Hop/Select";

    fn encode(&self) -> Self::Request {
        proto::SelectRequest {
            network: text(&self.network),
            addr: text(&self.target_address),
            host: text(&self.host),
            client: text(&self.client_id),
            path: text(&self.path),
            src: text(&self.source_address),
        }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        if reply.node.is_empty() { Ok(None) } else { node(&reply.node).map(Some) }
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self {
            network: known(request.network),
            target_address: known(request.addr),
            host: known(request.host),
            path: known(request.path),
            client_id: known(request.client),
            source_address: known(request.src),
        })
    }

    fn encode_reply(reply: Self::Reply) -> Self::Response {
        proto::SelectReply { node: text(&reply).into_bytes() }
    }

    /// To GOST a status is no node.
    fn failure_reply() -> Option<Self::Response> {
        Some(proto::SelectReply { node: NO_ADDRESS.into() })
    }
}

impl GrpcCall for LimitRequest {
    type Request = proto::LimitRequest;
    type Response = proto::LimitReply;
    const PATH: &'static str = "/proto.Limiter/Limit";

    fn encode(&self) -> Self::Request {
        proto::LimitRequest {
            network: self.network.clone(),
            addr: text(&self.target_address),
            client: text(&self.client_id),
            src: text(&self.source_address),
            service: self.service.clone(),
            scope: self.scope.word(),
        }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        Ok(Rates { upload: from_rate(reply.r#in), download: from_rate(reply.out) })
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self {
            scope: Word::read(&request.scope)?,
            service: request.service,
            network: request.network,
            target_address: known(request.addr),
            client_id: known(request.client),
            source_address: known(request.src),
        })
    }

    fn encode_reply(reply: Self::Reply) -> Self::Response {
        proto::LimitReply { r#in: to_rate(reply.upload), out: to_rate(reply.download) }
    }
}

/// Two calls are the same to the letter. `ok` doesn't count, as in GOST: servers leave it at false.
macro_rules! addresses {
    ($call:ty, $request:ident, $reply:ident, $path:literal) => {
        impl GrpcCall for $call {
            type Request = proto::$request;
            type Response = proto::$reply;
            const PATH: &'static str = $path;

            fn encode(&self) -> Self::Request {
                let (network, client) = (self.family.word(), text(&self.client_id));
                proto::$request { network, host: self.host.clone(), client }
            }

            fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
                list(reply.ips)
            }

            fn decode_request(request: Self::Request) -> Result<Self, String> {
                let (family, client_id) = (Word::read(&request.network)?, known(request.client));
                Ok(Self { family, host: request.host, client_id })
            }

            fn encode_reply(ips: Self::Reply) -> Self::Response {
                proto::$reply { ok: !ips.is_empty(), ips }
            }
        }
    };
}

addresses!(LookupRequest, LookupRequest, LookupReply, "/proto.HostMapper/Lookup");
addresses!(ResolveRequest, ResolveRequest, ResolveReply, "/proto.Resolver/Resolve");
