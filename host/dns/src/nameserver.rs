//! [`Nameserver`]: a DNS server, and what is remembered of its answers.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use drawspan_wit::types::AddressFamily;
use hickory_proto::rr::{Name, RecordType};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::cache::{Cache, Kept};
use crate::exchange::Exchange;
use crate::message::{self, Answer};
use crate::{SetupError, Transport};

/// Questions that are asked again at a time, behind the backs of those who got an expired answer.
const REFRESHES: usize = 32;
/// For which an answer without records is kept.
const NOTHING_TTL: Duration = Duration::from_secs(60);

/// How a DNS server is asked.
pub struct NameserverSettings {
    /// Where it is.
    pub transport: Transport,
    /// What is asked for on behalf of those who want an address of any family.
    pub prefer: Prefer,
    /// Sent as EDNS client subnet: 24 bits of an IPv4 address, all of an IPv6 address.
    pub client_ip: Option<IpAddr>,
    /// How long answers are kept.
    pub ttl: Ttl,
    /// For one exchange.
    pub timeout: Duration,
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
    exchange: Exchange,
    prefer: Prefer,
    client_ip: Option<IpAddr>,
    ttl: Ttl,
    timeout: Duration,
    cache: Cache,
    refreshes: Option<Arc<Semaphore>>,
}

impl Nameserver {
    /// Does not connect.
    ///
    /// # Errors
    /// When TLS can't be set up, or a URL isn't one.
    pub fn new(settings: NameserverSettings) -> Result<Self, SetupError> {
        let NameserverSettings { transport, prefer, client_ip, ttl, timeout, refresh_behind } = settings;
        let refreshes = refresh_behind.then(|| Arc::new(Semaphore::new(REFRESHES)));
        let exchange = Exchange::new(transport, timeout)?;
        Ok(Self(Arc::new(Inner { exchange, prefer, client_ip, ttl, timeout, cache: Cache::default(), refreshes })))
    }

    /// The addresses of `name`, of the first family that has any.
    pub(crate) async fn lookup(&self, name: &Name, family: AddressFamily) -> Result<Arc<[IpAddr]>, String> {
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
            found = self.one(name, *record_type).await?;
            if !found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    async fn one(&self, name: &Name, record_type: RecordType) -> Result<Arc<[IpAddr]>, String> {
        let now = Instant::now();
        match self.0.cache.get(name, record_type) {
            Some(kept) if kept.expires > now => Ok(kept.addresses),
            Some(kept) if self.0.refreshes.is_some() => {
                self.refresh(name, record_type, kept.clone(), now);
                Ok(kept.addresses)
            }
            _ => self.ask(name, record_type).await,
        }
    }

    /// Asks again behind the caller's back, if not too many do so already.
    fn refresh(&self, name: &Name, record_type: RecordType, kept: Kept, now: Instant) {
        let Some(Ok(permit)) = self.0.refreshes.as_ref().map(|refreshes| Arc::clone(refreshes).try_acquire_owned())
        else {
            return;
        };
        // Until it is known, nobody else asks.
        self.0.cache.keep(name, record_type, Kept { expires: now + self.0.timeout, ..kept });
        let (nameserver, name) = (self.clone(), name.clone());
        tokio::spawn(async move {
            if let Err(reason) = nameserver.ask(&name, record_type).await {
                tracing::debug!(kind = "resolver", host = %name, "{nameserver}: {reason}");
            }
            drop(permit);
        });
    }

    async fn ask(&self, name: &Name, record_type: RecordType) -> Result<Arc<[IpAddr]>, String> {
        let inner = &*self.0;
        let question = message::question(name, record_type, inner.client_ip);
        let answer = timeout(inner.timeout, inner.exchange.ask(&question)).await;
        let Answer { addresses, ttl } =
            answer.unwrap_or_else(|_| Err(format!("no answer within {:?}", inner.timeout)))?;
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
        self.0.exchange.fmt(f)
    }
}
