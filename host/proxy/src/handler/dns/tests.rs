use std::net::{SocketAddr, UdpSocket};

use drawspan_modules::{Bypass, BypassRules, HostTable, Hosts, TargetPattern};
use drawspan_testkit::{Dns as Upstream, DnsAnswer, PATIENCE, eventually};
use drawspan_wit::boxed;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::time::{advance, pause, resume};

use super::*;
use crate::Router;
use crate::connector::Connector;
use crate::dialer::Dialer;
use crate::dns::{Server, Transport};
use crate::listener::{Accepted, DnsListener, DnsMode, Transport as Carried};
use crate::router::{FailFilter, NodeAddr, NodeHop, Selector, Strategy};

const SETTINGS: DnsSettings = DnsSettings { client_ip: None, ttl: DnsTtl::Answer, refresh_behind: false };

fn addresses() -> Vec<IpAddr> {
    ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|ip| ip.parse().unwrap()).to_vec()
}

/// A node that asks `upstream` by UDP and doesn't take what `not_for` contains.
fn node(upstream: SocketAddr, not_for: Option<Bypass>) -> Arc<Node> {
    let at = HostPort { host: upstream.ip().to_string(), port: upstream.port() };
    let mut node = Node::new(NodeAddr::Inet(at.clone()), Connector::Forward, Dialer::Udp);
    node.nameserver = Some(Server::new(Transport::Udp(at), PATIENCE, Router::default()));
    node.bypass = not_for;
    node.fail_filter = FailFilter::default();
    Arc::new(node)
}

fn hop(nodes: Vec<Arc<Node>>) -> Arc<Hop> {
    Arc::new(Hop::Nodes(NodeHop { name: "h".to_owned(), bypass: None, nodes, selector: Selector::new(Strategy::Fifo) }))
}

fn contains(name: &str) -> Bypass {
    let pattern = TargetPattern::Domain(name.to_owned(), None);
    Bypass::new(boxed(BypassRules::new([pattern], false).unwrap()))
}

/// A handler behind a listener, and a client that knows at once whether it was answered.
struct Setup {
    dns: Dns,
    listener: DnsListener,
    client: UdpSocket,
}

impl Setup {
    async fn new(parts: HandlerParts, nodes: Vec<Arc<Node>>, settings: DnsSettings) -> Self {
        let listener = DnsListener::bind("127.0.0.1:0", DnsMode::Udp, Default::default()).await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(listener.local_addr()).unwrap();
        client.set_nonblocking(true).unwrap();
        Self { dns: Dns::new(parts, hop(nodes), settings), listener, client }
    }

    async fn simple(upstream: &Upstream, settings: DnsSettings) -> Self {
        Self::new(HandlerParts::default(), vec![node(upstream.addr(), None)], settings).await
    }

    /// Sends `message`: the reply to it, if it gets any, or why it gets none.
    async fn send(&self, message: &[u8]) -> (Option<Vec<u8>>, Result<(), HandlerError>) {
        self.client.send(message).unwrap();
        let Accepted { transport: Carried::Dns(question), client, local } = self.listener.accept().await.unwrap()
        else {
            panic!("not a question")
        };
        let info = ConnInfo { certificate: None, service: "s".into(), sid: "".into(), client, local };
        let handled =
            self.dns.handle(Conn { stream: question, info, limits: Vec::new(), counters: Box::default() }).await;
        let mut reply = vec![0; 65_535];
        // What was sent within this machine has arrived.
        let length = self.client.recv(&mut reply).ok();
        (length.map(|length| reply[..length].to_vec()), handled)
    }

    async fn ask(&self, name: &str, record_type: RecordType) -> Option<Message> {
        let question = ask(name, record_type);
        let (reply, handled) = self.send(&question.to_vec().unwrap()).await;
        assert_eq!(reply.is_some(), handled.is_ok(), "{handled:?}");
        let reply = Message::from_vec(&reply?).unwrap();
        assert_eq!((reply.metadata.id, reply.metadata.message_type), (question.metadata.id, MessageType::Response));
        assert_eq!(reply.queries[0].name.to_string(), question.queries[0].name.to_string(), "spelled alike");
        Some(reply)
    }

    /// The TTL and the data of the answers about a name's IPv4 addresses.
    async fn found(&self, name: &str) -> Option<Vec<(u32, String)>> {
        let reply = self.ask(name, RecordType::A).await?;
        Some(reply.answers.iter().map(|record| (record.ttl, record.data.to_string())).collect())
    }
}

fn ask(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(hickory_proto::op::Query::query(name.parse().unwrap(), record_type));
    message
}

fn both(ttl: u32) -> Option<Vec<(u32, String)>> {
    Some(["192.0.2.1", "192.0.2.2"].map(|ip| (ttl, ip.to_owned())).to_vec())
}

/// Lets that time pass at once.
async fn pass(seconds: u64) {
    pause();
    advance(Duration::from_secs(seconds)).await;
    resume();
}

