//! [`Session`]: what every handler does with a connection, whatever its protocol; and its log lines, in GOST's words (GOST
//! reference, admin 3).
//!
//! [`Session`] and [`Piping`] log the end when they are dropped, so that a connection that is cut off has its line too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use drawspan_modules::{ClientId, ConnInfo, Target};
use drawspan_wire::http1::HostPort;

use super::HandlerParts;
use super::record::Record;
use crate::net::{Buffered, Counted, Direction, Far, Limits, Meters, PipeError, Traffic, pipe};
use crate::router::{Association, UdpUpstream};
use crate::{Conn, DialError, Upstream, Wanted};

/// A connection in a handler's hands, and the steps that all handlers share.
pub(crate) struct Session<'h> {
    pub(crate) info: ConnInfo,
    pub(crate) traffic: Traffic,
    pub(crate) parts: &'h HandlerParts,
    pub(crate) handler: &'static str,
    limits: Vec<Arc<Limits>>,
    /// The client that its bytes count for, once that is known.
    counted: Mutex<Option<(ClientId, Arc<Counted>)>>,
    /// There while somebody wants it.
    record: Option<Box<Mutex<Pending>>>,
    started: Instant,
}

/// The record of a connection.
struct Pending {
    record: Record,
    /// Others are written in its place.
    replaced: bool,
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
    pub(crate) fn start<S>(conn: Conn<S>, handler: &'static str, parts: &'h HandlerParts) -> (Self, S) {
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
        let pending = || Pending { record: Record::new(&info, "tcp"), replaced: false };
        let record = parts.recorder.as_ref().map(|_| Box::new(Mutex::new(pending())));
        let session = Self {
            info,
            traffic: Traffic::of(counters),
            parts,
            handler,
            limits,
            counted: Mutex::default(),
            record,
            started: Instant::now(),
        };
        (session, stream)
    }

    /// Adds to the connection's record, if there is one.
    pub(crate) fn note(&self, add: impl FnOnce(&mut Record)) {
        if let Some(pending) = &self.record {
            add(&mut pending.lock().unwrap_or_else(PoisonError::into_inner).record);
        }
    }

    /// A record of one exchange, in place of the connection's, and with all that is known of that; `None` if nobody wants
    /// it.
    pub(crate) fn exchange_template(&self) -> Option<Record> {
        let mut pending = self.record.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        pending.replaced = true;
        Some(pending.record.clone())
    }

    /// A record of one exchange, in place of the connection's; `None` if nobody wants it.
    pub(crate) fn exchange_record(&self, asked: &Asked) -> Option<Record> {
        self.exchange_template()?;
        let mut record = Record::new(&self.info, "tcp");
        asked.note(&mut record);
        Some(record)
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
            self.note(|record| {
                asked.note(record);
                record.err = "bypass".to_owned();
            });
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
        let outcome = self.parts.router.dial(&wanted).await;
        self.note(|record| {
            asked.note(record);
            match &outcome {
                Ok(upstream) => upstream.note(record),
                Err(error) => record.err = error.to_string(),
            }
        });
        if let (Err(_), Some(counted)) = (&outcome, self.counted(&asked.client_id)) {
            counted.failed();
        }
        outcome
    }

    /// The connection counts for the client from now on, as do the answers to it.
    pub(crate) fn count_for(&self, client: &ClientId) {
        self.counted(client);
    }

    /// Counts the bytes of an answer of the handler's own.
    pub(crate) fn answered(&self, bytes: usize) {
        self.traffic.count(Direction::Down, bytes);
        if let Some((_, counted)) = &*self.counted.lock().unwrap_or_else(PoisonError::into_inner) {
            counted.count(Direction::Down, bytes);
        }
    }

    /// Where the client's bytes count.
    fn counted(&self, client: &ClientId) -> Option<Arc<Counted>> {
        let clients = self.parts.clients.as_ref()?;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        match &*counted {
            Some((known, counted)) if known == client => Some(Arc::clone(counted)),
            _ => {
                let new = Arc::new(Counted::new(clients.of(client)));
                *counted = Some((client.clone(), Arc::clone(&new)));
                Some(new)
            }
        }
    }

    /// Makes a way for datagrams, to targets that they name themselves.
    pub(crate) async fn associate(&self, asked: &Asked) -> Result<Association, DialError> {
        let nowhere = HostPort { host: String::new(), port: 0 };
        let wanted = Wanted { network: "udp", target: &nowhere, client: &asked.client_id, info: &self.info };
        let outcome = self.parts.router.associate(&wanted).await;
        self.note(|record| {
            asked.note(record);
            record.network = "udp";
            match &outcome {
                Ok(Association { datagrams, route }) => {
                    record.route.clone_from(route);
                    (record.src, record.dst) = datagrams.ends();
                }
                Err(error) => record.err = error.to_string(),
            }
        });
        if let (Err(_), Some(counted)) = (&outcome, self.counted(&asked.client_id)) {
            counted.failed();
        }
        outcome
    }

