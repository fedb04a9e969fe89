//! [`Nameserver`]: a DNS server, and what is remembered of its answers.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::ClientId;
use drawspan_proxy::dns::{Server, nobody};
use drawspan_wit::types::AddressFamily;
use hickory_proto::rr::{Name, RecordType};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::cache::{Cache, Kept};
use crate::message::{self, Answer};

/// Questions that are asked again at a time, behind the backs of those who got an expired answer.
const REFRESHES: usize = 32;
/// For which an answer without records is kept.
const NOTHING_TTL: Duration = Duration::from_secs(60);

/// How a DNS server is asked.
pub struct NameserverSettings {
    /// The server.
    pub server: Server,
    /// What is asked for on behalf of those who want an address of any family.
    pub prefer: Prefer,
    /// Sent as EDNS client subnet: 24 bits of an IPv4 address, all of an IPv6 address.
    pub client_ip: Option<IpAddr>,
    /// How long answers are kept.
    pub ttl: Ttl,
    /// Answer with an expired answer, and ask again behind it.
    pub refresh_behind: bool,
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// IPv4, and IPv6 when there are none.
    V4,
    /// IPv6, and IPv4 when there are none.
    V6,
    /// IPv4 alone.
    OnlyV4,
    /// IPv6 alone.
    OnlyV6,
}

/// How long answers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// As the answer says (the least of its records); 60 s when it says nothing.
    Answer,
    /// So long.
    Fixed(Duration),
    /// Not at all.
    Uncached,
}

/// A DNS server with a cache of its answers. Cheap to clone.
#[derive(Clone)]
pub struct Nameserver(Arc<Inner>);

struct Inner {
    server: Server,
    prefer: Prefer,
    client_ip: Option<IpAddr>,
    ttl: Ttl,
    cache: Cache,
    refreshes: Option<Arc<Semaphore>>,
}

impl Nameserver {
    /// Does not connect.
    #[must_use]
    pub fn new(settings: NameserverSettings) -> Self {
        let NameserverSettings { server, prefer, client_ip, ttl, refresh_behind } = settings;
        let refreshes = refresh_behind.then(|| Arc::new(Semaphore::new(REFRESHES)));
        Self(Arc::new(Inner { server, prefer, client_ip, ttl, cache: Cache::default(), refreshes }))
    }

    /// The addresses of `name`, of the first family that has any. It is `client` that wants to know.
    pub(crate) async fn lookup(
        &self,
        name: &Name,
        family: AddressFamily,
        client: &ClientId,
    ) -> Result<Arc<[IpAddr]>, String> {
        use RecordType::{A, AAAA};
        let types: &[RecordType] = match (family, self.0.prefer) {
            (AddressFamily::Any, Prefer::V4) => &[A, AAAA],
            (AddressFamily::Any, Prefer::V6) => &[AAAA, A],
            (AddressFamily::Any | AddressFamily::Ipv4, Prefer::OnlyV4) => &[A],
            (AddressFamily::Any | AddressFamily::Ipv6, Prefer::OnlyV6) => &[AAAA],
            (AddressFamily::Ipv4, Prefer::V4 | Prefer::V6) => &[A],
            (AddressFamily::Ipv6, Prefer::V4 | Prefer::V6) => &[AAAA],
            (AddressFamily::Ipv4, Prefer::OnlyV6) | (AddressFamily::Ipv6, Prefer::OnlyV4) => &[],
        };
        let mut found = Arc::from([]);
        for record_type in types {
            found = self.one(name, *record_type, client).await?;
            if !found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    async fn one(&self, name: &Name, record_type: RecordType, client: &ClientId) -> Result<Arc<[IpAddr]>, String> {
        let now = Instant::now();
        match self.0.cache.get(name, record_type) {
            Some(kept) if kept.expires > now => Ok(kept.addresses),
            Some(kept) if self.0.refreshes.is_some() => {
                self.refresh(name, record_type, kept.clone(), now, client);
                Ok(kept.addresses)
            }
            _ => self.ask(name, record_type, client).await,
        }
    }

    /// Asks again behind the caller's back, if not too many do so already.
    fn refresh(&self, name: &Name, record_type: RecordType, kept: Kept, now: Instant, client: &ClientId) {
        let Some(Ok(permit)) = self.0.refreshes.as_ref().map(|refreshes| Arc::clone(refreshes).try_acquire_owned())
        else {
            return;
        };
        // Until it is known, nobody else asks.
        self.0.cache.keep(name, record_type, Kept { expires: now + self.0.server.timeout(), ..kept });
        let (nameserver, name, client) = (self.clone(), name.clone(), client.clone());
        tokio::spawn(async move {
            if let Err(reason) = nameserver.ask(&name, record_type, &client).await {
                tracing::debug!(kind = "resolver", host = %name, "{nameserver}: {reason}");
            }
            drop(permit);
        });
    }

    async fn ask(&self, name: &Name, record_type: RecordType, client: &ClientId) -> Result<Arc<[IpAddr]>, String> {
        let inner = &*self.0;
        let question = message::question(name, record_type, inner.client_ip);
        let bytes = question.to_vec().map_err(|error| error.to_string())?;
        let answered = inner.server.ask(&bytes, client, &nobody()).await.map_err(|error| error.to_string())?;
        let Answer { addresses, ttl } = message::read(answered.answer.message(), &question)?;
        let addresses: Arc<[IpAddr]> = addresses.into();
        let ttl = match inner.ttl {
            Ttl::Uncached => return Ok(addresses),
            Ttl::Fixed(ttl) => ttl,
            Ttl::Answer => ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(NOTHING_TTL),
        };
        let kept = Kept { addresses: Arc::clone(&addresses), expires: Instant::now() + ttl };
        inner.cache.keep(name, record_type, kept);
        Ok(addresses)
    }
}

/// Its address, without what may be secret.
impl fmt::Display for Nameserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.server.fmt(f)
    }
}
