//! Questions over TCP or TLS, each with its length before it (RFC 7766).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use drawspan_modules::Addr;
use drawspan_wire::dns::MAX_QUERY;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Shared, Way, https};
use crate::net::{Buffered, Stream, eof};

/// Questions of a connection that are being answered at a time; further ones aren't read yet.
pub(super) const PIPELINE: usize = 64;

/// How soon it is noticed that a question goes without an answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Serves one connection until it ends.
pub(super) async fn serve(stream: Stream, client: Addr, shared: Arc<Shared>) {
    let served = async {
        let mut conn = Buffered::new(stream);
        if let Some(tls) = &shared.settings.tls {
            let accepted = timeout(shared.settings.read_timeout, tls.accept(conn)).await?;
            conn = Buffered::new(accepted?.0);
        }
        match shared.settings.https {
            true => https::serve(conn, client.clone(), Arc::clone(&shared)).await,
            false => frames(conn, &client, &shared).await,
        }
    };
    if let Err(error) = served.await {
        tracing::debug!(kind = "listener", listener = "dns", %client, "client: {error}");
    }
}

async fn frames(mut conn: Buffered, client: &Addr, shared: &Shared) -> io::Result<()> {
    let settings = &shared.settings;
    let (sender, mut answers) = mpsc::channel(1);
    let mut deadline = Instant::now() + settings.read_timeout;
    loop {
        let (in_flight, now) = (sender.strong_count() - 1, Instant::now());
        tokio::select! {
            biased;
            Some(answer) = answers.recv() => {
                send(&conn.stream, answer, settings.write_timeout).await?;
                deadline = Instant::now() + settings.read_timeout;
            }
            message = receive(&mut conn), if in_flight < PIPELINE => {
                let Some(message) = message? else { break };
                shared.ask(message, Way::Frame(sender.clone()), client).await;
                deadline = Instant::now() + settings.read_timeout;
            }
            () = sleep_until(deadline) => match in_flight {
                0 => break,
                _ => deadline = now + LOOK_AGAIN,
            },
            () = shared.stop.cancelled() => break,
        }
    }
    // What is on its way is still awaited.
    drop(sender);
    while let Some(answer) = answers.recv().await {
        send(&conn.stream, answer, settings.write_timeout).await?;
    }
    timeout(settings.write_timeout, conn.stream.close_write()).await?
}

/// The next message; `None` at the end of the connection. Dropping the future loses nothing.
async fn receive(conn: &mut Buffered) -> io::Result<Option<Bytes>> {
    loop {
        if let [high, low, rest @ ..] = &conn.received[..] {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length > MAX_QUERY {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
            }
            if rest.len() >= length {
                conn.received.advance(2);
                return Ok(Some(conn.received.split_to(length).freeze()));
            }
        }
        if conn.fill().await? == 0 {
            return if conn.received.is_empty() { Ok(None) } else { Err(eof()) };
        }
    }
}

async fn send(stream: &Stream, mut answer: Vec<u8>, limit: Duration) -> io::Result<()> {
    let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
    answer.splice(..0, length.to_be_bytes());
    timeout(limit, stream.write_all(&answer)).await?
}
