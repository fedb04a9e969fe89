//! Answers as `tests/interop/pluginserver` does, and writes all that it is asked into its log, in that server's form: what GOST
//! sends to an HTTP plugin. The node that a hop leads to is the config key `node`.

use std::sync::{Mutex, PoisonError};

use drawspan::plugin::types::{AddressFamily, PluginError};
use exports::drawspan::plugin::{
    admission, authenticator, bypass, hop, host_mapper, ingress, lifecycle, observer, recorder, resolver, router,
    service_discovery, traffic_limiter,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::wasi::logging::logging::{Level, log};

wit_bindgen::generate!({
    path: ["../../../wit/0.1.0", "../../../bridges/wasm/wit/logging.wit"],
    inline: "
        package drawspan:told;

        world guest {
            import wasi:logging/logging@0.1.0-draft;
            export drawspan:plugin/authenticator@0.1.0;
            export drawspan:plugin/admission@0.1.0;
            export drawspan:plugin/bypass@0.1.0;
            export drawspan:plugin/hop@0.1.0;
            export drawspan:plugin/traffic-limiter@0.1.0;
            export drawspan:plugin/host-mapper@0.1.0;
            export drawspan:plugin/resolver@0.1.0;
            export drawspan:plugin/ingress@0.1.0;
            export drawspan:plugin/router@0.1.0;
            export drawspan:plugin/service-discovery@0.1.0;
            export drawspan:plugin/recorder@0.1.0;
            export drawspan:plugin/observer@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

static NODE: Mutex<String> = Mutex::new(String::new());

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let node = request.config.into_iter().find(|(key, _)| key == "node");
        *NODE.lock().unwrap_or_else(PoisonError::into_inner) = node.unwrap_or_default().1;
        Ok(())
    }
}

/// A request to an HTTP server.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told<'a> {
    protocol: &'a str,
    method: &'a str,
    path: String,
    query: String,
    body: String,
}

fn tell(method: &str, module: &str, query: &[(&str, &str)], body: &[(&str, Value)]) {
    let query: Vec<_> = query
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", value.replace(':', "%3A")))
        .collect();
    // In that order.
    let fields: Vec<_> = body.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    let told = Told {
        protocol: "wasm",
        method,
        path: format!("/{module}"),
        query: query.join("&"),
        body: if body.is_empty() { String::new() } else { format!("{{{}}}", fields.join(",")) },
    };
    log(Level::Info, "", &serde_json::to_string(&told).unwrap_or_default());
}

fn post(module: &str, body: &[(&str, Value)]) {
    tell("POST", module, &[], body);
}

/// What isn't known is empty in GOST's messages.
fn text(value: Option<String>) -> Value {
    value.unwrap_or_default().into()
}

fn host_of(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, _)) => host,
        None => address,
    }
}

impl authenticator::Guest for Guest {
    fn authenticate(
        request: authenticator::AuthenticationRequest,
    ) -> Result<Option<authenticator::Identity>, PluginError> {
        let (username, password) = (request.username, request.password);
        post(
            "auther",
            &[
                ("service", request.service.into()),
                ("username", username.clone().into()),
                ("password", password.clone().into()),
                ("client", text(request.client_address)),
            ],
        );
        let user = (username.as_str(), password.as_str());
        let is_known = matches!(user, ("gost", "secret") | ("guest", "") | ("192.168.123.2", "secret"));
        Ok(is_known.then_some(authenticator::Identity { client_id: username }))
    }
}

impl admission::Guest for Guest {
    fn admit(request: admission::AdmissionRequest) -> Result<admission::Verdict, PluginError> {
        let address = request.client_address;
        post(
            "admission",
            &[
                ("service", text(request.service)),
                ("network", request.network.into()),
                ("addr", address.clone().into()),
            ],
        );
        Ok(match host_of(&address) {
            "192.0.2.66" | "127.0.0.66" => admission::Verdict::Denied,
            _ => admission::Verdict::Admitted,
        })
    }
}

