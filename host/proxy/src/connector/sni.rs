//! [`Sni`]: another name where who watches can see it (GOST reference, dataplane 9).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use drawspan_wire::gost_target;
use drawspan_wire::http1::{HeadScanner, RequestHead};
use drawspan_wire::sniff::{Guess, Protocol};
use drawspan_wire::tls::{ClientHello, disguise};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{Buffered, Stream};

/// Leaves it to the node to find out the target, from the name in the client's first bytes.
#[derive(Clone, Default)]
pub struct Sni {
    /// Put in the place of that name, which is hidden beside it.
    pub host: Option<String>,
}

impl Sni {
    pub(super) fn connect(&self, conn: Buffered) -> Buffered {
        let Some(host) = self.host.clone() else { return conn };
        let (local, peer) = (conn.stream.local_addr(), conn.stream.peer_addr());
        let disguised = Disguised { inner: conn.into_stream(), host, first: First::Open(Vec::new()) };
        Buffered::new(Stream::layered(disguised, local, peer))
    }
}

/// A connection whose first bytes are changed on their way out.
struct Disguised {
    inner: Stream,
    host: String,
    first: First,
}

enum First {
    /// Not known well enough yet.
    Open(Vec<u8>),
    /// To be written before anything else, from there on.
    Closed(Vec<u8>, usize),
}

impl Disguised {
    /// Takes some first bytes; what they are may be clear then.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let First::Open(known) = &mut self.first {
            known.extend_from_slice(bytes);
            if let Some(changed) = changed(known, &self.host)? {
                self.first = First::Closed(changed, 0);
            }
        }
        Ok(())
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let First::Closed(bytes, written) = &mut self.first {
            while *written < bytes.len() {
                match ready!(Pin::new(&mut self.inner).poll_write(cx, &bytes[*written..]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    more => *written += more,
                }
            }
            *bytes = Vec::new();
            *written = 0;
        }
        Poll::Ready(Ok(()))
    }
}

/// What is sent in place of `bytes`, or `None` while that isn't clear.
fn changed(bytes: &[u8], host: &str) -> io::Result<Option<Vec<u8>>> {
    let invalid = |error: &dyn ToString| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    match Protocol::guess(bytes) {
        Guess::More => Ok(None),
        // The name must not be seen: rather no connection than one with what can't be read.
        Guess::Known(Protocol::Tls) => match ClientHello::parse(bytes).map_err(|error| invalid(&error))? {
            None => Ok(None),
            Some((_, length)) => {
                let hello = disguise(&bytes[..length], host).map_err(|error| invalid(&error))?;
                Ok(Some([&hello, &bytes[length..]].concat()))
            }
        },
        Guess::Known(Protocol::Http) => {
            let Some(length) = HeadScanner::request().scan(bytes).map_err(|error| invalid(&error))? else {
                return Ok(None);
            };
            let head = RequestHead::parse(&bytes[..length]).map_err(|error| invalid(&error))?;
            Ok(Some([&request(&head, host), &bytes[length..]].concat()))
        }
        Guess::Known(Protocol::Ssh | Protocol::Redis) | Guess::Unknown => Ok(Some(bytes.to_vec())),
    }
}

fn request(head: &RequestHead<'_>, host: &str) -> Vec<u8> {
    let mut out = format!("{} {} {}\r\n", head.method, head.target, head.version.as_str()).into_bytes();
    for header in head.headers.iter() {
        if header.is("host") {
            let hidden = gost_target::encode(header.value);
            out.extend(format!("Host: {host}\r\nGost-Target: {hidden}\r\n").into_bytes());
        } else {
            out.extend([header.name.as_bytes(), b": ", header.value, b"\r\n"].concat());
        }
    }
    out.extend(b"\r\n");
    out
}

impl AsyncRead for Disguised {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Disguised {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let First::Open(_) = self.first {
            self.take(buf)?;
            return Poll::Ready(Ok(buf.len()));
        }
        ready!(self.poll_first(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_first(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Too little to have a name in it.
        if let First::Open(bytes) = &mut self.first {
            self.first = First::Closed(std::mem::take(bytes), 0);
        }
        ready!(self.poll_first(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_request_is_hidden() {
        let hidden = gost_target::encode(b"secret.example:81");
        let expected = format!(
            "POST /x HTTP/1.1\r\nA: b\r\nHost: cdn.example\r\nGost-Target: {hidden}\r\nContent-Length: 4\r\n\r\nbody"
        );
        let bytes = b"POST /x HTTP/1.1\r\nA: b\r\nhost: secret.example:81\r\nContent-Length: 4\r\n\r\nbody";
        for end in 0..bytes.len() - 4 {
            assert_eq!(changed(&bytes[..end], "cdn.example").unwrap(), None, "{end} bytes");
        }
        assert_eq!(changed(bytes, "cdn.example").unwrap().unwrap(), expected.as_bytes());
    }

    #[test]
    fn other_protocols_pass_and_broken_ones_do_not() {
        assert_eq!(changed(b"SSH-2.0-x\r\n", "a").unwrap().unwrap(), b"SSH-2.0-x\r\n");
        assert_eq!(changed(b"\x05\x01\x00", "a").unwrap().unwrap(), b"\x05\x01\x00");
        assert!(changed(b"\x16\x03\x01\x00\x00", "a").is_err());
        assert!(changed(b"GET / HTTP/1.1\nHost: secret\n\n", "a").is_err());
    }
}
