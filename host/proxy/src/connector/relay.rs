//! [`Relay`]: GOST's relay protocol (GOST reference, dataplane 3).

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use drawspan_smux::{Config, Version};
use drawspan_wire::http1::{Credentials, HostPort};
use drawspan_wire::relay::{Command, Features, Network, Request, Response, Status};
use drawspan_wire::socks::Address;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ConnectError, receive, within};
use crate::listener::{Bound, UdpSettings};
use crate::net::{Buffered, Datagrams, Stream, eof};

/// Asks a relay.
#[derive(Clone)]
pub struct Relay {
    /// User name and password.
    pub auth: Option<(String, String)>,
    /// `nodelay`: waits for the answer before anything is sent to the target. Otherwise a refusal shows as a connection that
    /// ends. GOST: without it the request itself waits for the client's first bytes, so that protocols whose servers speak
    /// first hang.
    pub no_delay: bool,
    /// `mux.*`: how connections that the relay accepts for us share one.
    pub mux: Config,
    /// `connectTimeout`: for the whole exchange; `None`: as long as the dial may take.
    pub timeout: Option<Duration>,
}

impl Default for Relay {
    fn default() -> Self {
        Self { auth: None, no_delay: false, mux: Config::new(Version::V1), timeout: None }
    }
}

impl Relay {
    pub(super) async fn connect(&self, conn: Buffered, target: &HostPort) -> Result<Buffered, ConnectError> {
        within(self.timeout, self.ask(conn, self.request(Command::Connect, None, target.into()))).await
    }

    /// To a unix socket of the relay's machine.
    pub(super) async fn connect_unix(&self, conn: Buffered, path: &Path) -> Result<Buffered, ConnectError> {
        let path = Address::Name(path.as_os_str().as_bytes().to_vec(), 0);
        within(self.timeout, self.ask(conn, self.request(Command::Connect, Some(Network::Unix), path))).await
    }

    /// Datagrams to `target` within `conn`, or, without one, to wherever they say.
    pub(super) async fn associate(&self, conn: Buffered, target: Option<&HostPort>) -> Result<Datagrams, ConnectError> {
        let udp = Some(Network::Udp);
        let Some(target) = target.map(Address::from) else {
            let request = self.request(Command::Bind, udp, Address::UNSPECIFIED);
            return within(self.timeout, exchange(conn, &request)).await.map(|(conn, _)| Datagrams::Framed(conn));
        };
        let request = self.request(Command::Connect, udp, target.clone());
        let conn = within(self.timeout, self.ask(conn, request)).await?;
        Ok(Datagrams::Single(conn, target))
    }

    /// Has connections, or datagrams, accepted at `address`.
    pub(super) async fn bind(
        &self,
        conn: Buffered,
        address: Address,
        udp: Option<UdpSettings>,
    ) -> Result<Bound, ConnectError> {
        let network = if udp.is_some() { Network::Udp } else { Network::Tcp };
        let request = self.request(Command::Bind, Some(network), address);
        let (conn, Features { address: here, .. }) = within(self.timeout, exchange(conn, &request)).await?;
        super::bound(conn, here, udp, self.mux, |bytes| {
            let Some((Response { status, features }, length)) = Response::parse(bytes).map_err(|it| it.to_string())?
            else {
                return Ok(None);
            };
            if status == Status::OK { Ok(Some((features.address, length))) } else { Err(status.to_string()) }
        })
    }

    fn request(&self, command: Command, network: Option<Network>, address: Address) -> Request {
        let user = self.auth.clone().map(|(username, password)| Credentials {
            username: username.into_bytes(),
            password: password.into_bytes(),
        });
        let udp = network == Some(Network::Udp);
        Request { command, udp, features: Features { network, user, address: Some(address), ..Features::default() } }
    }

    async fn ask(&self, conn: Buffered, request: Request) -> Result<Buffered, ConnectError> {
        if self.no_delay {
            return exchange(conn, &request).await.map(|(conn, _)| conn);
        }
        let (local, peer) = (conn.stream.local_addr(), conn.stream.peer_addr());
        let asking = Asking {
            inner: conn.into_stream(),
            is_open: false,
            request: request.encode().map_err(ConnectError::Request)?,
            answer: Some(BytesMut::new()),
            early: BytesMut::new(),
        };
        Ok(Buffered::new(Stream::layered(asking, local, peer)))
    }
}

/// The connection after a request was granted, and what the answer says.
pub(crate) async fn exchange(mut conn: Buffered, request: &Request) -> Result<(Buffered, Features), ConnectError> {
    let request = request.encode().map_err(ConnectError::Request)?;
    conn.stream.write_all(&request).await?;
    match receive(&mut conn, Response::parse).await? {
        Response { status: Status::OK, features } => Ok((conn, features)),
        Response { status, .. } => Err(ConnectError::Refused(status.to_string())),
    }
}

/// A connection whose request goes out with the first bytes that are written, or when the first are to be read, and whose
/// answer is taken from what is read first: a relay of GOST's holds it until its target speaks.
struct Asking {
    inner: Stream,
    /// Something was written, or is to be read.
    is_open: bool,
    /// What of the request, and of the bytes written with it, isn't sent yet.
    request: Vec<u8>,
    /// What has come of the answer, until it is there.
    answer: Option<BytesMut>,
    /// What came behind the answer and isn't read yet.
    early: BytesMut,
}

impl Asking {
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_open = true;
        while !self.request.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.request))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written if written == self.request.len() => self.request = Vec::new(),
                written => drop(self.request.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(answer) = &mut self.answer {
            let mut chunk = [0; 2048];
            let mut into = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut into))?;
            if into.filled().is_empty() {
                return Poll::Ready(Err(eof()));
            }
            answer.extend_from_slice(into.filled());
            let found = Response::parse(answer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let Some((Response { status, .. }, length)) = found {
                if status != Status::OK {
                    return Poll::Ready(Err(io::Error::other(format!("refused: {status}"))));
                }
                answer.advance(length);
                self.early = self.answer.take().unwrap_or_default();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Asking {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.answer.is_some() {
            // While the request can't be sent, what comes is read all the same.
            if let Poll::Ready(sent) = this.poll_request(cx) {
                sent?;
                ready_or_err(Pin::new(&mut this.inner).poll_flush(cx))?;
            }
            ready!(this.poll_answer(cx))?;
        }
        if this.early.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        let length = this.early.len().min(buf.remaining());
        buf.put_slice(&this.early.split_to(length));
        if this.early.is_empty() {
            this.early = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// An error, if there is one yet.
fn ready_or_err(poll: Poll<io::Result<()>>) -> io::Result<()> {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Ok(()),
    }
}

impl AsyncWrite for Asking {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.is_open {
            self.request.extend_from_slice(buf);
            ready_or_err(self.poll_request(cx))?;
            return Poll::Ready(Ok(buf.len()));
        }
        ready!(self.poll_request(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_request(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_request(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
