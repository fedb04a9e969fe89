//! DNS messages (RFC 1035 §4, RFC 6891) as a forwarder sees them: [`Query`] is what a client asks, [`Answer`] what a server
//! says. Only what is changed on the way is looked at; the rest passes as it is.

mod answer;
mod query;

pub use answer::{Answer, is_truncated};
pub use query::{MAX_QUERY, Query, Unusable, is_question};

use crate::cursor::{Cursor, Short};

/// Bytes of a message's header.
const HEADER: usize = 12;

/// Bytes of a datagram that everybody takes (RFC 1035 §2.3.4).
const SMALLEST_LIMIT: u16 = 512;
/// What a datagram may hold on any way without being split (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;
const AUTHENTIC: u16 = 0x0020;
const CHECKING_DISABLED: u16 = 0x0010;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;

/// A message's first bytes.
struct Header {
    id: u16,
    flags: u16,
    /// Questions, answers, authorities, additional records.
    counts: [u16; 4],
}

impl Header {
    fn take(cursor: &mut Cursor<'_>) -> Result<Self, Short> {
        let [id, flags, questions, answers, authorities, additional] = [(); 6].map(|()| cursor.u16());
        Ok(Self { id: id?, flags: flags?, counts: [questions?, answers?, authorities?, additional?] })
    }

    fn put(&self, out: &mut Vec<u8>) {
        for field in [self.id, self.flags].iter().chain(&self.counts) {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }
}

/// What is known of a record without its name.
struct Fields<'b> {
    record_type: u16,
    class: u16,
    ttl: u32,
    /// Where in the message the TTL is.
    ttl_at: usize,
    data: &'b [u8],
}

impl<'b> Fields<'b> {
    /// Passes over a record.
    fn take(cursor: &mut Cursor<'b>) -> Result<Self, Short> {
        skip_name(cursor)?;
        let (record_type, class) = (cursor.u16()?, cursor.u16()?);
        let ttl_at = cursor.position();
        let ttl = u32::from_be_bytes(cursor.array()?);
        Ok(Self { record_type, class, ttl, ttl_at, data: cursor.long_string()? })
    }
}

/// Passes over a name; what a pointer points to isn't looked at.
fn skip_name(cursor: &mut Cursor<'_>) -> Result<(), Short> {
    loop {
        match cursor.u8()? {
            0 => return Ok(()),
            length @ 1..=63 => cursor.take(length.into())?,
            0xc0.. => return cursor.u8().map(drop),
            _ => return Err(Short),
        };
    }
}

#[cfg(test)]
mod tests;
