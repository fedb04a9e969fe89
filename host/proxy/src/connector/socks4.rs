//! [`Socks4`]: SOCKS4 and SOCKS4a (GOST reference, dataplane 6).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use drawspan_wire::http1::HostPort;
use drawspan_wire::socks::Address;
use drawspan_wire::socks::v4::{self, Request};
use tokio::net::lookup_host;

use super::{ConnectError, receive, within};
use crate::net::Buffered;

/// Asks a SOCKS4 proxy.
#[derive(Clone, Default)]
pub struct Socks4 {
    /// The user id; the protocol knows no password.
    pub user: Option<String>,
    /// `disable4a`: names are resolved here, by the system, to IPv4 addresses.
    pub disable_4a: bool,
    /// For the whole exchange; `None`: as long as the dial may take.
    pub timeout: Option<Duration>,
}

impl Socks4 {
    pub(super) async fn connect(&self, conn: Buffered, target: &HostPort) -> Result<Buffered, ConnectError> {
        within(self.timeout, self.exchange(conn, target)).await
    }

    async fn exchange(&self, mut conn: Buffered, target: &HostPort) -> Result<Buffered, ConnectError> {
        let address = if self.disable_4a {
            resolve(target).await?.into()
        } else {
            // IP addresses too, as GOST does: a server that knows 4a takes both.
            Address::Name(target.host.clone().into_bytes(), target.port)
        };
        let user_id = self.user.clone().unwrap_or_default().into_bytes();
        let request = Request { command: v4::CONNECT, address, user_id };
        conn.stream.write_all(&request.encode().map_err(ConnectError::Request)?).await?;
        match receive(&mut conn, v4::parse_reply).await? {
            v4::GRANTED => Ok(conn),
            v4::BAD_USER_ID => Err(ConnectError::Refused("bad user id".to_owned())),
            code => Err(ConnectError::Refused(format!("code {code}"))),
        }
    }
}

async fn resolve(target: &HostPort) -> Result<SocketAddr, ConnectError> {
    let mut found = lookup_host((target.host.as_str(), target.port)).await?;
    let none = || io::Error::new(io::ErrorKind::AddrNotAvailable, "the target has no IPv4 address");
    found.find(SocketAddr::is_ipv4).ok_or_else(|| none().into())
}
