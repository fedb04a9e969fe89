//! [`Answer`]: what a server says.

use super::{Fields, HEADER, Header, OPCODE, Query, RESPONSE, TRUNCATED, TYPE_OPT};
use crate::cursor::{Cursor, Short};

/// A server's answer to a question, read as far as it takes to pass it on and to keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    message: Box<[u8]>,
    /// Where the TTLs are, and which; those of the answer come first.
    ttls: Box<[(u16, u32)]>,
    /// How many of them are of the answer itself.
    answers: usize,
    /// Where the message goes on to EDNS, if that is the last of it.
    edns: Option<u16>,
}

/// Whether the rest of a message didn't fit into its datagram.
#[must_use]
pub fn is_truncated(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| u16::from(*flags) << 8 & TRUNCATED != 0)
}

impl Answer {
    /// Reads `message`; `None` if it isn't an answer to `question`, a whole message as [`Query::forward`] makes it, or is
    /// broken.
    #[must_use]
    pub fn parse(message: &[u8], question: &[u8]) -> Option<Self> {
        let cursor = &mut Cursor::new(message);
        let header = Header::take(cursor).ok()?;
        let asked = Header::take(&mut Cursor::new(question)).ok()?;
        let is_answer =
            header.id == asked.id && header.flags & (RESPONSE | OPCODE) == RESPONSE && header.counts[0] == 1;
        is_answer.then(|| Self::rest(message, &header, cursor, question).ok())?
    }

    fn rest(message: &[u8], header: &Header, cursor: &mut Cursor<'_>, question: &[u8]) -> Result<Self, Short> {
        let asked = &mut Cursor::new(question);
        Header::take(asked)?;
        let begin = asked.rest();
        super::skip_name(asked)?;
        asked.take(4)?;
        let length = asked.position() - HEADER;
        if !cursor.take(length)?.eq_ignore_ascii_case(&begin[..length]) {
            return Err(Short);
        }
        let (mut ttls, mut answers, mut edns) = (Vec::new(), 0, None);
        let [_, sections @ ..] = header.counts;
        for (section, count) in sections.into_iter().enumerate() {
            for _ in 0..count {
                let begin = cursor.position();
                let Fields { record_type, ttl, ttl_at, .. } = Fields::take(cursor)?;
                edns = None;
                if record_type == TYPE_OPT {
                    edns = Some(offset(begin)?);
                } else {
                    ttls.push((offset(ttl_at)?, ttl));
                    answers += usize::from(section == 0);
                }
            }
        }
        offset(cursor.position())?;
        let message = message[..cursor.position()].into();
        Ok(Self { message, ttls: ttls.into(), answers, edns })
    }

    /// As the server sent it, but for what follows.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The server's code: 0 is success, 3 that there is no such name; the others are failures.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.message[3] & 0x0f
    }

    /// The least of the answer's records' TTLs, in seconds.
    #[must_use]
    pub fn ttl(&self) -> Option<u32> {
        self.ttls[..self.answers].iter().map(|(_, ttl)| *ttl).min()
    }

    /// Gives the answer's records another TTL.
    pub fn set_ttl(&mut self, seconds: u32) {
        for (at, ttl) in &mut self.ttls[..self.answers] {
            *ttl = seconds;
            put(&mut self.message, *at, seconds);
        }
    }

    /// Bytes that keeping it takes, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.message.len() + size_of_val(&*self.ttls)
    }

    /// The reply to `query`, in which the same is asked. `age` is for how many seconds it was kept, if it was: its records
    /// are good for so much less, and for a second at least.
    #[must_use]
    pub fn reply(&self, query: &Query, age: Option<u32>) -> Vec<u8> {
        let mut out = match self.edns {
            Some(edns) if !query.has_edns() => {
                let mut out = self.message[..edns.into()].to_vec();
                let additional = u16::from_be_bytes([out[10], out[11]]).saturating_sub(1);
                out[10..HEADER].copy_from_slice(&additional.to_be_bytes());
                out
            }
            _ => self.message.to_vec(),
        };
        out[..2].copy_from_slice(&query.id().to_be_bytes());
        // Whoever asks may tell answers by how the name is spelled.
        if let Some(question) = out.get_mut(HEADER..HEADER + query.question().len()) {
            question.copy_from_slice(query.question());
        }
        if let Some(age) = age {
            for (at, ttl) in &self.ttls {
                put(&mut out, *at, ttl.saturating_sub(age).max(1));
            }
        }
        out
    }
}

fn put(message: &mut [u8], at: u16, ttl: u32) {
    if let Some(field) = message.get_mut(at.into()..usize::from(at) + 4) {
        field.copy_from_slice(&ttl.to_be_bytes());
    }
}

fn offset(position: usize) -> Result<u16, Short> {
    u16::try_from(position).map_err(|_| Short)
}
