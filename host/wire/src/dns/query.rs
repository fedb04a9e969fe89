//! [`Query`]: what a client asks.

use std::net::IpAddr;

use super::{
    AUTHENTIC, CHECKING_DISABLED, CLASS_IN, Fields, HEADER, Header, OPCODE, PAYLOAD, RECURSION_AVAILABLE,
    RECURSION_DESIRED, RESPONSE, SMALLEST_LIMIT, TRUNCATED, TYPE_A, TYPE_AAAA, TYPE_OPT,
};
use crate::cursor::{Cursor, Short};

/// Bytes of the longest query that is read: more than any question with its options needs.
pub const MAX_QUERY: usize = 4096;

/// Bytes of the longest message over any transport.
const MAX_MESSAGE: usize = u16::MAX as usize;
/// Bytes of the longest name (RFC 1035 §2.3.4).
const MAX_NAME: usize = 255;

const FORMAT_ERROR: u16 = 1;
const NOT_IMPLEMENTED: u16 = 4;

const SUBNET: u16 = 8;
/// Options between neighbours, which mean nothing further on: cookie (RFC 7873), keepalive (RFC 7828), padding (RFC 7830).
const OF_NEIGHBOURS: [u16; 3] = [10, 11, 12];

/// A question and what a client says beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    id: u16,
    flags: u16,
    /// As it was sent: the name uncompressed, the type, the class.
    question: Vec<u8>,
    edns: Option<Edns>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Edns {
    payload: u16,
    /// Extended code, version, flags.
    rest: u32,
    options: Vec<(u16, Vec<u8>)>,
}

/// Bytes that aren't a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// Nothing that could be answered: cut off within the header, or itself an answer.
    Unanswerable,
    /// To be answered with this.
    Refused(Vec<u8>),
}

/// Whether a message may be answered: it has a header, and isn't an answer itself.
#[must_use]
pub fn is_question(message: &[u8]) -> bool {
    message.len() >= HEADER && message[2] & 0x80 == 0
}