    /// Makes a way for datagrams to the target.
    pub(crate) async fn dial_udp(&self, asked: &Asked) -> Result<UdpUpstream, DialError> {
        let wanted = Wanted { network: "udp", target: &asked.target, client: &asked.client_id, info: &self.info };
        let outcome = self.parts.router.connect_udp(&wanted).await;
        self.note(|record| {
            asked.note(record);
            record.network = "udp";
            match &outcome {
                Ok(upstream) => upstream.note(record),
                Err(error) => record.err = error.to_string(),
            }
        });
        if let (Err(_), Some(counted)) = (&outcome, self.counted(&asked.client_id)) {
            counted.failed();
        }
        outcome
    }

    /// What the bytes that flow for a client are counted and limited by.
    pub(crate) async fn meters(&self, asked: &Asked) -> Meters {
        self.meters_of("tcp", asked).await
    }

    /// As [`meters`](Self::meters), for that network.
    pub(crate) async fn meters_of(&self, network: &str, asked: &Asked) -> Meters {
        self.meters_to(network, &asked.client_id, &asked.target.to_string()).await
    }

    /// As [`meters_of`](Self::meters_of), for that client and its target.
    pub(crate) async fn meters_to(&self, network: &str, client: &ClientId, target: &str) -> Meters {
        let mut limits = self.limits.clone();
        if let Some(shaper) = &self.parts.shaper {
            limits.extend(shaper.of_client(&self.info, network, client, target).await);
        }
        Meters { client: self.counted(client), limits, far: Far::default() }
    }

    /// What the service limits the connection by.
    pub(crate) fn limits(&self) -> Vec<Arc<Limits>> {
        self.limits.clone()
    }

    /// What bytes are counted and limited by for who serves `tunnel`, which registered by the connection `info` that the
    /// service limits by `limits`.
    pub(crate) async fn far(
        &self,
        info: &ConnInfo,
        mut limits: Vec<Arc<Limits>>,
        network: &str,
        tunnel: &ClientId,
    ) -> Far {
        if let Some(shaper) = &self.parts.shaper {
            limits.extend(shaper.of_client(info, network, tunnel, "").await);
        }
        let clients = self.parts.clients.as_ref();
        Far { client: clients.map(|clients| Counted::new(clients.of(tunnel))), limits }
    }

    /// The meters of a visit to a tunnel.
    pub(crate) fn far_meters(&self, far: Far) -> Meters {
        Meters { client: None, limits: self.limits.clone(), far }
    }

    /// Copies both ways until both sides have ended; how a tunnel ends is the business of its two ends.
    pub(crate) async fn tunnel(&self, client: Buffered, upstream: Buffered, asked: Asked, idle: Option<Duration>) {
        let meters = self.meters(&asked).await;
        let _piping = self.piping(asked);
        self.ended(pipe(client, upstream, &self.traffic, &meters, idle).await);
    }

    /// As [`tunnel`](Self::tunnel), when it is known how the bytes are counted and limited.
    pub(crate) async fn pipe(
        &self,
        client: Buffered,
        upstream: Buffered,
        asked: Asked,
        meters: &Meters,
        idle: Option<Duration>,
    ) {
        let _piping = self.piping(asked);
        self.ended(pipe(client, upstream, &self.traffic, meters, idle).await);
    }

    fn ended(&self, outcome: Result<(), PipeError>) {
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

impl Asked {
    pub(crate) fn note(&self, record: &mut Record) {
        record.host = self.target.to_string();
        // The claimed name until the authenticator has said another.
        record.client_id = match self.client_id.known() {
            Some(id) => id,
            None => self.user.clone().unwrap_or_default(),
        };
    }
}

impl Upstream {
    pub(crate) fn note(&self, record: &mut Record) {
        record.src = self.conn.stream.local_addr().to_string();
        record.dst = self.conn.stream.peer_addr().to_string();
        record.route.clone_from(&self.route);
    }
}

impl UdpUpstream {
    pub(crate) fn note(&self, record: &mut Record) {
        record.route.clone_from(&self.route);
        (record.src, record.dst) = self.datagrams.ends();
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let (input, output) = self.traffic.totals();
        let pending = self.record.take().map(|pending| pending.into_inner().unwrap_or_else(PoisonError::into_inner));
        if let (Some(Pending { mut record, replaced: false }), Some(recorder)) = (pending, &self.parts.recorder) {
            (record.input_bytes, record.output_bytes) = (input, output);
            record.write(recorder);
        }
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
