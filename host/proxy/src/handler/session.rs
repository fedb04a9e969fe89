//! [`Session`]: what every handler does with a connection, whatever its protocol; and its log lines, in GOST's words (GOST
//! reference, admin 3).
//!
//! [`Session`] and [`Piping`] log the end when they are dropped, so that a connection that is cut off has its line too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drawspan_modules::{ClientId, ConnInfo, Target};
use drawspan_wire::http1::HostPort;

use super::HandlerParts;
use crate::net::{Buffered, Limits, Meters, PipeError, Traffic, pipe};
use crate::router::Association;
use crate::{Conn, DialError, Upstream, Wanted};

/// A connection in a handler's hands, and the steps that all handlers share.
pub(crate) struct Session<'h> {
    pub(crate) info: ConnInfo,
    pub(crate) traffic: Traffic,
    pub(crate) parts: &'h HandlerParts,
    pub(crate) handler: &'static str,
    limits: Vec<Arc<Limits>>,
    started: Instant,
}

/// Who asked, and what for.
#[derive(Clone)]
pub(crate) struct Asked {
    /// The target, as the client named it.
    pub(crate) target: HostPort,
    /// The user name that was presented, if any.
    pub(crate) user: Option<String>,
    /// What the authenticator said; empty without one.
    pub(crate) client_id: ClientId,
}

impl<'h> Session<'h> {
    /// Logs that the connection is there.
    pub(crate) fn start(conn: Conn, handler: &'static str, parts: &'h HandlerParts) -> (Self, Buffered) {
        let Conn { stream, info, limits, counters } = conn;
        tracing::info!(
            kind = "handler",
            handler,
            service = %info.service,
            sid = %info.sid,
            client = %info.client,
            "{} <> {}",
            info.client,
            info.local
        );
        (Self { info, traffic: Traffic::of(counters), parts, handler, limits, started: Instant::now() }, stream)
    }

    /// Whether the service refuses the target.
    pub(crate) async fn refuses(&self, asked: &Asked, network: &str) -> bool {
        let address = asked.target.to_string();
        self.bypasses(asked, Target { network: network.to_owned(), address, ..Target::default() }).await
    }

    /// Whether the service refuses a datagram to or from `target`, or anything else that goes there.
    pub(crate) async fn bypasses(&self, asked: &Asked, target: Target) -> bool {
        let Some(bypass) = &self.parts.bypass else { return false };
        let refused = bypass.contains(Some(&self.info.service), Some(&asked.client_id), &target).await;
        if refused {
            tracing::debug!(
                kind = "handler",
                handler = self.handler,
                service = %self.info.service,
                sid = %self.info.sid,
                client = %self.info.client,
                host = target.address,
                "bypass: the target is refused"
            );
        }
        refused
    }

    /// Connects to the target by TCP.
    pub(crate) async fn dial(&self, asked: &Asked) -> Result<Upstream, DialError> {
        let wanted = Wanted { network: "tcp", target: &asked.target, client: &asked.client_id, info: &self.info };
        self.parts.router.dial(&wanted).await
    }

    /// Makes a way for datagrams, to targets that they name themselves.
    pub(crate) async fn associate(&self, asked: &Asked) -> Result<Association, DialError> {
        let nowhere = HostPort { host: String::new(), port: 0 };
        let wanted = Wanted { network: "udp", target: &nowhere, client: &asked.client_id, info: &self.info };
        self.parts.router.associate(&wanted).await
    }

    /// What the bytes that flow for a client are counted and limited by.
    pub(crate) async fn meters(&self, asked: &Asked) -> Meters {
        let mut limits = self.limits.clone();
        if let Some(shaper) = &self.parts.shaper {
            limits.extend(shaper.of_client(&self.info, "tcp", &asked.client_id, &asked.target.to_string()).await);
        }
        Meters { client: None, limits }
    }

    /// Copies both ways until both sides have ended; how a tunnel ends is the business of its two ends.
    pub(crate) async fn tunnel(&self, client: Buffered, upstream: Buffered, asked: Asked, idle: Option<Duration>) {
        let meters = self.meters(&asked).await;
        let _piping = self.piping(asked);
        let outcome: Result<(), PipeError> = pipe(client, upstream, &self.traffic, &meters, idle).await;
        if let Err(error) = outcome {
            tracing::debug!(service = %self.info.service, sid = %self.info.sid, "tunnel: {error}");
        }
    }

    /// Logs that bytes flow between the client and the target.
    pub(crate) fn piping(&self, asked: Asked) -> Piping<'_> {
        tracing::info!(
            kind = "handler",
            handler = self.handler,
            service = %self.info.service,
            sid = %self.info.sid,
            client = %self.info.client,
            host = %asked.target,
            user = asked.user,
            clientID = asked.client_id.as_str(),
            "{} <-> {}",
            self.info.client,
            asked.target
        );
        Piping { session: self, asked, before: self.traffic.totals(), started: Instant::now() }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let (input, output) = self.traffic.totals();
        tracing::info!(
            kind = "handler",
            handler = self.handler,
            service = %self.info.service,
            sid = %self.info.sid,
            client = %self.info.client,
            duration = nanoseconds(self.started),
            inputBytes = input,
            outputBytes = output,
            "{} >< {}",
            self.info.client,
            self.info.local
        );
    }
}

/// A tunnel, or one request and its response.
pub(crate) struct Piping<'s> {
    session: &'s Session<'s>,
    asked: Asked,
    before: (u64, u64),
    started: Instant,
}

impl Drop for Piping<'_> {
    fn drop(&mut self) {
        let info = &self.session.info;
        let (input, output) = self.session.traffic.totals();
        tracing::info!(
            kind = "handler",
            handler = self.session.handler,
            service = %info.service,
            sid = %info.sid,
            client = %info.client,
            host = %self.asked.target,
            user = self.asked.user,
            clientID = self.asked.client_id.as_str(),
            duration = nanoseconds(self.started),
            inputBytes = input - self.before.0,
            outputBytes = output - self.before.1,
            "{} >-< {}",
            info.client,
            self.asked.target
        );
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
