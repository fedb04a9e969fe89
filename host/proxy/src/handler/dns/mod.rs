//! [`Dns`]: answers questions by DNS (GOST reference, dataplane 9): by the config's hosts, from memory, or by asking servers.

mod cache;
mod text;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::{ClientId, ConnInfo, Family, Target};
use drawspan_wire::dns::{Answer, Query, Unusable};
use drawspan_wire::http1::HostPort;
use tokio::sync::Semaphore;

use self::cache::{Cache, Found};
pub(crate) use self::text::DnsRecord;
use super::handshake::Grant;
use super::session::{Asked, Session};
use super::{HandlerError, HandlerParts};
use crate::Conn;
use crate::dns::{Answered, AskError};
use crate::listener::DnsQuestion;
use crate::net::{Activity, Flow};
use crate::router::{Attempt, Hop, Node, Seen};

/// For how many seconds clients keep addresses of the hosts table, as in GOST.
const HOSTS_TTL: u32 = 3600;

/// Questions that are asked again at a time, behind the backs of those who got an expired answer.
const REFRESHES: usize = 32;

/// How questions are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsSettings {
    /// Whom servers are told that it is for, as EDNS client subnet: 24 bits of an IPv4 address, all of an IPv6 address.
    pub client_ip: Option<IpAddr>,
    /// How long answers are kept.
    pub ttl: DnsTtl,
    /// Answer with an expired answer, and ask again behind it (`async`).
    pub refresh_behind: bool,
}

/// How long answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsTtl {
    /// As the answer says (the least of its records); 60 s when it says nothing.
    Answer,
    /// So long, and clients are told so.
    Fixed(Duration),
    /// Not at all.
    Uncached,
}

/// Answers questions. Nobody is authenticated.
pub struct Dns(Arc<Inner>);

struct Inner {
    parts: HandlerParts,
    hop: Arc<Hop>,
    settings: DnsSettings,
    cache: Cache,
    refreshes: Arc<Semaphore>,
}

impl Dns {
    /// Asks the servers of the nodes of `hop`.
    #[must_use]
    pub fn new(parts: HandlerParts, hop: Arc<Hop>, settings: DnsSettings) -> Self {
        let (cache, refreshes) = (Cache::default(), Arc::new(Semaphore::new(REFRESHES)));
        Self(Arc::new(Inner { parts, hop, settings, cache, refreshes }))
    }

    /// As [`Handler::handle_question`](super::Handler::handle_question).
    pub(crate) async fn handle(&self, conn: Conn<DnsQuestion>) -> Result<(), HandlerError> {
        let (session, question) = Session::start(conn, "dns", &self.0.parts);
        let network = question.network();
        session.note(|record| {
            record.network = network;
            record.begin("dns");
            record.host = session.info.local.to_string();
        });
        let outcome = self.0.serve(&session, question).await;
        if let Err(error) = &outcome {
            session.note(|record| record.err = error.to_string());
        }
        outcome
    }
}

impl Inner {
    async fn serve(self: &Arc<Self>, session: &Session<'_>, question: DnsQuestion) -> Result<(), HandlerError> {
        let query = match Query::parse(question.message()) {
            Ok(query) => query,
            Err(unusable) => {
                if let Unusable::Refused(reply) = unusable {
                    question.answer(reply).await;
                }
                return Err(HandlerError::BadRequest("not a DNS query, or a broken one".to_owned()));
            }
        };
        session.note(|record| record.dns = Some(DnsRecord::of(&query, question.message())));
        let name = query.name();
        // GOST: leading dots, which no name has, too.
        let host = name.trim_end_matches('.');
        let asked = Grant::anonymous().asked(HostPort { host: host.to_owned(), port: 0 });
        let (meters, activity) = (session.meters_of(question.network(), &asked).await, Activity::new());
        let (up, down) = Flow::both(&session.traffic, &meters, &activity);
        up.moved(question.message().len()).await;
        let answered = self.answer(session, &query, host, &asked).await;
        let reply = answered.inspect_err(|_| {
            if let Some(counted) = &meters.client {
                counted.failed();
            }
        })?;
        let reply = if question.network() == "udp" { query.datagram(reply) } else { reply };
        down.moved(reply.len()).await;
        session.note(|record| record.dns.iter_mut().for_each(|dns| dns.answered(&reply)));
        question.answer(reply).await;
        Ok(())
    }

