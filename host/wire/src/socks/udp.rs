//! [`Datagram`] and [`Frame`]: datagrams beside a SOCKS5 connection (RFC 1928 §7), and GOST's form of them within one.

use super::{Address, Parsed, SocksError, Stop, parse};
use crate::cursor::Cursor;

/// A UDP datagram between a client and a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram<'b> {
    /// Not zero in a piece of something larger, which nobody puts together.
    pub fragment: u8,
    /// From the client: where to. To the client: where from.
    pub address: Address,
    /// What is carried.
    pub data: &'b [u8],
}

impl<'b> Datagram<'b> {
    /// Reads a datagram, all of it.
    ///
    /// # Errors
    /// If its header isn't complete or has an unknown type of address.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, SocksError> {
        let header = |cursor: &mut Cursor<'_>| {
            let [_, _, fragment] = cursor.array()?;
            Ok((fragment, Address::read(cursor)?))
        };
        let ((fragment, address), length) = parse(bytes, header)?.ok_or(SocksError::Truncated)?;
        Ok(Self { fragment, address, data: bytes.get(length..).unwrap_or_default() })
    }

    /// Appends the header of an unfragmented datagram; its data goes behind.
    ///
    /// # Errors
    /// If a name is longer than 255 bytes.
    pub fn put_header(out: &mut Vec<u8>, address: &Address) -> Result<(), SocksError> {
        out.extend([0, 0, 0]);
        address.encode(out)
    }
}

/// The head of a datagram in a stream: `length:u16 | ff | address`, and `length` bytes behind it. SOCKS5's UDP tunnel, UDP
/// over HTTP and the relay protocol's BIND use it (GOST reference, dataplane 3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of the datagram behind this head.
    pub length: u16,
    /// From the client: where to. To the client: where from.
    pub address: Address,
}

impl Frame {
    /// Bytes of the longest head.
    pub const MAX_HEAD: usize = 3 + 1 + 1 + 255 + 2;

    /// In the place of a datagram's fragment number.
    const MARK: u8 = 0xff;

    /// Reads the head of a frame. The mark isn't looked at, as GOST doesn't.
    ///
    /// GOST: a length of zero means a datagram that goes on to the end of the stream. Here it is an empty datagram: that is
    /// what a GOST peer has sent who sent it.
    ///
    /// # Errors
    /// If the type of address is unknown; where the next frame begins can't be told then.
    pub fn parse(bytes: &[u8]) -> Parsed<Self> {
        parse(bytes, |cursor| -> Result<_, Stop> {
            let length = cursor.u16()?;
            cursor.u8()?;
            Ok(Self { length, address: Address::read(cursor)? })
        })
    }

    /// Appends the head; the datagram goes behind.
    ///
    /// # Errors
    /// If a name is longer than 255 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), SocksError> {
        out.extend(self.length.to_be_bytes());
        out.push(Self::MARK);
        self.address.encode(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socks::tests::drip;

    #[test]
    fn datagrams() {
        let bytes = b"\x00\x00\x00\x03\x01a\x00\x35data";
        let datagram = Datagram::parse(bytes).unwrap();
        let address = Address::Name(b"a".to_vec(), 53);
        assert_eq!(datagram, Datagram { fragment: 0, address: address.clone(), data: b"data" });
        let mut out = Vec::new();
        Datagram::put_header(&mut out, &address).unwrap();
        assert_eq!([&out, datagram.data].concat(), bytes);

        assert_eq!(Datagram::parse(b"\0\0\x01\x01\x7f\0\0\x01\0\x35").unwrap().fragment, 1);
        assert_eq!(Datagram::parse(b"\0\0\0\x01\x7f\0\0\x01\0"), Err(SocksError::Truncated));
        assert_eq!(Datagram::parse(b"\0\0\0\x09"), Err(SocksError::AddressType(9)));
    }

    #[test]
    fn frames() {
        let bytes = b"\x00\x03\xff\x01\x7f\x00\x00\x01\x4a\x39";
        let frame = drip(bytes, Frame::parse);
        assert_eq!(frame, Frame { length: 3, address: Address::Ip("127.0.0.1:19001".parse().unwrap()) });
        let mut out = Vec::new();
        frame.encode(&mut out).unwrap();
        assert_eq!(out, bytes);
        let longest = [&[0, 0, 0xff, 3, 255][..], &[b'a'; 255], &[0, 53]].concat();
        assert_eq!(longest.len(), Frame::MAX_HEAD);
        assert_eq!(drip(&longest, Frame::parse).length, 0);
    }
}
