//! Ingress, router, sd.

use drawspan_bridge_gost::{known, list, text};
use drawspan_wit::CallError;
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::router::{self, RouteRequest};
use drawspan_wit::service_discovery::{self, DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::{HttpCall, Payload, Verdict, answer, parameter, parameters};
use crate::json;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Endpoint {
    endpoint: String,
}

impl HttpCall for GetRuleRequest {
    const METHOD: Method = Method::GET;

    fn encode(&self) -> Payload {
        parameters([("host", Some(&self.host)), ("service", self.service.as_ref())])
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        Ok(known(json::reply::<Endpoint>(body)?.endpoint))
    }

    fn decode_request(_: &[u8], query: &[(String, String)]) -> Result<Self, String> {
        Ok(Self { host: parameter(query, "host").unwrap_or_default(), service: parameter(query, "service") })
    }

    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>) {
        answer(&Endpoint { endpoint: text(&reply) })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Rule {
    service: String,
    host: String,
    endpoint: String,
}

impl HttpCall for SetRuleRequest {
    const METHOD: Method = Method::PUT;

    fn encode(&self) -> Payload {
        let (host, endpoint) = (self.host.clone(), self.endpoint.clone());
        Payload::Json(json::to_vec(&Rule { service: text(&self.service), host, endpoint }))
    }

    /// Only the status counts, as in GOST.
    fn decode(_: &[u8]) -> Result<Self::Reply, CallError> {
        Ok(())
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let Rule { service, host, endpoint } = json::request(body)?;
        Ok(Self { host, endpoint, service: known(service) })
    }

    fn encode_reply((): Self::Reply) -> (StatusCode, Vec<u8>) {
        answer(&Verdict { ok: true })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Route {
    dst: String,
    net: String,
    gateway: String,
}

impl HttpCall for RouteRequest {
    const METHOD: Method = Method::GET;

    fn encode(&self) -> Payload {
        parameters([("dst", Some(&self.destination)), ("id", self.router_id.as_ref())])
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        let Route { dst, net, gateway } = json::reply(body)?;
        let destination = known(dst).or_else(|| known(net)).filter(|_| !gateway.is_empty());
        Ok(destination.map(|destination| router::Route { destination, gateway }))
    }

    fn decode_request(_: &[u8], query: &[(String, String)]) -> Result<Self, String> {
        Ok(Self { destination: parameter(query, "dst").unwrap_or_default(), router_id: parameter(query, "id") })
    }

    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>) {
        let route = |route: router::Route| Route { dst: route.destination, net: String::new(), gateway: route.gateway };
        answer(&reply.map(route).unwrap_or_default())
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Service {
    id: String,
    name: String,
    node: String,
    network: String,
    address: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Services {
    services: Vec<Option<Service>>,
}

/// Three calls are the same but for what of a service they tell. Only the status of the reply counts, as in GOST.
macro_rules! registration {
    ($call:ty, $method:ident, $($field:ident),*) => {
        impl HttpCall for $call {
            const METHOD: Method = Method::$method;

            #[allow(clippy::needless_update, reason = "some tell all fields")]
            fn encode(&self) -> Payload {
                Payload::Json(json::to_vec(&Service { $($field: self.$field.clone(),)* ..Service::default() }))
            }

            fn decode(_: &[u8]) -> Result<Self::Reply, CallError> {
                Ok(())
            }

            fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
                let service: Service = json::request(body)?;
                Ok(Self { $($field: service.$field,)* })
            }

            fn encode_reply((): Self::Reply) -> (StatusCode, Vec<u8>) {
                answer(&Verdict { ok: true })
            }
        }
    };
}

registration!(RegisterRequest, POST, id, name, node, network, address);
registration!(RenewRequest, PUT, id, name, node);
registration!(DeregisterRequest, DELETE, id, name, node);

impl HttpCall for GetServicesRequest {
    const METHOD: Method = Method::GET;

    fn encode(&self) -> Payload {
        parameters([("name", Some(&self.name))])
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        let service = |Service { id, name, node, network, address }| service_discovery::Service {
            id,
            name,
            node,
            network,
            address,
        };
        Ok(list(json::reply::<Services>(body)?.services)?.into_iter().flatten().map(service).collect())
    }

    fn decode_request(_: &[u8], query: &[(String, String)]) -> Result<Self, String> {
        Ok(Self { name: parameter(query, "name").unwrap_or_default() })
    }

    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>) {
        let service = |service_discovery::Service { id, name, node, network, address }| Service {
            id,
            name,
            node,
            network,
            address,
        };
        answer(&Services { services: reply.into_iter().map(service).map(Some).collect() })
    }
}
