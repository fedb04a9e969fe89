//! What is tunnelled or forwarded is looked into: its protocol is recognised by its first bytes, the host that an HTTP
//! request or a ClientHello names is asked the bypass about, and both are recorded (GOST reference, dataplane 2, 8).

mod http;
mod tls;

#[cfg(test)]
pub(super) mod tests;

use std::time::Duration;

use drawspan_wire::sniff::{Guess, Protocol};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(super) use self::http::{NextHead, give_back, next_head};
pub(super) use self::tls::{client_hello, passes, server_name, tunnel as tunnel_tls};

use super::HandlerError;
use super::session::{Asked, Session};
use crate::net::Buffered;

/// How what is tunnelled or forwarded is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sniffing {
    /// For the client's first bytes (`sniffing.timeout`); then it is passed on unseen. `None`: a tunnel waits as long as
    /// its target says nothing, a forwarder for `read_timeout`.
    pub timeout: Option<Duration>,
    /// For what has begun: a request's head, a ClientHello; and for the answer to it (`readTimeout`).
    pub read_timeout: Duration,
}

/// Passes on both ways what an established tunnel carries, and looks into it. To be boxed: what it needs must not be
/// carried along by tunnels that nobody looks into.
pub(super) async fn tunnel(
    session: &Session<'_>,
    mut client: Buffered,
    mut upstream: Buffered,
    asked: Asked,
    idle: Option<Duration>,
    sniffing: Sniffing,
    drain: &CancellationToken,
) -> Result<(), HandlerError> {
    let protocol = guess(&mut client, Some(&mut upstream), sniffing.timeout.or(idle)).await?;
    session.note(|record| record.proto = protocol.map_or("", Protocol::as_str));
    match protocol {
        Some(Protocol::Http) => http::tunnel(session, client, upstream, asked, idle, sniffing, drain).await,
        Some(Protocol::Tls) => {
            let (hello, length) = client_hello(session, &mut client, sniffing.read_timeout).await?;
            let name = server_name(&hello);
            let asked = Asked { target: name.clone().unwrap_or_else(|| asked.target.clone()), ..asked };
            if !passes(session, &asked, name.as_ref()).await {
                return Ok(());
            }
            let meters = session.meters(&asked).await;
            tunnel_tls(session, client, upstream, asked, length, &meters, idle, sniffing).await
        }
        _ => {
            session.tunnel(client, upstream, asked, idle).await;
            Ok(())
        }
    }
}

/// What the client speaks, by its first bytes, which stay received. `None` if they aren't known, or don't come within
/// `limit`, or the other side speaks first: there are protocols whose clients wait for that. GOST: waits for the client
/// all the same, for ever without a timeout.
pub(super) async fn guess(
    client: &mut Buffered,
    mut upstream: Option<&mut Buffered>,
    limit: Option<Duration>,
) -> Result<Option<Protocol>, HandlerError> {
    let guessing = async {
        loop {
            match Protocol::guess(&client.received) {
                Guess::Known(protocol) => return Ok(Some(protocol)),
                Guess::Unknown => return Ok(None),
                Guess::More => {}
            }
            let speaks_first = async {
                match &mut upstream {
                    Some(upstream) if upstream.received.is_empty() => upstream.fill().await.map(|_| ()).unwrap_or(()),
                    Some(_) => {}
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                filled = client.fill() => if filled.map_err(HandlerError::Client)? == 0 {
                    return Ok(None);
                },
                () = speaks_first => return Ok(None),
            }
        }
    };
    match limit {
        Some(limit) => timeout(limit, guessing).await.unwrap_or(Ok(None)),
        None => guessing.await,
    }
}
