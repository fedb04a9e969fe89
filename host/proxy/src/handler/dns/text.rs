//! [`DnsRecord`]: a question and its answer in records, as text like dig's (GOST reference, dataplane 12).

use std::fmt::Write as _;

use drawspan_wire::dns::Query;
use hickory_proto::op::{Edns, Message, MessageType};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use serde::Serialize;

/// A question by DNS and its answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DnsRecord {
    id: u16,
    name: String,
    class: String,
    #[serde(rename = "type")]
    record_type: String,
    question: String,
    answer: String,
    /// The answer was remembered.
    pub(super) cached: bool,
}

impl DnsRecord {
    /// Of a question that came as `message`, not answered yet.
    pub(super) fn of(query: &Query, message: &[u8]) -> Self {
        Self {
            id: query.id(),
            name: query.name(),
            class: DNSClass::from(query.class()).to_string(),
            record_type: RecordType::from(query.record_type()).to_string(),
            question: text(message),
            answer: String::new(),
            cached: false,
        }
    }

    pub(super) fn answered(&mut self, reply: &[u8]) {
        self.answer = text(reply);
    }
}

/// All of a message; nothing if it can't be read.
fn text(message: &[u8]) -> String {
    let Ok(message) = Message::from_vec(message) else { return String::new() };
    let mut out = String::new();
    // Writing to a string doesn't fail.
    let _ = write_message(&mut out, &message);
    out
}

fn write_message(out: &mut String, message: &Message) -> std::fmt::Result {
    let head = &message.metadata;
    let opcode = if u8::from(head.op_code) == 0 { "QUERY" } else { "" };
    writeln!(out, ";; opcode: {opcode}, status: {}, id: {}", status(head.response_code.into()), head.id)?;
    out.push_str(";; flags:");
    for (flag, is_set) in [
        ("qr", head.message_type == MessageType::Response),
        ("aa", head.authoritative),
        ("tc", head.truncation),
        ("rd", head.recursion_desired),
        ("ra", head.recursion_available),
        ("ad", head.authentic_data),
        ("cd", head.checking_disabled),
    ] {
        if is_set {
            write!(out, " {flag}")?;
        }
    }
    let additional = message.additionals.len() + usize::from(message.edns.is_some());
    let counts = (message.queries.len(), message.answers.len(), message.authorities.len());
    writeln!(out, "; QUERY: {}, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {additional}", counts.0, counts.1, counts.2)?;
    if let Some(edns) = &message.edns {
        write_edns(out, edns)?;
    }
    if !message.queries.is_empty() {
        out.push_str("\n;; QUESTION SECTION:\n");
    }
    for query in &message.queries {
        writeln!(out, ";{}\t{}\t {}", query.name, query.query_class, query.query_type)?;
    }
    for (section, records) in
        [("ANSWER", &message.answers), ("AUTHORITY", &message.authorities), ("ADDITIONAL", &message.additionals)]
    {
        if !records.is_empty() {
            writeln!(out, "\n;; {section} SECTION:")?;
        }
        records.iter().try_for_each(|record| write_record(out, record))?;
    }
    Ok(())
}

fn write_record(out: &mut String, record: &Record) -> std::fmt::Result {
    write!(out, "{}\t{}\t{}\t{}\t", record.name, record.ttl, record.dns_class, record.record_type())?;
    match &record.data {
        RData::TXT(text) => {
            let quote = |part: &[u8]| {
                let bytes = part.iter().map(|byte| match byte {
                    b'"' | b'\\' => format!("\\{}", char::from(*byte)),
                    b' '..=b'~' => char::from(*byte).to_string(),
                    _ => format!("\\{byte:03}"),
                });
                format!("\"{}\"", bytes.collect::<String>())
            };
            writeln!(out, "{}", text.txt_data.iter().map(|part| quote(part)).collect::<Vec<_>>().join(" "))
        }
        data => writeln!(out, "{data}"),
    }
}

fn write_edns(out: &mut String, edns: &Edns) -> std::fmt::Result {
    let flags = if edns.flags().dnssec_ok { "flags: do; " } else { "flags:; " };
    write!(out, "\n;; OPT PSEUDOSECTION:\n; EDNS: version {}; {flags}udp: {}", edns.version(), edns.max_payload())?;
    for (code, option) in edns.options().as_ref() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match option {
            EdnsOption::Subnet(subnet) => {
                let (address, source, scope) = (subnet.addr(), subnet.source_prefix(), subnet.scope_prefix());
                write!(out, "\n; SUBNET: {address}/{source}/{scope}")?;
            }
            EdnsOption::Unknown(COOKIE, data) => write!(out, "\n; COOKIE: {}", hex(data))?,
            EdnsOption::Unknown(PADDING, data) => write!(out, "\n; PADDING: {}", hex(data))?,
            EdnsOption::Unknown(_, data) => write!(out, "\n; LOCAL OPT: {}:0x{}", u16::from(*code), hex(data))?,
            EdnsOption::NSID(id) => {
                let letters = id.as_ref().iter().map(|byte| format!("({})", char::from(*byte)));
                write!(out, "\n; NSID: {}  {}", hex(id.as_ref()), letters.collect::<String>())?;
            }
            _ => {}
        }
    }
    out.push('\n');
    Ok(())
}

const COOKIE: u16 = 10;
const PADDING: u16 = 12;

fn status(code: u16) -> String {
    let names = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
        "NOTZONE",
    ];
    names.get(usize::from(code)).map_or_else(|| code.to_string(), |name| (*name).to_owned())
}
