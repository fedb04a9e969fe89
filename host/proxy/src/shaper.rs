//! [`Shaper`]: bandwidth limits for what a service, a connection or a client shares.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drawspan_modules::{Addr, ClientId, ConnInfo, LimitRules, Limited, Limiter, Rates};
use tokio::time::Instant;

use crate::net::Limits;

/// Limits that nobody uses are looked for when there are so many.
const SWEEP: usize = 1024;

/// Hands out the limits of a limiter, so that those who share one share its bucket. Cheap to clone.
#[derive(Clone)]
pub struct Shaper(Arc<Inner>);

struct Inner {
    source: LimitSource,
    /// How long an answer counts (`limiter.refreshInterval`).
    refresh: Duration,
    scope: ServiceScope,
    shared: Mutex<Shared>,
}

/// Who sets limits.
pub enum LimitSource {
    /// Somebody who is asked.
    Asked(Limiter),
    /// The config.
    Rules(LimitRules<Rates>),
}

/// What a service's limiter is asked for (`limiter.scope`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServiceScope {
    /// Each connection, and all of them together.
    #[default]
    Both,
    /// Only all of them together.
    Service,
    /// Only each connection.
    Connection,
}

/// What a bucket is shared by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Service,
    Ip(IpAddr),
    Client(String),
}

#[derive(Default)]
struct Shared {
    limits: HashMap<Key, (Arc<Limits>, Instant)>,
    sweep_at: usize,
}

impl Shaper {
    /// Asks `source` again after `refresh`; for a service's connections about `scope` only.
    #[must_use]
    pub fn new(source: LimitSource, refresh: Duration, scope: ServiceScope) -> Self {
        let shared = Mutex::new(Shared { sweep_at: SWEEP, ..Shared::default() });
        Self(Arc::new(Inner { source, refresh, scope, shared }))
    }

    /// The limits of a connection of a service; all apply.
    pub async fn of_connection(&self, info: &ConnInfo, network: &str) -> Vec<Arc<Limits>> {
        let Inner { source, scope, .. } = &*self.0;
        let mut limits = Vec::new();
        if *scope != ServiceScope::Service {
            match source {
                LimitSource::Asked(_) => {
                    let question =
                        Question { scope: Scope::Connection(info.client.clone()), ..question(info, network) };
                    limits.push(Arc::new(self.ask(question).await));
                }
                LimitSource::Rules(rules) => {
                    limits.extend(rules.each.map(|rates| Arc::new(fixed(rates))));
                    let ip = info.client.ip();
                    if let Some((ip, rates)) = ip.and_then(|ip| Some((ip, rules.of_ip(ip)?))) {
                        limits.push(self.shared(Key::Ip(ip), async { fixed(rates) }).await);
                    }
                }
            }
        }
        if *scope != ServiceScope::Connection {
            match source {
                LimitSource::Asked(_) => {
                    let asked = self.ask(question(info, network));
                    limits.push(self.shared(Key::Service, asked).await);
                }
                LimitSource::Rules(rules) => {
                    if let Some(rates) = rules.service {
                        limits.push(self.shared(Key::Service, async { fixed(rates) }).await);
                    }
                }
            }
        }
        limits
    }

    /// The limits of a handler's client. GOST: rules of the config have none.
    pub async fn of_client(
        &self,
        info: &ConnInfo,
        network: &str,
        client: &ClientId,
        target: &str,
    ) -> Option<Arc<Limits>> {
        let LimitSource::Asked(_) = &self.0.source else { return None };
        let scope = Scope::Client(client.clone(), target.to_owned(), info.client.clone());
        let asked = self.ask(Question { scope, ..question(info, network) });
        Some(self.shared(Key::Client(client.as_str().to_owned()), asked).await)
    }

    /// The bucket of `key`, made by `make` if there is none. Who comes first makes it; who comes meanwhile makes another,
    /// which is dropped.
    async fn shared(&self, key: Key, make: impl Future<Output = Limits>) -> Arc<Limits> {
        let find = || {
            let shared = self.0.shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.limits.get(&key).map(|(limits, _)| Arc::clone(limits))
        };
        if let Some(found) = find() {
            return found;
        }
        let made = Arc::new(make.await);
        let mut shared = self.0.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if shared.limits.len() >= shared.sweep_at {
            // Those in use stay, and those whose answer still counts.
            let refresh = self.0.refresh;
            shared.limits.retain(|_, (limits, since)| Arc::strong_count(limits) > 1 || since.elapsed() < refresh);
            shared.sweep_at = (shared.limits.len() * 2).max(SWEEP);
        }
        Arc::clone(&shared.limits.entry(key).or_insert((made, now)).0)
    }

    /// Limits that are asked for again when they are used later.
    async fn ask(&self, question: Question) -> Limits {
        let Rates { upload, download } = self.0.rates(&question).await;
        let inner = Arc::downgrade(&self.0);
        let question = Arc::new(question);
        let renew = move || -> Pin<Box<dyn Future<Output = Option<Rates>> + Send>> {
            let (inner, question) = (inner.upgrade(), Arc::clone(&question));
            Box::pin(async move { Some(inner?.rates(&question).await) })
        };
        Limits::renewed(upload, download, self.0.refresh, Box::new(renew))
    }
}

