//! [`relay`]: datagrams between a client and any targets; [`relay_to`]: to one.

use std::io;
use std::time::Duration;

use drawspan_modules::Target;

use super::HandlerError;
use super::session::{Asked, Session};
use crate::net::{Activity, Datagrams, Flow};
use crate::router::UdpUpstream;

/// Passes datagrams on in both directions until one of them ends, or none has come for `idle`. Each is judged by itself, by where it goes to or comes
/// from; one that is refused is dropped without a word.
pub(super) async fn relay(
    session: &Session<'_>,
    asked: Asked,
    client: &mut Datagrams,
    upstream: &mut Datagrams,
    idle: Option<Duration>,
) -> Result<(), HandlerError> {
    let names = upstream.takes_names();
    let (mut from_client, to_client) = client.split();
    let (mut from_upstream, to_upstream) = upstream.split();
    let meters = session.meters_of("udp", &asked).await;
    let activity = Activity::new();
    let (up, down) = Flow::both(&session.traffic, &meters, &activity);
    let piping = session.piping(asked.clone());
    let to_targets = async {
        let mut data = Vec::new();
        loop {
            let (address, length) = match from_client.receive(&mut data).await {
                Ok(received) => received,
                // How a client ends.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            };
            up.moved(length).await;
            let Ok(named) = address.host_port() else { continue };
            let target = if names {
                address
            } else {
                match session.parts.router.resolve_datagram(&address, &asked.client_id).await {
                    Some(target) => target.into(),
                    None => continue,
                }
            };
            let Ok(resolved) = target.host_port() else { continue };
            let host = (resolved != named).then(|| named.to_string());
            if !session.bypasses(&asked, Target { address: resolved.to_string(), host, ..udp() }).await {
                to_upstream.send(&target, &data).await?;
            }
        }
    };
    let to_client = async {
        let mut data = Vec::new();
        loop {
            let (address, _) = from_upstream.receive(&mut data).await?;
            let Ok(source) = address.host_port() else { continue };
            if !session.bypasses(&asked, Target { address: source.to_string(), ..udp() }).await {
                down.moved(to_client.send(&address, &data).await?).await;
            }
        }
    };
    let outcome: io::Result<()> = tokio::select! {
        outcome = to_targets => outcome,
        outcome = to_client => outcome,
        () = activity.idle(idle) => Ok(()),
    };
    drop(piping);
    outcome.map_err(HandlerError::Datagrams)
}

/// Passes datagrams on between a client and one target, until one of them ends, or none has come for `idle`.
pub(super) async fn relay_to(
    session: &Session<'_>,
    asked: Asked,
    client: &mut Datagrams,
    upstream: UdpUpstream,
    idle: Option<Duration>,
) -> Result<(), HandlerError> {
    let UdpUpstream { mut datagrams, target, .. } = upstream;
    let (mut from_client, to_client) = client.split();
    let (mut from_target, to_target) = datagrams.split();
    let meters = session.meters_of("udp", &asked).await;
    let activity = Activity::new();
    let (up, down) = Flow::both(&session.traffic, &meters, &activity);
    let piping = session.piping(asked);
    let questions = async {
        let mut data = Vec::new();
        loop {
            match from_client.receive(&mut data).await {
                Ok((_, length)) => up.moved(length).await,
                // How a client ends.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
            to_target.send(&target, &data).await?;
        }
    };
    let answers = async {
        let mut data = Vec::new();
        loop {
            let (source, _) = from_target.receive(&mut data).await?;
            down.moved(to_client.send(&source, &data).await?).await;
        }
    };
    let outcome: io::Result<()> = tokio::select! {
        outcome = questions => outcome,
        outcome = answers => outcome,
        () = activity.idle(idle) => Ok(()),
    };
    drop(piping);
    outcome.map_err(HandlerError::Datagrams)
}

fn udp() -> Target {
    Target { network: "udp".to_owned(), ..Target::default() }
}