    /// The reply, of any length.
    async fn answer(
        self: &Arc<Self>,
        session: &Session<'_>,
        query: &Query,
        host: &str,
        asked: &Asked,
    ) -> Result<Vec<u8>, HandlerError> {
        let failed = |reason: String| HandlerError::Upstream { target: host.to_owned(), reason };
        if let Some(bypass) = self.parts.bypass.as_ref().filter(|_| query.is_internet()) {
            let target = Target { network: "udp".to_owned(), address: host.to_owned(), ..Target::default() };
            if bypass.contains(Some(&session.info.service), Some(&asked.client_id), &target).await {
                return Ok(query.empty());
            }
        }
        if let (Some(hosts), Some(is_ipv4)) = (&self.parts.router.hosts, query.wants_ipv4()) {
            let family = if is_ipv4 { Family::Ipv4 } else { Family::Ipv6 };
            let found = hosts.lookup(family, host, Some(&asked.client_id)).await;
            let found = found.map_err(|error| failed(error.to_string()))?;
            if !found.is_empty() {
                return Ok(query.addresses(&found, HOSTS_TTL));
            }
        }
        let expired = match self.cache.get(&query.key(self.settings.client_ip)) {
            Some(Found::Fresh(kept)) => {
                session.note(|record| record.dns.iter_mut().for_each(|dns| dns.cached = true));
                return Ok(kept.reply(query));
            }
            Some(Found::Expired(kept)) => Some(kept),
            None => None,
        };
        let node = self.node(host, &asked.client_id, &session.info).await?;
        session.note(|record| record.host = node.nameserver.as_ref().map(ToString::to_string).unwrap_or_default());
        if let Some(kept) = expired.filter(|_| self.settings.refresh_behind) {
            self.refresh(node, query.clone(), session.info.clone(), asked.client_id.clone());
            return Ok(kept.reply(query));
        }
        let Answered { answer, route } = self.exchange(&node, query, &session.info, &asked.client_id).await?;
        session.note(|record| record.route = route);
        Ok(answer.reply(query, None))
    }

    /// The node whose server is to be asked about `host`.
    async fn node(&self, host: &str, client: &ClientId, info: &ConnInfo) -> Result<Arc<Node>, HandlerError> {
        let seen = Seen { asked: Some(host), ..Seen::default() };
        let node = self.parts.router.choose(&self.hop, info, client, &seen).await?;
        let nobody =
            || HandlerError::Upstream { target: host.to_owned(), reason: "no nameserver is for it".to_owned() };
        node.filter(|node| node.nameserver.is_some()).ok_or_else(nobody)
    }

    /// Asks the server, and keeps the answer.
    async fn exchange(
        &self,
        node: &Node,
        query: &Query,
        info: &ConnInfo,
        client: &ClientId,
    ) -> Result<Answered, HandlerError> {
        let attempt = Attempt::of(&node.marker);
        let Some(server) = &node.nameserver else { return Err(HandlerError::WrongNetwork) };
        let failed = |error| match error {
            AskError::Dial(error) => HandlerError::Dial(error),
            AskError::TimedOut(_) => HandlerError::UpstreamTimedOut { target: server.to_string() },
            error => HandlerError::Upstream { target: server.to_string(), reason: error.to_string() },
        };
        let number = unguessable().map_err(|error| failed(AskError::Lost(error)))?;
        let question = query.forward(number, self.settings.client_ip);
        let Answered { mut answer, route } = server.ask(&question, client, info).await.map_err(failed)?;
        attempt.succeeded();
        if let DnsTtl::Fixed(ttl) = self.settings.ttl {
            answer.set_ttl(u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX));
        }
        self.keep(query, &answer);
        Ok(Answered { answer, route })
    }

    /// GOST: keeps failures too, as long as answers without records.
    fn keep(&self, query: &Query, answer: &Answer) {
        let is_failure = !matches!(answer.code(), NO_ERROR | NO_SUCH_NAME);
        let ttl = match self.settings.ttl {
            DnsTtl::Uncached => return,
            DnsTtl::Fixed(ttl) => ttl,
            DnsTtl::Answer => match answer.ttl() {
                Some(ttl @ 1..) => Duration::from_secs(ttl.into()),
                _ => NOTHING_TTL,
            },
        };
        if !is_failure {
            self.cache.keep(query.key(self.settings.client_ip), answer.clone(), ttl);
        }
    }

    /// Asks again behind the client's back, if not too many do so already. Until it is known, nobody else asks.
    fn refresh(self: &Arc<Self>, node: Arc<Node>, query: Query, info: ConnInfo, client: ClientId) {
        let Ok(permit) = Arc::clone(&self.refreshes).try_acquire_owned() else { return };
        let patience = node.nameserver.as_ref().map_or(Duration::ZERO, |server| server.timeout());
        self.cache.defer(query.key(self.settings.client_ip), patience);
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = inner.exchange(&node, &query, &info, &client).await {
                tracing::debug!(kind = "handler", handler = "dns", service = %info.service, sid = %info.sid, "{error}");
            }
            drop(permit);
        });
    }
}

/// For which an answer without records is kept.
const NOTHING_TTL: Duration = Duration::from_secs(60);

const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;

/// A question's number that nobody can guess.
fn unguessable() -> io::Result<u16> {
    let mut number = [0; 2];
    getrandom::fill(&mut number).map_err(io::Error::other)?;
    Ok(u16::from_ne_bytes(number))
}

#[cfg(test)]
mod tests;