impl bypass::Guest for Guest {
    fn contains(request: bypass::BypassRequest) -> Result<bypass::Match, PluginError> {
        let address = request.target_address;
        post(
            "bypass",
            &[
                ("service", text(request.service)),
                ("network", request.network.into()),
                ("addr", address.clone().into()),
                ("client", text(request.client_id)),
                ("host", text(request.host)),
                ("path", text(request.path)),
            ],
        );
        let host = host_of(&address);
        Ok(if host.ends_with(".blocked") || host == "127.0.0.9" {
            bypass::Match::Matched
        } else {
            bypass::Match::Unmatched
        })
    }
}

impl hop::Guest for Guest {
    fn select(request: hop::HopRequest) -> Result<Option<String>, PluginError> {
        let host = request.host.clone().unwrap_or_default();
        post(
            "hop",
            &[
                ("network", text(request.network)),
                ("addr", text(request.target_address)),
                ("host", text(request.host)),
                ("path", text(request.path)),
                ("client", text(request.client_id)),
                ("src", text(request.source_address)),
            ],
        );
        if host_of(&host).ends_with(".direct") {
            return Ok(None);
        }
        let addr = NODE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let node = json!({"name": "node-0", "addr": addr, "connector": {"type": "http"}, "dialer": {"type": "tcp"}});
        Ok(Some(node.to_string()))
    }
}

impl traffic_limiter::Guest for Guest {
    fn limit(request: traffic_limiter::LimitRequest) -> Result<traffic_limiter::Rates, PluginError> {
        use traffic_limiter::{LimitScope, Rates};
        let (scope, rates) = match request.scope {
            LimitScope::Connection => ("conn", Rates { upload: Some(1 << 20), download: Some(256 << 10) }),
            LimitScope::Service => ("service", Rates { upload: None, download: None }),
            LimitScope::Client => ("client", Rates { upload: None, download: Some(500_000) }),
        };
        post(
            "limiter",
            &[
                ("service", request.service.into()),
                ("scope", scope.into()),
                ("network", request.network.into()),
                ("addr", text(request.target_address)),
                ("client", text(request.client_id)),
                ("src", text(request.source_address)),
            ],
        );
        Ok(rates)
    }
}

/// Both addresses of this machine, or that of one family.
fn loopback(family: AddressFamily) -> Vec<String> {
    match family {
        AddressFamily::Any => vec!["127.0.0.1".into(), "::1".into()],
        AddressFamily::Ipv4 => vec!["127.0.0.1".into()],
        AddressFamily::Ipv6 => vec!["::1".into()],
    }
}

/// Tells of a question for a host's addresses.
fn names(module: &str, family: AddressFamily, host: &str, client: Option<String>) {
    let network = match family {
        AddressFamily::Any => "ip",
        AddressFamily::Ipv4 => "ip4",
        AddressFamily::Ipv6 => "ip6",
    };
    post(module, &[("network", network.into()), ("host", host.into()), ("client", text(client))]);
}

impl host_mapper::Guest for Guest {
    fn lookup(request: host_mapper::LookupRequest) -> Result<Vec<String>, PluginError> {
        let host = request.host;
        names("hosts", request.family, &host, request.client_id);
        Ok(if host == "mapped.test" { loopback(request.family) } else { Vec::new() })
    }
}

impl resolver::Guest for Guest {
    fn resolve(request: resolver::ResolveRequest) -> Result<Vec<String>, PluginError> {
        let host = request.host;
        names("resolver", request.family, &host, request.client_id);
        Ok(match host.as_str() {
            "resolved.test" => loopback(request.family),
            ip if ip.parse::<std::net::IpAddr>().is_ok() => vec![host],
            _ => Vec::new(),
        })
    }
}

/// Only what is there from the start: instances come and go.
impl ingress::Guest for Guest {
    fn get_rule(request: ingress::GetRuleRequest) -> Result<Option<String>, PluginError> {
        let service = request.service.unwrap_or_default();
        let query = [("host", request.host.as_str()), ("service", &service)];
        tell("GET", "ingress", &query, &[]);
        // Those of routers are set before them.
        let is_known = matches!(host_of(&request.host), "public.test" | "gateway-0" | "gateway-1");
        Ok(is_known.then(|| "4d21094e-b74c-4916-86c1-d9fa36ea677b".into()))
    }

