//! Each call as the JSON or parameters that GOST sends, and each reply as the JSON that it reads.

use std::fmt::Debug;

use drawspan_wit::ErrorKind;
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
use http::{Method, StatusCode};

use super::{HttpCall, Payload};

fn s(text: &str) -> String {
    text.into()
}

fn some(text: &str) -> Option<String> {
    Some(text.into())
}

/// The body is the request in both directions. Cut off anywhere it is refused.
fn request<C: HttpCall + Debug>(method: Method, call: C, body: &str) {
    assert_eq!(C::METHOD, method);
    match call.encode() {
        Payload::Json(json) => assert_eq!(String::from_utf8(json).unwrap(), body),
        Payload::Query(_) => panic!("{} has no body", C::FUNCTION),
    }
    assert_eq!(C::decode_request(body.as_bytes(), &[]), Ok(call));
    for end in 0..body.len() {
        assert!(C::decode_request(&body.as_bytes()[..end], &[]).is_err(), "{}", &body[..end]);
    }
}

/// The parameters are the request in both directions.
fn query<C: HttpCall + Debug>(call: C, parameters: &[(&'static str, &str)]) {
    assert_eq!(C::METHOD, Method::GET);
    let parameters = parameters.iter().map(|(name, value)| (*name, s(value)));
    assert_eq!(call.encode(), Payload::Query(parameters.clone().collect()));
    let parameters: Vec<_> = parameters.map(|(name, value)| (s(name), value)).collect();
    assert_eq!(C::decode_request(b"", &parameters), Ok(call));
}

/// The body is the reply in both directions.
fn reply<C: HttpCall>(reply: C::Reply, body: &str)
where
    C::Reply: Debug,
{
    assert_eq!(C::encode_reply(reply.clone()), (StatusCode::OK, body.into()));
    read::<C>(body, Ok(reply));
}

/// The body is read so.
fn read<C: HttpCall>(body: &str, reply: Result<C::Reply, ErrorKind>)
where
    C::Reply: Debug,
{
    assert_eq!(C::decode(body.as_bytes()).map_err(|error| error.kind()), reply, "{}: {body}", C::FUNCTION);
}

const BAD: ErrorKind = ErrorKind::BadReply;

#[test]
fn auther() {
    let mut call = AuthenticationRequest {
        username: s("u"),
        password: s("p"),
        client_address: some("127.0.0.1:41806"),
        service: s("s-http"),
        certificate: None,
    };
    let json = r#"{"service":"s-http","username":"u","password":"p","client":"127.0.0.1:41806"}"#;
    request(Method::POST, call.clone(), json);
    call.client_address = None;
    let certificate = ClientCertificate { common_name: s("cn"), alternative_names: vec![s("a")], fingerprint: s("") };
    call.certificate = Some(certificate);
    let json = r#"{"service":"s-http","username":"u","password":"p","client":"","clientCn":"cn","clientSan":["a"]}"#;
    request(Method::POST, call.clone(), json);
    call.certificate = call.certificate.map(|certificate| ClientCertificate { fingerprint: s("0f"), ..certificate });
    let json = json.replace(r#""]}"#, r#""],"clientCertFingerprint":"0f"}"#);
    request(Method::POST, call, &json);

    type Call = AuthenticationRequest;
    let identity = |id| Ok(Some(Identity { client_id: s(id) }));
    reply::<Call>(None, r#"{"ok":false,"id":""}"#);
    reply::<Call>(Some(Identity { client_id: s("x") }), r#"{"ok":true,"id":"x"}"#);
    for (body, reply) in [
        (r#"{"OK":true,"Id":"x","more":[1]} trailing"#, identity("x")),
        (r#"{"ok":true}"#, identity("")),
        (r#"{"ok":true,"id":null}"#, identity("")),
        (r#"{"ok":false,"id":"x"}"#, Ok(None)),
        (r#"{"id":"x"}"#, Ok(None)),
        ("{}", Ok(None)),
        ("null", Ok(None)),
    ] {
        read::<Call>(body, reply);
    }
    for body in ["", "ok", "[]", "true", r#"{"ok":"true"}"#, r#"{"ok":1}"#, r#"{"ok":true"#, r#"{"ok":true,"id":7}"#] {
        read::<Call>(body, Err(BAD));
    }
}

#[test]
fn admission() {
    let call = AdmissionRequest { network: s("tcp"), client_address: s("192.0.2.7:41806"), service: some("s-0") };
    request(Method::POST, call.clone(), r#"{"service":"s-0","network":"tcp","addr":"192.0.2.7:41806"}"#);
    let stable = AdmissionRequest::decode_request(br#"{"service":"s-0","addr":"192.0.2.7:41806"}"#, &[]);
    assert_eq!(stable, Ok(call), "stable GOST doesn't send the network");
    reply::<AdmissionRequest>(Verdict::Denied, r#"{"ok":false}"#);
    reply::<AdmissionRequest>(Verdict::Admitted, r#"{"ok":true}"#);
    read::<AdmissionRequest>("null", Ok(Verdict::Denied));
    read::<AdmissionRequest>("", Err(BAD));
}

#[test]
fn bypass() {
    let call = BypassRequest {
        network: s("tcp"),
        target_address: s("example.org:443"),
        host: some("h"),
        path: None,
        client_id: some("c"),
        service: None,
    };
    let json = r#"{"service":"","network":"tcp","addr":"example.org:443","client":"c","host":"h","path":""}"#;
    request(Method::POST, call, json);
    reply::<BypassRequest>(Match::Unmatched, r#"{"ok":false}"#);
    reply::<BypassRequest>(Match::Matched, r#"{"ok":true}"#);
    assert_eq!(BypassRequest::failure_reply(), Some(br#"{"ok":true}"#.into()));
}

#[test]
fn hop() {
    let call = HopRequest {
        network: some("tcp"),
        target_address: some("192.0.2.1:443"),
        host: some("h"),
        path: None,
        client_id: some("c"),
        source_address: some("192.0.2.7:41806"),
    };
    let json = r#"{"network":"tcp","addr":"192.0.2.1:443","host":"h","path":"","client":"c","src":"192.0.2.7:41806"}"#;
    request(Method::POST, call, json);
    reply::<HopRequest>(some(r#"{"name":"n","addr":"a:1"}"#), r#"{"name":"n","addr":"a:1"}"#);
    assert_eq!(HopRequest::encode_reply(None), (StatusCode::NOT_FOUND, Vec::new()));
    for body in ["", "null", "{}", r#"{"addr":""}"#, "[]"] {
        read::<HopRequest>(body, Err(BAD));
    }
    for (status, reply) in [(404, Some(None)), (204, Some(None)), (201, None), (302, None), (403, None), (500, None)] {
        assert_eq!(HopRequest::decode_status(StatusCode::from_u16(status).unwrap()), reply, "{status}");
    }
    assert_eq!(HopRequest::failure_reply(), Some(b"{}".into()), "to GOST a status means that it may go without a node");
}

#[test]
fn limiter() {
    let call = LimitRequest {
        scope: LimitScope::Connection,
        service: s("s-0"),
        network: s("tcp"),
        target_address: None,
        client_id: None,
        source_address: some("192.0.2.7:41806"),
    };
    let json = r#"{"service":"s-0","scope":"conn","network":"tcp","addr":"","client":"","src":"192.0.2.7:41806"}"#;
    request(Method::POST, call, json);
    assert!(LimitRequest::decode_request(b"{}", &[]).is_err(), "no scope");

    let rates = |upload, download| Rates { upload, download };
    reply::<LimitRequest>(rates(None, Some(7)), r#"{"in":0,"out":7}"#);
    read::<LimitRequest>(r#"{"in":-1}"#, Ok(rates(None, None)));
    read::<LimitRequest>(r#"{"in":9223372036854775807}"#, Ok(rates(Some(i64::MAX as u64), None)));
    for body in [r#"{"in":1.0}"#, r#"{"in":1e3}"#, r#"{"in":9223372036854775808}"#, r#"{"in":"1"}"#] {
        read::<LimitRequest>(body, Err(BAD));
    }
    let most = LimitRequest::encode_reply(rates(Some(0), Some(u64::MAX)));
    assert_eq!(most.1, br#"{"in":1,"out":9223372036854775807}"#, "GOST can't say more");
}

#[test]
fn hosts_and_resolver() {
    let call = LookupRequest { family: AddressFamily::Any, host: s("example.org"), client_id: None };
    request(Method::POST, call, r#"{"network":"ip","host":"example.org","client":""}"#);
    let call = ResolveRequest { family: AddressFamily::Ipv6, host: s("example.org"), client_id: some("c") };
    request(Method::POST, call, r#"{"network":"ip6","host":"example.org","client":"c"}"#);
    assert!(ResolveRequest::decode_request(br#"{"network":"tcp"}"#, &[]).is_err());

    reply::<LookupRequest>(Vec::new(), r#"{"ips":[],"ok":false}"#);
    reply::<LookupRequest>(vec![s("::1")], r#"{"ips":["::1"],"ok":true}"#);
    read::<LookupRequest>(r#"{"ips":["::1"]}"#, Ok(vec![s("::1")]));
    read::<LookupRequest>(r#"{"ips":[null,"::1",null]}"#, Ok(vec![s("::1")]));
    read::<LookupRequest>(r#"{"ok":true}"#, Ok(Vec::new()));
    reply::<ResolveRequest>(vec![s("::1")], r#"{"ips":["::1"],"ok":true}"#);
    read::<ResolveRequest>(r#"{"ips":["::1"]}"#, Ok(Vec::new()));
    read::<ResolveRequest>(r#"{"ips":"::1","ok":true}"#, Err(BAD));
    let long = format!(r#"{{"ok":true,"ips":["::1"{}]}}"#, r#","::1""#.repeat(10_000));
    read::<ResolveRequest>(&long, Err(BAD));
}

#[test]
fn ingress() {
    let call = GetRuleRequest { host: s("example.org:80"), service: some("s-0") };
    query(call.clone(), &[("host", "example.org:80"), ("service", "s-0")]);
    query(GetRuleRequest { service: None, ..call }, &[("host", "example.org:80")]);
    let call = SetRuleRequest { host: s("example.org"), endpoint: s("$4d21"), service: None };
    request(Method::PUT, call, r#"{"service":"","host":"example.org","endpoint":"$4d21"}"#);

    reply::<GetRuleRequest>(None, r#"{"endpoint":""}"#);
    reply::<GetRuleRequest>(some("$4d21"), r#"{"endpoint":"$4d21"}"#);
    read::<GetRuleRequest>("{}", Ok(None));
    read::<GetRuleRequest>("", Err(BAD));
    reply::<SetRuleRequest>((), r#"{"ok":true}"#);
    for body in ["", "{}", r#"{"ok":false}"#] {
        read::<SetRuleRequest>(body, Ok(()));
    }
}

#[test]
fn router() {
    let call = RouteRequest { destination: s("192.0.2.1"), router_id: some("r") };
    query(call.clone(), &[("dst", "192.0.2.1"), ("id", "r")]);
    query(RouteRequest { router_id: None, ..call }, &[("dst", "192.0.2.1")]);
    let route = || Some(Route { destination: s("192.0.2.0/24"), gateway: s("g") });
    reply::<RouteRequest>(None, r#"{"dst":"","net":"","gateway":""}"#);
    reply::<RouteRequest>(route(), r#"{"dst":"192.0.2.0/24","net":"","gateway":"g"}"#);
    read::<RouteRequest>(r#"{"net":"192.0.2.0/24","gateway":"g"}"#, Ok(route()));
    read::<RouteRequest>(r#"{"dst":"192.0.2.0/24","net":"::/0","gateway":"g"}"#, Ok(route()));
    read::<RouteRequest>(r#"{"dst":"192.0.2.0/24"}"#, Ok(None));
    read::<RouteRequest>(r#"{"gateway":"g"}"#, Ok(None));
}

#[test]
fn sd() {
    let (id, name, node, network, address) = (s("i"), s("n"), s("o"), s("tcp"), s("a:1"));
    let short = r#"{"id":"i","name":"n","node":"o","network":"","address":""}"#;
    let full = r#"{"id":"i","name":"n","node":"o","network":"tcp","address":"a:1"}"#;
    let call = RenewRequest { id: id.clone(), name: name.clone(), node: node.clone() };
    request(Method::PUT, call.clone(), short);
    assert_eq!(RenewRequest::decode_request(full.as_bytes(), &[]), Ok(call));
    request(Method::DELETE, DeregisterRequest { id: id.clone(), name: name.clone(), node: node.clone() }, short);
    let service = Service {
        id: id.clone(),
        name: name.clone(),
        node: node.clone(),
        network: network.clone(),
        address: address.clone(),
    };
    request(Method::POST, RegisterRequest { id, name, node, network, address }, full);
    query(GetServicesRequest { name: s("n") }, &[("name", "n")]);

    reply::<RegisterRequest>((), r#"{"ok":true}"#);
    reply::<RenewRequest>((), r#"{"ok":true}"#);
    reply::<DeregisterRequest>((), r#"{"ok":true}"#);
    for body in ["", "{}", r#"{"ok":false}"#] {
        read::<RegisterRequest>(body, Ok(()));
        read::<RenewRequest>(body, Ok(()));
        read::<DeregisterRequest>(body, Ok(()));
    }
    reply::<GetServicesRequest>(Vec::new(), r#"{"services":[]}"#);
    reply::<GetServicesRequest>(vec![service.clone()], &format!(r#"{{"services":[{full}]}}"#));
    read::<GetServicesRequest>(&format!(r#"{{"services":[null,{full},null]}}"#), Ok(vec![service]));
    read::<GetServicesRequest>(r#"{"services":null}"#, Ok(Vec::new()));
    read::<GetServicesRequest>(r#"{"services":{}}"#, Err(BAD));
}

#[test]
fn recorder() {
    let call = WriteRequest { data: vec![0xfb, 0xff], metadata: None };
    request(Method::POST, call.clone(), r#"{"data":"+/8=","metadata":"bnVsbA=="}"#);
    assert_eq!(call.unsent(), None);
    let call = WriteRequest { data: Vec::new(), metadata: some("{}") };
    request(Method::POST, call.clone(), r#"{"data":"","metadata":"e30="}"#);
    assert_eq!(call.unsent(), Some(()));
    for body in [r#"{"data":"-_8="}"#, r#"{"data":[1]}"#, r#"{"metadata":"/w=="}"#] {
        assert!(WriteRequest::decode_request(body.as_bytes(), &[]).is_err(), "{body}");
    }
    reply::<WriteRequest>((), r#"{"ok":true}"#);
    read::<WriteRequest>("{}", Err(ErrorKind::Refused));
    read::<WriteRequest>("", Err(BAD));
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
    let stats = r#"{"totalConns":1,"currentConns":18446744073709551615,"inputBytes":3,"outputBytes":4,"totalErrs":5}"#;
    let handler = format!(r#"{{"kind":"handler","service":"s-0","client":"c","type":"stats","stats":{stats}}}"#);
    let service = r#"{"kind":"service","service":"s-0","type":"status","status":{"state":"ready","msg":"m"}}"#;
    request(Method::POST, call, &format!(r#"{{"events":[{handler},{service}]}}"#));
    for event in [
        "null",
        r#"{"kind":"listener","type":"stats"}"#,
        r#"{"kind":"service","type":"status"}"#,
        r#"{"kind":"service","type":"status","status":{"state":"gone"}}"#,
        r#"{"kind":"service","type":"stats","stats":{"totalConns":-1}}"#,
    ] {
        let body = format!(r#"{{"events":[{event}]}}"#);
        assert!(ObserveRequest::decode_request(body.as_bytes(), &[]).is_err(), "{event}");
    }
    reply::<ObserveRequest>((), r#"{"ok":true}"#);
    read::<ObserveRequest>("{}", Err(ErrorKind::Refused));
}

#[test]
fn rewriter() {
    let call = RewriteRequest { data: b"d".into(), metadata: some("{}") };
    request(Method::POST, call.clone(), r#"{"data":"ZA==","metadata":"e30="}"#);
    let call = RewriteRequest { data: Vec::new(), ..call };
    request(Method::POST, call.clone(), r#"{"data":null,"metadata":"e30="}"#);
    assert_eq!(RewriteRequest::decode_request(br#"{"data":"","metadata":"e30="}"#, &[]), Ok(call));
    reply::<RewriteRequest>(None, r#"{"ok":true,"data":null}"#);
    reply::<RewriteRequest>(Some(Vec::new()), r#"{"ok":true,"data":""}"#);
    reply::<RewriteRequest>(Some(b"d".into()), r#"{"ok":true,"data":"ZA=="}"#);
    read::<RewriteRequest>(r#"{"ok":true}"#, Ok(None));
    read::<RewriteRequest>(r#"{"ok":false,"data":"ZA=="}"#, Ok(None));
    read::<RewriteRequest>(r#"{"ok":true,"data":"ZA"}"#, Err(BAD));
    assert_eq!(RewriteRequest::failure_reply(), Some(br#"{"ok":false,"data":null}"#.into()));
}