impl Query {
    /// Reads a message.
    ///
    /// # Errors
    /// If it isn't one question, or is broken, or longer than [`MAX_QUERY`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        let cursor = &mut Cursor::new(bytes);
        let Ok(header) = Header::take(cursor) else { return Err(Unusable::Unanswerable) };
        if header.flags & RESPONSE != 0 {
            return Err(Unusable::Unanswerable);
        }
        if header.flags & OPCODE != 0 {
            return Err(header.refused(header.flags & OPCODE | NOT_IMPLEMENTED));
        }
        // As GOST's library has it: a query has no more records than these.
        let [questions, answers, authorities, additional] = header.counts;
        if questions != 1 || answers > 1 || authorities > 1 || additional > 2 || bytes.len() > MAX_QUERY {
            return Err(header.refused(FORMAT_ERROR));
        }
        Self::rest(&header, cursor).map_err(|Short| header.refused(FORMAT_ERROR))
    }

    fn rest(header: &Header, cursor: &mut Cursor<'_>) -> Result<Self, Short> {
        let begin = cursor.rest();
        loop {
            match cursor.u8()? {
                0 => break,
                length @ 1..=63 => cursor.take(length.into())?,
                // There is nothing yet that a pointer could point to.
                _ => return Err(Short),
            };
        }
        if cursor.position() - HEADER > MAX_NAME {
            return Err(Short);
        }
        cursor.take(4)?;
        let question = begin[..cursor.position() - HEADER].to_vec();
        let mut edns = None;
        for _ in header.counts[1..].iter().flat_map(|count| 0..*count) {
            let Fields { record_type, class, ttl, data, .. } = Fields::take(cursor)?;
            if record_type == TYPE_OPT {
                let options = options(data)?;
                if edns.replace(Edns { payload: class, rest: ttl, options }).is_some() {
                    return Err(Short);
                }
            }
        }
        Ok(Self { id: header.id, flags: header.flags, question, edns })
    }

    /// The client's number for it.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The type that is asked for.
    #[must_use]
    pub fn record_type(&self) -> u16 {
        self.field(4)
    }

    /// The class that is asked for.
    #[must_use]
    pub fn class(&self) -> u16 {
        self.field(2)
    }

    /// Whether it is about the Internet.
    #[must_use]
    pub fn is_internet(&self) -> bool {
        self.class() == CLASS_IN
    }

    /// Whether it is about IPv4 addresses (`true`) or IPv6 addresses (`false`) of the Internet.
    #[must_use]
    pub fn wants_ipv4(&self) -> Option<bool> {
        match self.record_type() {
            _ if !self.is_internet() => None,
            TYPE_A => Some(true),
            TYPE_AAAA => Some(false),
            _ => None,
        }
    }

    fn field(&self, from_end: usize) -> u16 {
        let at = self.question.len() - from_end;
        u16::from_be_bytes([self.question[at], self.question[at + 1]])
    }

    /// The name as zone files have it, with a dot at its end; what isn't printable, and what means something there, with a
    /// backslash (RFC 1035 §5.1).
    #[must_use]
    pub fn name(&self) -> String {
        let mut name = String::new();
        let mut rest = &self.question[..self.question.len() - 4];
        while let Some((length, labels)) = rest.split_first().filter(|(length, _)| **length > 0) {
            let (label, behind) = labels.split_at(usize::from(*length).min(labels.len()));
            for byte in label {
                match byte {
                    b'.' | b' ' | b'\'' | b'@' | b';' | b'(' | b')' | b'"' | b'\\' => {
                        name.extend(['\\', char::from(*byte)]);
                    }
                    b'!'..=b'~' => name.push(char::from(*byte)),
                    _ => name.push_str(&format!("\\{byte:03}")),
                }
            }
            name.push('.');
            rest = behind;
        }
        if name.is_empty() { ".".to_owned() } else { name }
    }

    /// What a server is asked for the client, under a number that is the caller's to choose. `subnet` takes the place of
    /// what the client says about where it is: 24 bits of an IPv4 address, all of an IPv6 address.
    ///
    /// GOST: passes the client's message on as it is, `subnet` in an OPT record of its own.
    #[must_use]
    pub fn forward(&self, id: u16, subnet: Option<IpAddr>) -> Vec<u8> {
        let flags = self.flags & (RECURSION_DESIRED | AUTHENTIC | CHECKING_DISABLED);
        let mut out = Vec::with_capacity(HEADER + self.question.len() + 64);
        let has_edns = self.edns.is_some() || subnet.is_some();
        Header { id, flags, counts: [1, 0, 0, has_edns.into()] }.put(&mut out);
        out.extend_from_slice(&self.question);
        if has_edns {
            let kept = |code: u16| !OF_NEIGHBOURS.contains(&code) && (code != SUBNET || subnet.is_none());
            let options = self.edns.iter().flat_map(|edns| &edns.options).filter(|(code, _)| kept(*code));
            let mut data = Vec::new();
            for (code, value) in options {
                put_option(&mut data, *code, value);
            }
            if let Some(subnet) = subnet {
                put_option(&mut data, SUBNET, &subnet_option(subnet));
            }
            put_edns(&mut out, self.edns.as_ref().map_or(0, |edns| edns.rest), &data);
        }
        out
    }

    /// The same for all queries that have the same answers: all that a server is told, the name in lower case.
    #[must_use]
    pub fn key(&self, subnet: Option<IpAddr>) -> Vec<u8> {
        let mut key = self.forward(0, subnet);
        // The labels' lengths are no letters.
        key[HEADER..HEADER + self.question.len() - 4].make_ascii_lowercase();
        key
    }

    /// An answer without records.
    #[must_use]
    pub fn empty(&self) -> Vec<u8> {
        self.head(RESPONSE | self.flags & (RECURSION_DESIRED | CHECKING_DISABLED), 0)
    }

    /// An answer with those addresses, which are of the type asked for, each to be kept for `ttl` seconds. What a message
    /// can't hold is left out.
    #[must_use]
    pub fn addresses(&self, addresses: &[IpAddr], ttl: u32) -> Vec<u8> {
        let name = &self.question[..self.question.len() - 4];
        let most = (MAX_MESSAGE - HEADER - self.question.len()) / (name.len() + 26);
        let addresses = &addresses[..addresses.len().min(most)];
        let flags = RESPONSE | self.flags & (RECURSION_DESIRED | CHECKING_DISABLED);
        let mut out = self.head(flags, u16::try_from(addresses.len()).unwrap_or(u16::MAX));
        for address in addresses {
            out.extend_from_slice(&self.question);
            out.extend_from_slice(&ttl.to_be_bytes());
            match address {
                IpAddr::V4(ip) => out.extend([0, 4].iter().chain(&ip.octets())),
                IpAddr::V6(ip) => out.extend([0, 16].iter().chain(&ip.octets())),
            }
        }
        out
    }

    /// `reply` as a datagram to the client: as it is, or, if the client doesn't take so much, only that it is too long.
    ///
    /// GOST: sends it in any case.
    #[must_use]
    pub fn datagram(&self, reply: Vec<u8>) -> Vec<u8> {
        let limit = self.edns.as_ref().map_or(SMALLEST_LIMIT, |edns| edns.payload.max(SMALLEST_LIMIT));
        if reply.len() <= limit.into() {
            return reply;
        }
        let flags = reply.get(2..4).map_or(RESPONSE, |flags| u16::from_be_bytes([flags[0], flags[1]]));
        let mut out = self.head(flags | TRUNCATED, 0);
        if let Some(edns) = &self.edns {
            out[HEADER - 1] = 1;
            put_edns(&mut out, edns.rest & 0x00ff_ffff, &[]);
        }
        out
    }

    fn head(&self, flags: u16, answers: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        Header { id: self.id, flags, counts: [1, answers, 0, 0] }.put(&mut out);
        out.extend_from_slice(&self.question);
        out
    }

    /// Whether the client knows EDNS; if it doesn't, it must not be sent any.
    pub(super) fn has_edns(&self) -> bool {
        self.edns.is_some()
    }

    pub(super) fn question(&self) -> &[u8] {
        &self.question
    }
}

