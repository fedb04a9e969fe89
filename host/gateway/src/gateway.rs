//! [`Gateway`]: everything that a config describes, ready to listen.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drawspan_config::{AutherKind, Config, Diagnostic, Handler, HandlerKind, ProbeResist, Service};
use drawspan_modules::{AnyOf, Authenticator, UserTable};
use drawspan_plugin_client::Metrics;
use drawspan_proxy::Router;
use drawspan_proxy::handler::{Handler as ProxyHandler, HandlerParts, http};
use drawspan_proxy::listener::TcpListener;
use drawspan_wire::http1::HostPort;
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::{BoxPlugin, Module, boxed};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::plugins::Plugins;
use crate::serve::{Serving, serve};
use crate::sid::Sids;

/// Everything that a config describes, ready to listen.
pub struct Gateway {
    services: Vec<Ready>,
}

struct Ready {
    name: Arc<str>,
    addr: String,
    handler: ProxyHandler,
}

/// An address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("service `{service}`: {source}")]
pub struct BindError {
    /// The service's name.
    pub service: Arc<str>,
    /// Why.
    pub source: drawspan_proxy::listener::BindError,
}

type Authers = HashMap<String, BoxPlugin<AuthenticationRequest>>;

impl Gateway {
    /// Makes ready what `config` describes: components are compiled (and kept in `cache`, if given), started and checked.
    /// Plugin servers aren't contacted. Must run in a tokio runtime.
    ///
    /// # Errors
    /// Everything that is wrong with the plugins, at their places in the config.
    pub async fn load(config: &Config, cache: Option<PathBuf>) -> Result<Self, Vec<Diagnostic>> {
        let mut plugins = Plugins::new(Metrics::register(&mut Registry::default()), cache);
        let mut errors = Vec::new();
        let mut authers = Authers::new();
        for auther in &config.authers {
            let plugin = match &auther.kind {
                AutherKind::Users(users) => {
                    let users = users.iter().map(|user| (user.username.clone(), user.password.expose().to_owned()));
                    boxed(UserTable::new(users))
                }
                AutherKind::Plugin(plugin) => match plugins.load(&auther.name, Module::Auther, plugin).await {
                    Ok(client) => boxed(client),
                    Err(error) => {
                        errors.push(error);
                        continue;
                    }
                },
            };
            authers.insert(auther.name.value.clone(), plugin);
        }
        if errors.is_empty() {
            let services = config.services.iter().filter_map(|s| ready(s, &authers).map_err(|e| errors.push(e)).ok());
            let services = services.collect();
            if errors.is_empty() {
                return Ok(Self { services });
            }
        }
        Err(errors)
    }

    /// Listens on every service's address.
    ///
    /// # Errors
    /// On the first address that can't be had; the others are given up.
    pub async fn bind(self) -> Result<Bound, BindError> {
        let sids = Arc::new(Sids::new());
        let mut services = Vec::with_capacity(self.services.len());
        for Ready { name, addr, handler } in self.services {
            let listener =
                TcpListener::bind(&addr).await.map_err(|source| BindError { service: Arc::clone(&name), source })?;
            services.push(Serving { name, listener, handler: Arc::new(handler), sids: Arc::clone(&sids) });
        }
        Ok(Bound { services })
    }
}

/// A gateway that has its addresses.
pub struct Bound {
    services: Vec<Serving>,
}

impl Bound {
    /// Serves until `shutdown` is done. Then it stops listening, closes idle connections, and gives the others `grace` to
    /// finish what they are doing. Dropping the future cuts everything off.
    pub async fn run(self, shutdown: impl Future<Output = ()>, grace: Duration) {
        let drain = CancellationToken::new();
        let connections = TaskTracker::new();
        let listeners = TaskTracker::new();
        for service in self.services {
            listeners.spawn(serve(service, drain.clone(), connections.clone()));
        }
        listeners.close();
        shutdown.await;
        drain.cancel();
        listeners.wait().await;
        connections.close();
        tracing::info!(connections = connections.len(), "shutting down; connections have {grace:?} to finish");
        if tokio::time::timeout(grace, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections were cut off");
        }
    }
}

fn ready(service: &Service, authers: &Authers) -> Result<Ready, Diagnostic> {
    let Handler { kind: HandlerKind::Http(handler), retries, .. } = &service.handler else {
        return Err(Diagnostic::error(&service.name.place, "only http handlers run so far"));
    };
    let parts = HandlerParts {
        authenticator: authenticator(&service.handler, authers),
        bypass: None,
        router: Router { dial_timeout: service.dial_timeout, retries: *retries, ..Router::default() },
    };
    let settings = http::Settings {
        headers: handler.header.clone(),
        probe_resist: match &handler.probe_resist {
            Some(resist) => Some(probe_resist(resist).map_err(|reason| Diagnostic::error(&resist.place, reason))?),
            None => None,
        },
        knock: handler.knock.clone(),
        realm: handler.auth_basic_realm.clone(),
        agent: handler.proxy_agent.clone(),
        read_timeout: service.handler.read_timeout,
        idle_timeout: service.handler.idle_timeout,
    };
    Ok(Ready {
        name: service.name.value.as_str().into(),
        addr: service.addr.to_string(),
        handler: ProxyHandler::Http(http::Http::new(parts, settings)),
    })
}

/// Named authers in order, else the inline user, else nobody is asked.
fn authenticator(handler: &Handler, authers: &Authers) -> Option<Authenticator> {
    // The config was checked: every name is there.
    let mut named: Vec<_> = handler.authers.iter().filter_map(|name| authers.get(&name.value).cloned()).collect();
    let plugin = match (named.len(), &handler.auth) {
        (0, None) => return None,
        (0, Some(auth)) => boxed(UserTable::new([(auth.username.clone(), auth.password.expose().to_owned())])),
        (1, _) => named.remove(0),
        _ => boxed(AnyOf::new(named)),
    };
    Some(Authenticator::new(plugin))
}

fn probe_resist(resist: &ProbeResist) -> Result<http::ProbeResist, String> {
    Ok(match resist {
        ProbeResist::Code(code) => http::ProbeResist::Code(*code),
        ProbeResist::Web(url) => http::ProbeResist::Web(url.expose().as_str().parse().map_err(|e| format!("{e}"))?),
        ProbeResist::Host(host) => http::ProbeResist::Host(HostPort::parse(host, 80).map_err(|e| e.to_string())?),
        ProbeResist::File(path) => http::ProbeResist::File(path.clone()),
    })
}
