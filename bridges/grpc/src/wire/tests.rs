//! Each call as the message that GOST sends, and each reply as the message that it reads.

use std::fmt::Debug;

use drawspan_proto as proto;
use drawspan_wit::admission::{AdmissionRequest, Verdict};
use drawspan_wit::authenticator::{AuthenticationRequest, ClientCertificate, Identity};
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::hop::HopRequest;
use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::observer::{Event, EventDetail, EventSource, ObserveRequest, ServiceState, Stats, Status};
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::router::{Route, RouteRequest};
use drawspan_wit::service_discovery::{DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest, Service};
use drawspan_wit::traffic_limiter::{LimitRequest, LimitScope, Rates};
use drawspan_wit::types::AddressFamily;
use drawspan_wit::{CallError, ErrorKind};

use super::GrpcCall;

fn s(text: &str) -> String {
    text.into()
}

fn some(text: &str) -> Option<String> {
    Some(text.into())
}

/// The message is the request in both directions.
fn request<C: GrpcCall + Debug>(path: &str, call: C, message: C::Request)
where
    C::Request: PartialEq + Debug,
{
    assert_eq!(C::PATH, path);
    assert_eq!(call.encode(), message, "{path}");
    assert_eq!(C::decode_request(message), Ok(call), "{path}");
}

/// The message is the reply in both directions.
fn reply<C: GrpcCall>(reply: C::Reply, message: C::Response)
where
    C::Reply: Debug,
    C::Response: PartialEq + Debug,
{
    assert_eq!(C::encode_reply(reply.clone()), message, "{}", C::PATH);
    read::<C>(message, Ok(reply));
}

/// The message is read so.
fn read<C: GrpcCall>(message: C::Response, reply: Result<C::Reply, ErrorKind>)
where
    C::Reply: Debug,
{
    assert_eq!(C::decode(message).map_err(|error: CallError| error.kind()), reply, "{}", C::PATH);
}

#[test]
fn auther() {
    let mut call = AuthenticationRequest {
        username: s("u"),
        password: s("p"),
        client_address: some("127.0.0.1:41806"),
        service: s("s-0"),
        certificate: None,
    };
    let mut message = proto::AuthenticateRequest {
        username: s("u"),
        password: s("p"),
        client: s("127.0.0.1:41806"),
        service: s("s-0"),
        ..Default::default()
    };
    request("/proto.Authenticator/Authenticate", call.clone(), message.clone());
    call.client_address = None;
    message.client.clear();
    let certificate = ClientCertificate { common_name: s(""), alternative_names: vec![s("a")], fingerprint: s("0f") };
    call.certificate = Some(certificate);
    message.client_san = vec![s("a")];
    message.client_cert_fingerprint = s("0f");
    request("/proto.Authenticator/Authenticate", call, message);

    type Call = AuthenticationRequest;
    reply::<Call>(None, proto::AuthenticateReply { ok: false, id: s("") });
    reply::<Call>(Some(Identity { client_id: s("") }), proto::AuthenticateReply { ok: true, id: s("") });
    reply::<Call>(Some(Identity { client_id: s("x") }), proto::AuthenticateReply { ok: true, id: s("x") });
    read::<Call>(proto::AuthenticateReply { ok: false, id: s("x") }, Ok(None));
}

#[test]
fn admission() {
    let call = AdmissionRequest { network: s("tcp"), client_address: s("192.0.2.7:41806"), service: some("s-0") };
    let mut message = proto::AdmissionRequest { addr: s("192.0.2.7:41806"), service: s("s-0"), network: s("tcp") };
    request("/proto.Admission/Admit", call.clone(), message.clone());
    message.network.clear();
    assert_eq!(AdmissionRequest::decode_request(message), Ok(call), "stable GOST doesn't send the network");
    reply::<AdmissionRequest>(Verdict::Denied, proto::AdmissionReply { ok: false });
    reply::<AdmissionRequest>(Verdict::Admitted, proto::AdmissionReply { ok: true });
}

