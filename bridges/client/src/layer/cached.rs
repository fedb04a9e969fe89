//! [`Cached`]: a question that was answered lately isn't asked again.

mod flights;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drawspan_wit::{Call, CallError, ErrorKind, Plugin};
use hmac::{Hmac, Mac};
use moka::Expiry;
use sha2::Sha256;

use self::flights::Flights;
use super::deadline::missed;
use crate::metrics::CacheMetrics;

/// What an operator writes as `cache`.
#[derive(Clone, Copy, Debug)]
pub struct CacheSettings {
    /// How long a reply is kept.
    pub ttl: Duration,
    /// The same for one that says no, or that there is nothing; 0: it isn't kept.
    pub negative_ttl: Duration,
    /// The most replies kept, at least 1. They are counted, not weighed: a list of services is one reply.
    pub size: u64,
}

/// Keeps replies, if there is a [`Store`] and the call may be cached.
pub(crate) struct Cached<P> {
    inner: P,
    store: Option<Box<Store>>,
}

impl<P> Cached<P> {
    pub(crate) fn new(inner: P, store: Option<Store>) -> Self {
        Self { inner, store: store.map(Box::new) }
    }
}

impl<C: Call, P: Plugin<C>> Plugin<C> for Cached<P> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        match &self.store {
            // In a box, so that those without a store don't carry its future along.
            Some(store) if C::LEAVE.cache => Box::pin(store.answer(&self.inner, call)).await,
            _ => self.inner.call(call).await,
        }
    }
}

/// The replies of one plugin, whatever their types. Equal questions that are asked at the same time are asked once.
pub(crate) struct Store {
    replies: moka::sync::Cache<Key, Kept>,
    flights: Flights<Result<Reply, CallError>>,
    key: Hmac<Sha256>,
    settings: CacheSettings,
    patience: Duration,
    metrics: CacheMetrics,
}

/// A MAC over the question, under a key that exists only here: credentials aren't kept, and nobody can make two questions
/// collide.
type Key = [u8; 32];

type Reply = Arc<dyn Any + Send + Sync>;

#[derive(Clone)]
struct Kept {
    reply: Reply,
    ttl: Duration,
}

impl Store {
    /// `patience` is how long a call may wait for the answer to another's question.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(crate) fn new(
        settings: CacheSettings,
        patience: Duration,
        metrics: CacheMetrics,
    ) -> Result<Self, getrandom::Error> {
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        let replies = moka::sync::Cache::builder().max_capacity(settings.size).expire_after(PerReply).build();
        Ok(Self { replies, flights: Flights::new(), key: Hmac::new(&key.into()), settings, patience, metrics })
    }

    async fn answer<C: Call, P: Plugin<C>>(&self, inner: &P, call: Arc<C>) -> Result<C::Reply, CallError> {
        let key = self.key(&*call);
        let mut asked = false;
        let reply = match self.kept(&key) {
            Some(reply) => reply,
            None => {
                let ask = async {
                    // Another's answer may have come just before this one's turn.
                    if let Some(reply) = self.kept(&key) {
                        return Ok(reply);
                    }
                    asked = true;
                    self.metrics.misses.inc();
                    inner.call(call).await.map(|reply| self.keep::<C>(key, reply))
                };
                // Whoever asks has a deadline for it. One who waits has none otherwise, when the asker goes away and the
                // next begins.
                let answer = tokio::time::timeout(self.patience, self.flights.join(key, ask));
                answer.await.map_err(|_| missed(self.patience))??
            }
        };
        if !asked {
            self.metrics.hits.inc();
        }
        let reply = reply.downcast_ref::<C::Reply>().cloned();
        // The function is part of the key.
        reply.ok_or_else(|| CallError::new(ErrorKind::BadReply, "the reply to another question was kept"))
    }

    fn kept(&self, key: &Key) -> Option<Reply> {
        self.replies.get(key).map(|kept| kept.reply)
    }

    /// Keeps a reply if it may be kept.
    fn keep<C: Call>(&self, key: Key, reply: C::Reply) -> Reply {
        let ttl = if C::is_negative(&reply) { self.settings.negative_ttl } else { self.settings.ttl };
        let reply: Reply = Arc::new(reply);
        if !ttl.is_zero() {
            self.replies.insert(key, Kept { reply: Arc::clone(&reply), ttl });
        }
        reply
    }

    fn key<C: Call>(&self, call: &C) -> Key {
        let mut mac = KeyedHash(self.key.clone());
        C::FUNCTION.hash(&mut mac);
        call.cache_key(&mut mac);
        mac.0.finalize().into_bytes().into()
    }
}

/// Lets `Hash` feed a MAC.
struct KeyedHash(Hmac<Sha256>);

impl Hasher for KeyedHash {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of no use: the MAC is taken whole.
    fn finish(&self) -> u64 {
        0
    }
}

/// Each reply expires after its own time.
struct PerReply;

impl Expiry<Key, Kept> for PerReply {
    fn expire_after_create(&self, _: &Key, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }
}