impl Header {
    /// A reply that says what is wrong, or that it is for another opcode: those bits are in `code`.
    fn refused(&self, code: u16) -> Unusable {
        let kept = TRUNCATED | RECURSION_DESIRED | RECURSION_AVAILABLE | AUTHENTIC | CHECKING_DISABLED;
        let mut out = Vec::with_capacity(HEADER);
        Header { id: self.id, flags: RESPONSE | self.flags & kept | code, counts: [0; 4] }.put(&mut out);
        Unusable::Refused(out)
    }
}

fn options(data: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, Short> {
    let cursor = &mut Cursor::new(data);
    let mut options = Vec::new();
    while !cursor.rest().is_empty() {
        options.push((cursor.u16()?, cursor.long_string()?.to_vec()));
    }
    Ok(options)
}

fn put_edns(out: &mut Vec<u8>, rest: u32, options: &[u8]) {
    out.push(0);
    out.extend([TYPE_OPT, PAYLOAD].map(u16::to_be_bytes).as_flattened());
    out.extend_from_slice(&rest.to_be_bytes());
    put_length(out, options);
    out.extend_from_slice(options);
}

fn put_option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend_from_slice(&code.to_be_bytes());
    put_length(out, value);
    out.extend_from_slice(value);
}

/// Nothing here is longer than [`MAX_QUERY`] and an option.
fn put_length(out: &mut Vec<u8>, of: &[u8]) {
    out.extend_from_slice(&u16::try_from(of.len()).unwrap_or(u16::MAX).to_be_bytes());
}

/// RFC 7871 §6.
fn subnet_option(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => [&[0, 1, 24, 0], &ip.octets()[..3]].concat(),
        IpAddr::V6(ip) => [&[0, 2, 128, 0], &ip.octets()[..]].concat(),
    }
}