#[test]
fn bypass() {
    let call = BypassRequest {
        network: s("tcp"),
        target_address: s("example.org:443"),
        host: some("h"),
        path: some("/p?q"),
        client_id: some("c"),
        service: None,
    };
    let message = proto::BypassRequest {
        addr: s("example.org:443"),
        client: s("c"),
        network: s("tcp"),
        host: s("h"),
        path: s("/p?q"),
        service: s(""),
    };
    request("/proto.Bypass/Bypass", call, message);
    reply::<BypassRequest>(Match::Unmatched, proto::BypassReply { ok: false });
    reply::<BypassRequest>(Match::Matched, proto::BypassReply { ok: true });
}

#[test]
fn hop() {
    let call = HopRequest {
        network: some("tcp"),
        target_address: some("192.0.2.1:443"),
        host: some("example.org:443"),
        path: None,
        client_id: some("c"),
        source_address: some("192.0.2.7:41806"),
    };
    let message = proto::SelectRequest {
        network: s("tcp"),
        addr: s("192.0.2.1:443"),
        host: s("example.org:443"),
        client: s("c"),
        path: s(""),
        src: s("192.0.2.7:41806"),
    };
    request("/proto.Hop/Select", call, message);
    let node = |text: &str| proto::SelectReply { node: text.into() };
    reply::<HopRequest>(None, node(""));
    reply::<HopRequest>(some(r#"{"addr":"a:1"}"#), node(r#"{"addr":"a:1"}"#));
    for text in ["{}", "null", r#"{"addr":""}"#] {
        read::<HopRequest>(node(text), Err(ErrorKind::BadReply));
    }
    assert_eq!(HopRequest::failure_reply(), Some(node("{}")), "to GOST a status means that it may go without a node");
}

#[test]
fn limiter() {
    let call = LimitRequest {
        scope: LimitScope::Connection,
        service: s("s-0"),
        network: s("tcp"),
        target_address: some("a"),
        client_id: some("c"),
        source_address: some("192.0.2.7:41806"),
    };
    let message = proto::LimitRequest {
        network: s("tcp"),
        addr: s("a"),
        client: s("c"),
        src: s("192.0.2.7:41806"),
        service: s("s-0"),
        scope: s("conn"),
    };
    request("/proto.Limiter/Limit", call, message.clone());
    let invalid = LimitRequest::decode_request(proto::LimitRequest { scope: s("connection"), ..message });
    assert_eq!(invalid.unwrap_err(), "`connection` is not a scope of `conn`, `service`, `client`");

    let rates = |upload, download| Rates { upload, download };
    let message = |r#in, out| proto::LimitReply { r#in, out };
    reply::<LimitRequest>(rates(None, Some(7)), message(0, 7));
    reply::<LimitRequest>(rates(Some(i64::MAX as u64), None), message(i64::MAX, 0));
    read::<LimitRequest>(message(-1, i64::MIN), Ok(rates(None, None)));
    assert_eq!(LimitRequest::encode_reply(rates(Some(0), Some(u64::MAX))), message(1, i64::MAX), "GOST can't say more");
}

#[test]
fn hosts_and_resolver() {
    let call = LookupRequest { family: AddressFamily::Any, host: s("example.org"), client_id: None };
    let message = proto::LookupRequest { network: s("ip"), host: s("example.org"), client: s("") };
    request("/proto.HostMapper/Lookup", call, message);
    let call = ResolveRequest { family: AddressFamily::Ipv6, host: s("example.org"), client_id: some("c") };
    let message = proto::ResolveRequest { network: s("ip6"), host: s("example.org"), client: s("c") };
    request("/proto.Resolver/Resolve", call, message);

    let ips = vec![s("192.0.2.1"), s("2001:db8::1")];
    reply::<LookupRequest>(Vec::new(), proto::LookupReply { ok: false, ips: Vec::new() });
    reply::<LookupRequest>(ips.clone(), proto::LookupReply { ok: true, ips: ips.clone() });
    read::<LookupRequest>(proto::LookupReply { ok: false, ips: ips.clone() }, Ok(ips.clone()));
    reply::<ResolveRequest>(ips.clone(), proto::ResolveReply { ok: true, ips: ips.clone() });
    read::<ResolveRequest>(proto::ResolveReply { ok: false, ips: ips.clone() }, Ok(ips));
    let long = proto::ResolveReply { ok: true, ips: vec![s("192.0.2.1"); 10_001] };
    read::<ResolveRequest>(long, Err(ErrorKind::BadReply));
}

#[test]
fn ingress() {
    let call = GetRuleRequest { host: s("example.org:80"), service: some("s-0") };
    let message = proto::GetRuleRequest { host: s("example.org:80"), service: s("s-0") };
    request("/proto.Ingress/GetRule", call, message);
    let call = SetRuleRequest { host: s("example.org"), endpoint: s("$4d21"), service: None };
    let message = proto::SetRuleRequest { host: s("example.org"), endpoint: s("$4d21"), service: s("") };
    request("/proto.Ingress/SetRule", call, message);

    reply::<GetRuleRequest>(None, proto::GetRuleReply { endpoint: s("") });
    reply::<GetRuleRequest>(some("$4d21"), proto::GetRuleReply { endpoint: s("$4d21") });
    reply::<SetRuleRequest>((), proto::SetRuleReply { ok: true });
    read::<SetRuleRequest>(proto::SetRuleReply { ok: false }, Ok(()));
}

#[test]
fn router() {
    let call = RouteRequest { destination: s("192.0.2.1"), router_id: some("r") };
    request("/proto.Router/GetRoute", call, proto::GetRouteRequest { dst: s("192.0.2.1"), id: s("r") });
    let message = |dst, gateway| proto::GetRouteReply { dst: s(dst), gateway: s(gateway) };
    reply::<RouteRequest>(None, message("", ""));
    let route = Route { destination: s("192.0.2.0/24"), gateway: s("g") };
    reply::<RouteRequest>(Some(route), message("192.0.2.0/24", "g"));
    read::<RouteRequest>(message("", "g"), Ok(None));
    read::<RouteRequest>(message("192.0.2.0/24", ""), Ok(None));
}

#[test]
fn sd() {
    let short = proto::Service { id: s("i"), name: s("n"), node: s("o"), ..Default::default() };
    let full = proto::Service { network: s("tcp"), address: s("a:1"), ..short.clone() };
    let (id, name, node, network, address) = (s("i"), s("n"), s("o"), s("tcp"), s("a:1"));
    let service = Service {
        id: id.clone(),
        name: name.clone(),
        node: node.clone(),
        network: network.clone(),
        address: address.clone(),
    };

    let call = RenewRequest { id: id.clone(), name: name.clone(), node: node.clone() };
    request("/proto.SD/Renew", call.clone(), proto::RenewRequest { service: Some(short.clone()) });
    assert_eq!(RenewRequest::decode_request(proto::RenewRequest { service: Some(full.clone()) }), Ok(call));
    let call = DeregisterRequest { id: id.clone(), name: name.clone(), node: node.clone() };
    request("/proto.SD/Deregister", call, proto::DeregisterRequest { service: Some(short) });
    let call = RegisterRequest { id, name, node, network, address };
    request("/proto.SD/Register", call, proto::RegisterRequest { service: Some(full.clone()) });
    assert!(RegisterRequest::decode_request(proto::RegisterRequest { service: None }).is_err());
    request("/proto.SD/Get", GetServicesRequest { name: s("n") }, proto::GetServiceRequest { name: s("n") });

    reply::<RegisterRequest>((), proto::RegisterReply { ok: true });
    reply::<RenewRequest>((), proto::RenewReply { ok: true });
    reply::<DeregisterRequest>((), proto::DeregisterReply { ok: true });
    read::<RegisterRequest>(proto::RegisterReply { ok: false }, Ok(()));
    read::<RenewRequest>(proto::RenewReply { ok: false }, Ok(()));
    read::<DeregisterRequest>(proto::DeregisterReply { ok: false }, Ok(()));
    reply::<GetServicesRequest>(Vec::new(), proto::GetServiceReply { services: Vec::new() });
    reply::<GetServicesRequest>(vec![service], proto::GetServiceReply { services: vec![full] });
}

#[test]
fn recorder() {
    let call = WriteRequest { data: vec![0xff, 0], metadata: None };
    let message = proto::RecordRequest { data: vec![0xff, 0], metadata: b"null".into() };
    request("/proto.Recorder/Record", call, message);
    let call = WriteRequest { data: Vec::new(), metadata: some("{}") };
    request("/proto.Recorder/Record", call, proto::RecordRequest { data: Vec::new(), metadata: b"{}".into() });
    let invalid = proto::RecordRequest { data: Vec::new(), metadata: vec![0xff] };
    assert!(WriteRequest::decode_request(invalid).is_err());
    reply::<WriteRequest>((), proto::RecordReply { ok: true });
    read::<WriteRequest>(proto::RecordReply { ok: false }, Err(ErrorKind::Refused));
}

#[test]
fn observer() {
    let stats =
        Stats { total_connections: 1, current_connections: u64::MAX, input_bytes: 3, output_bytes: 4, total_errors: 5 };
    let status = Status { state: ServiceState::Ready, message: s("m") };
    let event =
        |source, client: Option<&str>, detail| Event { source, service: s("s-0"), client_id: client.map(s), detail };
    let call = ObserveRequest {
        events: vec![
            event(EventSource::Handler, Some("c"), EventDetail::Stats(stats)),
            event(EventSource::Service, None, EventDetail::Status(status)),
        ],
    };
    let handler = proto::Event {
        kind: s("handler"),
        service: s("s-0"),
        client: s("c"),
        r#type: s("stats"),
        stats: Some(proto::Stats {
            total_conns: 1,
            current_conns: u64::MAX,
            input_bytes: 3,
            output_bytes: 4,
            total_errs: 5,
        }),
        status: None,
    };
    let service = proto::Event {
        kind: s("service"),
        service: s("s-0"),
        client: s(""),
        r#type: s("status"),
        stats: None,
        status: Some(proto::ServiceStatus { state: s("ready"), msg: s("m") }),
    };
    let message = proto::ObserveRequest { events: vec![handler.clone(), service.clone()] };
    request("/proto.Observer/Observe", call, message);

    for invalid in [
        proto::Event { kind: s("listener"), ..handler.clone() },
        proto::Event { r#type: s(""), ..handler },
        proto::Event { status: None, ..service },
    ] {
        assert!(ObserveRequest::decode_request(proto::ObserveRequest { events: vec![invalid] }).is_err());
    }
    reply::<ObserveRequest>((), proto::ObserveReply { ok: true });
    read::<ObserveRequest>(proto::ObserveReply { ok: false }, Err(ErrorKind::Refused));
}

#[test]
fn rewriter() {
    let call = RewriteRequest { data: b"d".into(), metadata: some("{}") };
    let message = proto::RewriteRequest { data: b"d".into(), metadata: b"{}".into() };
    request("/proto.Rewriter/Rewrite", call, message);
    let message = |ok, data: &[u8]| proto::RewriteReply { ok, data: data.into() };
    reply::<RewriteRequest>(None, message(true, b""));
    reply::<RewriteRequest>(Some(b"d".into()), message(true, b"d"));
    read::<RewriteRequest>(message(false, b"d"), Ok(None));
    assert_eq!(RewriteRequest::encode_reply(Some(Vec::new())), message(true, b""), "gRPC can't say the empty body");
    assert_eq!(RewriteRequest::failure_reply(), Some(message(false, b"")));
}
