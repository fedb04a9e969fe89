//! HTTP in a tunnel: each request and response passes as it is, and is seen.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drawspan_wire::http1::{BodyLength, BodyScanner, HeadError, HeadScanner, HostPort, RequestHead, named_host};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Sniffing;
use crate::handler::HandlerError;
use crate::handler::exchange::{Exchange, Manner, Outcome, Request, Written, wants_upgrade};
use crate::handler::session::{Asked, Session};
use crate::net::{Buffered, HeadReadError, fill, linger, read_head};

const PORT: u16 = 80;

/// What comes next on a connection whose last exchange is over.
pub(in crate::handler) enum NextHead {
    /// A request.
    Head(Bytes),
    /// Nothing: the client is done, or has been idle for too long, or has to go.
    End,
    /// The other side has something to say, or nothing any more.
    Upstream,
}

/// Waits for another request, and watches the upstream, if there is one. Within `read_timeout` a head that has begun has
/// to be there.
pub(in crate::handler) async fn next_head(
    client: &mut Buffered,
    upstream: Option<&mut Buffered>,
    wait: Option<Duration>,
    read_timeout: Duration,
    drain: &CancellationToken,
) -> Result<NextHead, HandlerError> {
    let Buffered { stream, received } = client;
    if received.is_empty() {
        let upstream_speaks = async {
            match upstream {
                Some(upstream) => upstream.fill().await.map(|_| ()).unwrap_or(()),
                None => std::future::pending().await,
            }
        };
        let waited = async {
            match wait {
                Some(wait) => sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // First: a request is not for an upstream that has ended already.
            () = upstream_speaks => return Ok(NextHead::Upstream),
            filled = fill(stream, received) => if filled.map_err(HandlerError::Client)? == 0 {
                return Ok(NextHead::End);
            },
            () = waited => return Ok(NextHead::End),
            () = drain.cancelled() => return Ok(NextHead::End),
        }
    }
    match timeout(read_timeout, read_head(stream, received, HeadScanner::request())).await {
        Err(_) => Err(HandlerError::ClientTimedOut),
        Ok(Err(HeadReadError::Io(error))) => Err(HandlerError::Client(error)),
        Ok(Err(HeadReadError::Head(error))) => Err(error.into()),
        Ok(Ok(head)) => Ok(head.map_or(NextHead::End, NextHead::Head)),
    }
}

/// Passes on HTTP both ways, until it ends or becomes something else.
pub(super) async fn tunnel(
    session: &Session<'_>,
    mut client: Buffered,
    mut upstream: Buffered,
    asked: Asked,
    idle: Option<Duration>,
    sniffing: Sniffing,
    drain: &CancellationToken,
) -> Result<(), HandlerError> {
    let meters = session.meters(&asked).await;
    let mut known: Option<HostPort> = None;
    let mut begun = false;
    loop {
        let watched = begun.then_some(&mut upstream);
        let bytes = match next_head(&mut client, watched, idle, sniffing.read_timeout, drain).await? {
            NextHead::Head(bytes) => bytes,
            NextHead::End => return Ok(()),
            NextHead::Upstream => break,
        };
        let head = match RequestHead::parse(&bytes) {
            Err(HeadError::Http2Preface) => {
                give_back(&mut client, &bytes);
                break;
            }
            parsed => parsed?,
        };
        let bad = |error: &dyn ToString| HandlerError::BadRequest(error.to_string());
        let length = BodyLength::of_request(&head).map_err(|error| bad(&error))?;
        let host = named_host(&head, PORT).map_err(|error| bad(&error))?;
        let named = Asked { target: host.clone().unwrap_or_else(|| asked.target.clone()), ..asked.clone() };
        // GOST: only the first request's host is looked at.
        if host.is_some() && host != known && session.refuses(&named, "tcp").await {
            return Ok(());
        }
        known = host.or(known);
        begun = true;
        let authority = head.headers.get("host").map(String::from_utf8_lossy).unwrap_or_default();
        let record = Written::new(session, session.exchange_template(), &head, &authority);
        record.note(|record| named.note(record));
        let piping = session.piping(named.clone());
        let request = Request {
            head: &head,
            upgrade: wants_upgrade(&head, length),
            counted: bytes.len(),
            body: BodyScanner::new(length),
            sent: bytes.to_vec(),
            target: &asked.target,
            manner: Manner::Untouched,
        };
        let exchange = Exchange::new(session, request, &record, drain, &meters, sniffing.read_timeout);
        let outcome = exchange.run(&mut client, &mut upstream, idle).await?;
        drop(exchange);
        drop((record, piping));
        match outcome {
            Outcome::Keep => {}
            Outcome::Close => {
                linger(client.stream).await;
                return Ok(());
            }
            Outcome::Upgraded(frames) => {
                if let Some(frames) = frames {
                    (client, upstream) = frames.overhear(client, upstream);
                }
                break;
            }
        }
    }
    session.pipe(client, upstream, asked, &meters, idle).await;
    Ok(())
}

/// As if the bytes had not been taken.
pub(in crate::handler) fn give_back(client: &mut Buffered, bytes: &Bytes) {
    let mut all = BytesMut::from(&bytes[..]);
    all.extend_from_slice(&client.received);
    client.received = all;
}
