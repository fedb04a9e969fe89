//! Questions and answers as DNS messages.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};

/// What a datagram may hold on any way without being split (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) addresses: Vec<IpAddr>,
    /// The least of its records; none: there are none.
    pub(crate) ttl: Option<Duration>,
}

/// `host` as a name that DNS knows, in lower case and from the root.
pub(crate) fn name(host: &str) -> Result<Name, String> {
    let name = Name::from_utf8(host).map_err(|error| format!("`{host}` is not a name that DNS knows: {error}"))?;
    let mut name = name.to_lowercase();
    name.set_fqdn(true);
    Ok(name)
}

/// Which addresses `name` has, asked under a number that nobody can guess.
pub(crate) fn question(name: &Name, record_type: RecordType, client_ip: Option<IpAddr>) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), record_type));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    if let Some(ip) = client_ip {
        let prefix = if ip.is_ipv4() { 24 } else { 128 };
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(ip, prefix, 0)));
    }
    message.set_edns(edns);
    message
}

/// What `message`, the answer to `question`, says.
pub(crate) fn read(message: &[u8], question: &Message) -> Result<Answer, String> {
    let message = Message::from_vec(message).map_err(|error| format!("the answer can't be read: {error}"))?;
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        // GOST: no addresses.
        code => return Err(format!("the server answered: {code}")),
    }
    let wanted = question.queries.first().map(|query| query.query_type);
    let records = message.answers.iter().filter(|record| Some(record.record_type()) == wanted);
    let addresses = records.filter_map(|record| match &record.data {
        RData::A(ip) => Some(IpAddr::from(ip.0)),
        RData::AAAA(ip) => Some(IpAddr::from(ip.0)),
        _ => None,
    });
    let ttl = message.answers.iter().map(|record| record.ttl).min();
    Ok(Answer { addresses: addresses.collect(), ttl: ttl.map(|ttl| Duration::from_secs(ttl.into())) })
}