#[tokio::test]
async fn answers_are_kept_for_as_long_as_they_may_be() {
    const FIXED: DnsTtl = DnsTtl::Fixed(Duration::from_secs(300));
    // The answer's TTL, the setting: what clients see at first, later, and the time until the answer is forgotten.
    for (answer, ttl, first, within, later, beyond) in
        [(30, DnsTtl::Answer, 30, 20, 10, 10), (0, DnsTtl::Answer, 0, 50, 1, 10), (30, FIXED, 300, 200, 100, 100)]
    {
        let upstream = Upstream::start(DnsAnswer::Addresses(addresses(), answer)).await;
        let setup = Setup::simple(&upstream, DnsSettings { ttl, ..SETTINGS }).await;
        assert_eq!(setup.found("a.Test.").await, both(first));
        pass(within).await;
        assert_eq!(setup.found("A.test.").await, both(later), "{ttl:?}");
        assert_eq!(upstream.counts().0, 1, "{ttl:?}");
        pass(beyond).await;
        assert_eq!(setup.found("a.test.").await, both(first));
        assert_eq!(upstream.counts().0, 2, "{ttl:?}");
    }
    let upstream = Upstream::start(DnsAnswer::Addresses(addresses(), 30)).await;
    let setup = Setup::simple(&upstream, DnsSettings { ttl: DnsTtl::Uncached, ..SETTINGS }).await;
    for asked in 1..4 {
        assert_eq!(setup.found("a.test.").await, both(30));
        assert_eq!(upstream.counts().0, asked);
    }
}

#[tokio::test]
async fn that_there_is_nothing_is_kept_and_a_failure_isnt() {
    let upstream = Upstream::start(DnsAnswer::Unknown).await;
    let setup = Setup::simple(&upstream, SETTINGS).await;
    for (pause, asked) in [(0, 1), (50, 1), (10, 2)] {
        pass(pause).await;
        let reply = setup.ask("a.test.", RecordType::A).await.unwrap();
        assert_eq!((reply.metadata.response_code, upstream.counts().0), (ResponseCode::NXDomain, asked));
    }
    upstream.answer(DnsAnswer::Failure);
    for asked in 3..5 {
        let reply = setup.ask("b.test.", RecordType::A).await.unwrap();
        assert_eq!((reply.metadata.response_code, upstream.counts().0), (ResponseCode::ServFail, asked));
    }
}

#[tokio::test]
async fn expired_answers_serve_while_they_are_asked_for_again() {
    let upstream = Upstream::start(DnsAnswer::Addresses(addresses()[..1].to_vec(), 30)).await;
    let setup = Setup::simple(&upstream, DnsSettings { refresh_behind: true, ..SETTINGS }).await;
    let one = |ttl, ip: &str| Some(vec![(ttl, ip.to_owned())]);
    assert_eq!(setup.found("a.test.").await, one(30, "192.0.2.1"));
    upstream.answer(DnsAnswer::Silence);
    pass(31).await;
    for _ in 0..3 {
        assert_eq!(setup.found("a.test.").await, one(1, "192.0.2.1"), "nobody waits");
    }
    eventually("a question", PATIENCE, async || (upstream.counts().0 > 1).then_some(())).await;
    assert_eq!(upstream.counts().0, 2, "one of them asks");
    upstream.answer(DnsAnswer::Addresses(addresses()[1..2].to_vec(), 30));
    pass(PATIENCE.as_secs() + 1).await;
    let renewed = async || (setup.found("a.test.").await == one(30, "192.0.2.2")).then_some(());
    eventually("the new address", PATIENCE, renewed).await;
}

#[tokio::test]
async fn hosts_and_bypass_answer_by_themselves() {
    let upstream = Upstream::start(DnsAnswer::Addresses(addresses(), 30)).await;
    let table = [("host.test", "192.0.2.9"), ("host.test", "2001:db8::9"), ("v4.test", "192.0.2.8")];
    let table = HostTable::new(table.map(|(name, ip)| (name.to_owned(), ip.parse().unwrap())));
    let router = Router { hosts: Some(Hosts::new(boxed(table))), ..Router::default() };
    let parts = HandlerParts { bypass: Some(contains("refused.test")), router, ..HandlerParts::default() };
    let setup = Setup::new(parts, vec![node(upstream.addr(), None)], SETTINGS).await;
    assert_eq!(setup.found("HOST.test.").await, Some(vec![(3600, "192.0.2.9".to_owned())]));
    let v6 = setup.ask("host.test.", RecordType::AAAA).await.unwrap();
    assert_eq!(v6.answers[0].data.to_string(), "2001:db8::9");
    assert_eq!(setup.found("a.refused.test.").await, Some(Vec::new()));
    assert!(upstream.questions().is_empty());
    // What the table doesn't have of a name, a server may have.
    let v6 = setup.ask("v4.test.", RecordType::AAAA).await.unwrap();
    assert_eq!(v6.answers[0].data.to_string(), "2001:db8::1");
    assert!(setup.ask("host.test.", RecordType::MX).await.unwrap().answers.is_empty());
    assert_eq!(upstream.questions().len(), 2);
}

