//! Ingress, router, sd. In none of them `ok` counts, as in GOST: servers leave it at false.

use drawspan_bridge_gost::{known, list, text};
use drawspan_proto as proto;
use drawspan_wit::CallError;
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::router::{Route, RouteRequest};
use drawspan_wit::service_discovery::{DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest, Service};

use super::GrpcCall;

impl GrpcCall for GetRuleRequest {
    type Request = proto::GetRuleRequest;
    type Response = proto::GetRuleReply;
    const PATH: &'static str = "/proto.Ingress/GetRule";

    fn encode(&self) -> Self::Request {
        proto::GetRuleRequest { host: self.host.clone(), service: text(&self.service) }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        Ok(known(reply.endpoint))
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self { host: request.host, service: known(request.service) })
    }

    fn encode_reply(reply: Self::Reply) -> Self::Response {
        proto::GetRuleReply { endpoint: text(&reply) }
    }
}

impl GrpcCall for SetRuleRequest {
    type Request = proto::SetRuleRequest;
    type Response = proto::SetRuleReply;
    const PATH: &'static str = "/proto.Ingress/SetRule";

    fn encode(&self) -> Self::Request {
        let (host, endpoint) = (self.host.clone(), self.endpoint.clone());
        proto::SetRuleRequest { host, endpoint, service: text(&self.service) }
    }

    fn decode(_: Self::Response) -> Result<Self::Reply, CallError> {
        Ok(())
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self { host: request.host, endpoint: request.endpoint, service: known(request.service) })
    }

    fn encode_reply((): Self::Reply) -> Self::Response {
        proto::SetRuleReply { ok: true }
    }
}

impl GrpcCall for RouteRequest {
    type Request = proto::GetRouteRequest;
    type Response = proto::GetRouteReply;
    const PATH: &'static str = "/proto.Router/GetRoute";

    fn encode(&self) -> Self::Request {
        proto::GetRouteRequest { dst: self.destination.clone(), id: text(&self.router_id) }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        let there = !reply.dst.is_empty() && !reply.gateway.is_empty();
        Ok(there.then_some(Route { destination: reply.dst, gateway: reply.gateway }))
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self { destination: request.dst, router_id: known(request.id) })
    }

    fn encode_reply(reply: Self::Reply) -> Self::Response {
        reply.map(|route| proto::GetRouteReply { dst: route.destination, gateway: route.gateway }).unwrap_or_default()
    }
}

impl GrpcCall for RegisterRequest {
    type Request = proto::RegisterRequest;
    type Response = proto::RegisterReply;
    const PATH: &'static str = "/proto.SD/Register";

    fn encode(&self) -> Self::Request {
        proto::RegisterRequest {
            service: Some(proto::Service {
                id: self.id.clone(),
                name: self.name.clone(),
                node: self.node.clone(),
                network: self.network.clone(),
                address: self.address.clone(),
            }),
        }
    }

    fn decode(_: Self::Response) -> Result<Self::Reply, CallError> {
        Ok(())
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        let proto::Service { id, name, node, network, address } = request.service.ok_or(NO_SERVICE)?;
        Ok(Self { id, name, node, network, address })
    }

    fn encode_reply((): Self::Reply) -> Self::Response {
        proto::RegisterReply { ok: true }
    }
}

const NO_SERVICE: &str = "the request has no service";

/// Two calls are the same to the letter. GOST leaves network and address empty.
macro_rules! registration {
    ($call:ty, $request:ident, $reply:ident, $path:literal) => {
        impl GrpcCall for $call {
            type Request = proto::$request;
            type Response = proto::$reply;
            const PATH: &'static str = $path;

            fn encode(&self) -> Self::Request {
                let (id, name, node) = (self.id.clone(), self.name.clone(), self.node.clone());
                proto::$request { service: Some(proto::Service { id, name, node, ..Default::default() }) }
            }

            fn decode(_: Self::Response) -> Result<Self::Reply, CallError> {
                Ok(())
            }

            fn decode_request(request: Self::Request) -> Result<Self, String> {
                let proto::Service { id, name, node, .. } = request.service.ok_or(NO_SERVICE)?;
                Ok(Self { id, name, node })
            }

            fn encode_reply((): Self::Reply) -> Self::Response {
                proto::$reply { ok: true }
            }
        }
    };
}

registration!(RenewRequest, RenewRequest, RenewReply, "/proto.SD/Renew");
registration!(DeregisterRequest, DeregisterRequest, DeregisterReply, "/proto.SD/Deregister");

impl GrpcCall for GetServicesRequest {
    type Request = proto::GetServiceRequest;
    type Response = proto::GetServiceReply;
    const PATH: &'static str = "/proto.SD/Get";

    fn encode(&self) -> Self::Request {
        proto::GetServiceRequest { name: self.name.clone() }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        let service =
            |proto::Service { id, name, node, network, address }| Service { id, name, node, network, address };
        Ok(list(reply.services)?.into_iter().map(service).collect())
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self { name: request.name })
    }

    fn encode_reply(reply: Self::Reply) -> Self::Response {
        let service =
            |Service { id, name, node, network, address }| proto::Service { id, name, node, network, address };
        proto::GetServiceReply { services: reply.into_iter().map(service).collect() }
    }
}