/// What a limiter is asked.
struct Question {
    service: Arc<str>,
    network: String,
    scope: Scope,
}

enum Scope {
    Service,
    Connection(Addr),
    Client(ClientId, String, Addr),
}

fn question(info: &ConnInfo, network: &str) -> Question {
    Question { service: Arc::clone(&info.service), network: network.to_owned(), scope: Scope::Service }
}

fn fixed(rates: Rates) -> Limits {
    Limits::new(rates.upload, rates.download)
}

impl Inner {
    async fn rates(&self, question: &Question) -> Rates {
        let LimitSource::Asked(limiter) = &self.source else { return Rates { upload: None, download: None } };
        let limited = match &question.scope {
            Scope::Service => Limited::Service,
            Scope::Connection(source) => Limited::Connection { source },
            Scope::Client(client, target, source) => Limited::Client { client, target, source },
        };
        limiter.rates(&question.service, &question.network, limited).await
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use drawspan_modules::IpTable;
    use drawspan_wit::traffic_limiter::{LimitRequest, LimitScope};
    use drawspan_wit::{CallError, Plugin, boxed};

    use super::*;
    use crate::net::{Activity, Flow, Meters, Traffic};

    const MINUTE: Duration = Duration::from_secs(60);

    fn info(client: &str) -> ConnInfo {
        let client: Addr = client.parse::<SocketAddr>().unwrap().into();
        ConnInfo { certificate: None, service: "s".into(), sid: "".into(), client: client.clone(), local: client }
    }

    fn rates(upload: u64) -> Rates {
        Rates { upload: Some(upload), download: None }
    }

    /// Answers with how often it was asked.
    #[derive(Clone, Default)]
    struct Counting {
        count: Arc<AtomicU64>,
        asked: Arc<Mutex<Vec<LimitRequest>>>,
    }

    impl Plugin<LimitRequest> for Counting {
        async fn call(&self, call: Arc<LimitRequest>) -> Result<Rates, CallError> {
            self.asked.lock().unwrap().push(LimitRequest::clone(&call));
            Ok(rates((self.count.fetch_add(1, Relaxed) + 1) * 1000))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_asked_for_once_and_again_when_it_is_used_later() {
        let plugin = Counting::default();
        let limiter = Limiter::new(boxed(plugin.clone()), None);
        let shaper = Shaper::new(LimitSource::Asked(limiter), MINUTE, ServiceScope::Both);
        let first = shaper.of_connection(&info("192.0.2.1:1"), "tcp").await;
        let second = shaper.of_connection(&info("192.0.2.1:2"), "tcp").await;
        let scopes: Vec<_> = plugin.asked.lock().unwrap().iter().map(|request| request.scope).collect();
        assert_eq!(scopes, [LimitScope::Connection, LimitScope::Service, LimitScope::Connection]);
        assert!(Arc::ptr_eq(&first[1], &second[1]) && !Arc::ptr_eq(&first[0], &second[0]));
        assert_eq!(first[1].upload.portion(), 100);

        let meters = Meters { limits: first, ..Meters::default() };
        let (traffic, activity) = (Traffic::default(), Activity::new());
        let (up, _) = Flow::both(&traffic, &meters, &activity);
        up.moved(1).await;
        assert_eq!(plugin.count.load(Relaxed), 3);
        tokio::time::advance(MINUTE).await;
        up.moved(1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(plugin.count.load(Relaxed), 5, "both keys of the connection");
        assert!(meters.limits[1].upload.portion() >= 200);
    }

    #[tokio::test]
    async fn rules_are_shared_as_they_say() {
        let mut ips = IpTable::default();
        ips.insert("10.0.0.0/8".parse().unwrap(), rates(3));
        let rules = LimitRules { service: Some(rates(1)), each: Some(rates(2)), ips };
        let shaper = Shaper::new(LimitSource::Rules(rules), MINUTE, ServiceScope::Both);
        let one = shaper.of_connection(&info("10.0.0.1:1"), "tcp").await;
        let same = shaper.of_connection(&info("10.0.0.1:2"), "tcp").await;
        let other = shaper.of_connection(&info("10.0.0.2:1"), "tcp").await;
        let outside = shaper.of_connection(&info("192.0.2.1:1"), "tcp").await;
        assert_eq!([one.len(), same.len(), other.len(), outside.len()], [3, 3, 3, 2]);
        assert!(!Arc::ptr_eq(&one[0], &same[0]) && Arc::ptr_eq(&one[1], &same[1]) && Arc::ptr_eq(&one[2], &outside[1]));
        assert!(!Arc::ptr_eq(&one[1], &other[1]));
        let anonymous = ClientId::from(String::new());
        assert!(shaper.of_client(&info("10.0.0.1:1"), "tcp", &anonymous, "a:1").await.is_none());
    }
}