#[tokio::test]
async fn a_name_is_asked_about_where_it_belongs() {
    let (inside, outside) = (addresses()[..1].to_vec(), addresses()[1..2].to_vec());
    let inside = Upstream::start(DnsAnswer::Addresses(inside, 30)).await;
    let outside = Upstream::start(DnsAnswer::Addresses(outside, 30)).await;
    let others =
        Bypass::new(boxed(BypassRules::new([TargetPattern::Domain("corp.test".to_owned(), None)], true).unwrap()));
    let nodes = vec![node(inside.addr(), Some(others)), node(outside.addr(), Some(contains("nowhere.test")))];
    let setup = Setup::new(HandlerParts::default(), nodes, SETTINGS).await;
    let one = |ip: &str| Some(vec![(30, ip.to_owned())]);
    assert_eq!(setup.found("a.corp.test.").await, one("192.0.2.1"));
    assert_eq!(setup.found("a.test.").await, one("192.0.2.2"));
    assert_eq!(setup.found("nowhere.test.").await, None);
    // A server that doesn't answer is left alone for a while.
    let dead = drawspan_testkit::unused_addr();
    let setup = Setup::new(HandlerParts::default(), vec![node(dead, None), node(outside.addr(), None)], SETTINGS).await;
    assert_eq!(setup.found("a.test.").await, None);
    assert_eq!(setup.found("a.test.").await, one("192.0.2.2"));
}

#[tokio::test]
async fn lies_are_passed_over_and_what_is_too_long_comes_by_tcp() {
    let upstream = Upstream::start(DnsAnswer::Late(addresses())).await;
    let setup = Setup::simple(&upstream, SETTINGS).await;
    assert_eq!(setup.found("a.test.").await, both(60));
    let many: Vec<IpAddr> = (0..40).map(|last| [192, 0, 2, last].into()).collect();
    upstream.answer(DnsAnswer::Long(many));
    let mut question = ask("b.test.", RecordType::A);
    let (reply, _) = setup.send(&question.to_vec().unwrap()).await;
    let reply = Message::from_vec(&reply.unwrap()).unwrap();
    assert!(reply.metadata.truncation && reply.answers.is_empty(), "512 bytes are too few for it");
    let mut edns = hickory_proto::op::Edns::new();
    edns.set_max_payload(4096);
    question.set_edns(edns);
    let (reply, _) = setup.send(&question.to_vec().unwrap()).await;
    let reply = Message::from_vec(&reply.unwrap()).unwrap();
    assert_eq!((reply.metadata.truncation, reply.answers.len()), (false, 40));
}

#[tokio::test]
async fn nonsense_is_refused_and_isnt_passed_on() {
    let upstream = Upstream::start(DnsAnswer::Addresses(addresses(), 30)).await;
    let setup = Setup::simple(&upstream, SETTINGS).await;
    let mut two = ask("a.test.", RecordType::A);
    two.add_query(two.queries[0].clone());
    let (reply, handled) = setup.send(&two.to_vec().unwrap()).await;
    assert!(matches!(handled, Err(HandlerError::BadRequest(_))), "{handled:?}");
    assert_eq!(Message::from_vec(&reply.unwrap()).unwrap().metadata.response_code, ResponseCode::FormErr);
    // These aren't even questions: the next one is what is accepted.
    let mut answer = ask("a.test.", RecordType::A);
    answer.metadata.message_type = MessageType::Response;
    for message in [b"short".to_vec(), Vec::new(), answer.to_vec().unwrap()] {
        setup.client.send(&message).unwrap();
    }
    assert_eq!(setup.found("a.test.").await, both(30));
    assert_eq!(upstream.questions().len(), 1);
}

#[tokio::test]
async fn servers_are_told_of_the_client_what_the_config_says() {
    let upstream = Upstream::start(DnsAnswer::Addresses(addresses(), 30)).await;
    let settings = DnsSettings { client_ip: Some([198, 51, 100, 7].into()), ..SETTINGS };
    let setup = Setup::simple(&upstream, settings).await;
    let reply = setup.ask("a.test.", RecordType::A).await.unwrap();
    assert!(reply.edns.is_none(), "the client hasn't asked by EDNS");
    let told = format!("{:?}", upstream.questions()[0].edns);
    assert!(told.contains("198.51.100.0") && told.contains("source_prefix: 24"), "{told}");
    // Under numbers of our own: that all are the client's too happens to one run in 2^64.
    let mut same = 0;
    for name in ["b.test.", "c.test.", "d.test.", "e.test."] {
        let reply = setup.ask(name, RecordType::A).await.unwrap();
        same += u32::from(upstream.questions().last().unwrap().metadata.id == reply.metadata.id);
    }
    assert!(same < 4);
}
