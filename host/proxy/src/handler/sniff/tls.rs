//! TLS in a tunnel: both hellos are read, nothing is opened.

use std::time::Duration;

use drawspan_modules::Target;
use drawspan_wire::http1::HostPort;
use drawspan_wire::tls::{ClientHello, ServerHello};
use tokio::time::timeout;

use super::Sniffing;
use crate::handler::HandlerError;
use crate::handler::record::TlsRecord;
use crate::handler::session::{Asked, Session};
use crate::net::{Activity, Buffered, Flow, Meters, eof};

const PORT: u16 = 443;

/// The client's hello, which stays received, and how many bytes it is.
pub(in crate::handler) async fn client_hello(
    session: &Session<'_>,
    client: &mut Buffered,
    limit: Duration,
) -> Result<(ClientHello, usize), HandlerError> {
    let reading = async {
        loop {
            match ClientHello::parse(&client.received) {
                Ok(Some(hello)) => return Ok(hello),
                Ok(None) if client.fill().await.map_err(HandlerError::Client)? > 0 => {}
                Ok(None) => return Err(HandlerError::Client(eof())),
                Err(error) => return Err(HandlerError::BadRequest(error.to_string())),
            }
        }
    };
    let (hello, length) = timeout(limit, reading).await.map_err(|_| HandlerError::ClientTimedOut)??;
    session.note(|record| record.tls = Some(TlsRecord::of(&hello, &client.received[..length])));
    Ok((hello, length))
}

/// Where a hello wants to go, if it says so.
pub(in crate::handler) fn server_name(hello: &ClientHello) -> Option<HostPort> {
    hello.server_name.as_ref().map(|host| HostPort { host: host.clone(), port: PORT })
}

/// Whether the service lets it pass. What names no server is no target, which only a whitelist refuses.
pub(in crate::handler) async fn passes(session: &Session<'_>, asked: &Asked, name: Option<&HostPort>) -> bool {
    let address = name.map(ToString::to_string).unwrap_or_default();
    session.note(|record| asked.note(record));
    !session.bypasses(asked, Target { network: "tcp".to_owned(), address, ..Target::default() }).await
}

/// Passes on both ways what begins with a hello of `length` bytes; the server's is read on the way if it is recorded.
#[allow(clippy::too_many_arguments, reason = "both ends, and what is known of them")]
pub(in crate::handler) async fn tunnel(
    session: &Session<'_>,
    mut client: Buffered,
    mut upstream: Buffered,
    asked: Asked,
    length: usize,
    meters: &Meters,
    idle: Option<Duration>,
    sniffing: Sniffing,
) -> Result<(), HandlerError> {
    if session.parts.recorder.is_some() {
        let failed = |error: std::io::Error| HandlerError::Upstream {
            target: asked.target.to_string(),
            reason: error.to_string(),
        };
        let activity = Activity::new();
        let (up, _) = Flow::both(&session.traffic, meters, &activity);
        let hello = client.received.split_to(length);
        upstream.stream.write_all(&hello).await.map_err(failed)?;
        up.moved(length).await;
        let reading = async {
            loop {
                match ServerHello::parse(&upstream.received) {
                    Ok(Some((hello, length))) => {
                        let bytes = &upstream.received[..length];
                        session.note(|record| record.tls.iter_mut().for_each(|tls| tls.answered(&hello, bytes)));
                        return Ok::<_, HandlerError>(());
                    }
                    Ok(None) if upstream.fill().await.map_err(failed)? > 0 => {}
                    // An alert, or nothing: the client's business.
                    _ => return Ok(()),
                }
            }
        };
        // Out of time: who knows what it is.
        timeout(sniffing.read_timeout, reading).await.unwrap_or(Ok(()))?;
    }
    session.pipe(client, upstream, asked, meters, idle).await;
    Ok(())
}
