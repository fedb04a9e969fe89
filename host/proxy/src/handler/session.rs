//! [`Session`] and [`Piping`]: the log lines of a connection, in GOST's words (GOST reference, admin 3).
//!
//! Both log the end when they are dropped, so that a connection that is cut off has its line too.

use std::time::Instant;

use drawspan_modules::{ClientId, ConnInfo};

use crate::net::Traffic;

/// A connection in a handler's hands.
pub(super) struct Session {
    pub(super) info: ConnInfo,
    pub(super) traffic: Traffic,
    pub(super) handler: &'static str,
    started: Instant,
}

/// Who asked, and what for.
#[derive(Clone)]
pub(super) struct Asked {
    /// The target, `host:port`.
    pub(super) host: String,
    /// The user name that was presented, if any.
    pub(super) user: Option<String>,
    /// What the authenticator said.
    pub(super) client_id: ClientId,
}

impl Session {
    /// Logs that the connection is there.
    pub(super) fn start(info: ConnInfo, handler: &'static str) -> Self {
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
        Self { info, traffic: Traffic::default(), handler, started: Instant::now() }
    }

    /// Logs that bytes flow between the client and the target.
    pub(super) fn piping(&self, asked: Asked) -> Piping<'_> {
        tracing::info!(
            kind = "handler",
            handler = self.handler,
            service = %self.info.service,
            sid = %self.info.sid,
            client = %self.info.client,
            host = asked.host,
            user = asked.user,
            clientID = asked.client_id.as_str(),
            "{} <-> {}",
            self.info.client,
            asked.host
        );
        Piping { session: self, asked, before: self.traffic.totals(), started: Instant::now() }
    }
}

impl Drop for Session {
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
pub(super) struct Piping<'s> {
    session: &'s Session,
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
            host = self.asked.host,
            user = self.asked.user,
            clientID = self.asked.client_id.as_str(),
            duration = nanoseconds(self.started),
            inputBytes = input - self.before.0,
            outputBytes = output - self.before.1,
            "{} >-< {}",
            info.client,
            self.asked.host
        );
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