    fn set_rule(request: ingress::SetRuleRequest) -> Result<(), PluginError> {
        let body =
            [("service", text(request.service)), ("host", request.host.into()), ("endpoint", request.endpoint.into())];
        tell("PUT", "ingress", &[], &body);
        Ok(())
    }
}

impl router::Guest for Guest {
    fn get_route(request: router::RouteRequest) -> Result<Option<router::Route>, PluginError> {
        let id = request.router_id.unwrap_or_default();
        let query = [("dst", request.destination.as_str()), ("id", &id)];
        tell("GET", "router", &query, &[]);
        let routes = [("192.0.2.", "gateway-0"), ("198.51.100.", "192.168.123.2"), ("203.0.113.", "gateway-1")];
        let route = routes.into_iter().find(|(net, _)| request.destination.starts_with(net));
        Ok(route.map(|(net, gateway)| router::Route { destination: format!("{net}0/24"), gateway: gateway.into() }))
    }
}

fn service(method: &str, [id, name, node, network, address]: [String; 5]) {
    let body = [
        ("id", id.into()),
        ("name", name.into()),
        ("node", node.into()),
        ("network", network.into()),
        ("address", address.into()),
    ];
    tell(method, "sd", &[], &body);
}

impl service_discovery::Guest for Guest {
    fn register(of: service_discovery::RegisterRequest) -> Result<(), PluginError> {
        service("POST", [of.id, of.name, of.node, of.network, of.address]);
        Ok(())
    }

    fn renew(of: service_discovery::RenewRequest) -> Result<(), PluginError> {
        service("PUT", [of.id, of.name, of.node, String::new(), String::new()]);
        Ok(())
    }

    fn deregister(of: service_discovery::DeregisterRequest) -> Result<(), PluginError> {
        service("DELETE", [of.id, of.name, of.node, String::new(), String::new()]);
        Ok(())
    }

    fn get_services(
        request: service_discovery::GetServicesRequest,
    ) -> Result<Vec<service_discovery::Service>, PluginError> {
        tell("GET", "sd", &[("name", &request.name)], &[]);
        Ok(Vec::new())
    }
}

impl recorder::Guest for Guest {
    fn write(request: recorder::WriteRequest) -> Result<(), PluginError> {
        let metadata = request.metadata.unwrap_or_else(|| "null".into());
        let body = [("data", base64(&request.data).into()), ("metadata", base64(metadata.as_bytes()).into())];
        post("recorder", &body);
        Ok(())
    }
}

impl observer::Guest for Guest {
    fn observe(request: observer::ObserveRequest) -> Result<(), PluginError> {
        let events: Vec<_> = request.events.into_iter().map(event).collect();
        post("observer", &[("events", events.into())]);
        Ok(())
    }
}

fn event(event: observer::Event) -> Value {
    let kind = match event.source {
        observer::EventSource::Service => "service",
        observer::EventSource::Handler => "handler",
    };
    let mut value = json!({"kind": kind, "service": event.service});
    if let Some(client) = event.client_id {
        value["client"] = client.into();
    }
    match event.detail {
        observer::EventDetail::Stats(stats) => {
            value["type"] = "stats".into();
            value["stats"] = json!({
                "totalConns": stats.total_connections, "currentConns": stats.current_connections,
                "inputBytes": stats.input_bytes, "outputBytes": stats.output_bytes, "totalErrs": stats.total_errors,
            });
        }
        observer::EventDetail::Status(status) => {
            let state = match status.state {
                observer::ServiceState::Running => "running",
                observer::ServiceState::Ready => "ready",
                observer::ServiceState::Failed => "failed",
                observer::ServiceState::Closed => "closed",
            };
            value["type"] = "status".into();
            value["status"] = json!({"state": state, "msg": status.message});
        }
    }
    value
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            text.push(match place > chunk.len() {
                true => '=',
                false => DIGITS[(bits >> (18 - 6 * place) & 63) as usize].into(),
            });
        }
    }
    text
}
