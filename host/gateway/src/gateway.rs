//! [`Gateway`]: everything that a config describes, ready to listen.

use std::sync::Arc;
use std::time::Duration;

use drawspan_config::{Config, Diagnostic, ListenAddr, ListenerKind, TcpKeepalive};
use drawspan_proxy::Router;
use drawspan_proxy::handler::PacketEntrypoint;
use drawspan_proxy::listener::{
    DnsListener, Listener, RemoteListener, TcpListener, TcpOptions, TunListener, UdpListener, UdpSettings, UnixListener,
};
use drawspan_wire::http1::HostPort;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chains::Chains;
use crate::memory::give_back;
use crate::metrics;
use crate::modules::Modules;
use crate::plugins::Plugins;
use crate::serve::{Serving, serve};
use crate::services::{Made, Objects};
use crate::sid::Sids;

/// Everything that a config describes, ready to listen.
pub struct Gateway {
    services: Vec<Ready>,
    tasks: TaskTracker,
}

struct Ready {
    made: Made,
    addr: ListenAddr,
    listener: drawspan_config::Listener,
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

impl Gateway {
    /// Makes ready what `config` describes: components are compiled, started and checked. Plugin servers aren't contacted. What
    /// it counts it adds to `registry`, and shows what is there. Must run in a tokio runtime.
    ///
    /// # Errors
    /// Everything that is wrong with the plugins, at their places in the config.
    pub async fn load(config: &Config, mut registry: Registry, plugins: &mut Plugins) -> Result<Self, Vec<Diagnostic>> {
        let metrics = metrics::are_wanted(config).then(|| metrics::register(&mut registry));
        let tasks = TaskTracker::new();
        let modules = Arc::new(Modules::load(config, plugins, &tasks, metrics.as_ref()).await?);
        let chains = Chains::load(config, &modules, plugins, metrics.as_ref()).await?;
        let registry = Arc::new(registry);
        let objects = Objects { modules, chains, tasks: tasks.clone(), registry, metrics };
        let mut errors = Vec::new();
        let mut services = Vec::with_capacity(config.services.len());
        for service in &config.services {
            match objects.service(service) {
                Ok(mut made) => {
                    let beside = std::mem::take(&mut made.entrypoints).into_iter().map(|(addr, service)| {
                        let made = Made::bare(service);
                        Ready { made, addr, listener: drawspan_config::Listener::tcp() }
                    });
                    services.push(Ready { made, addr: service.addr.value.clone(), listener: service.listener.clone() });
                    services.extend(beside);
                }
                Err(error) => errors.push(error),
            }
        }
        if let Some(settings) = &config.metrics {
            let made = objects.metrics_service(settings);
            services.push(Ready {
                made,
                addr: settings.addr.value.clone(),
                listener: drawspan_config::Listener::tcp(),
            });
        }
        match errors.is_empty() {
            true => Ok(Self { services, tasks }),
            false => Err(errors),
        }
    }

    /// Listens on every service's address.
    ///
    /// # Errors
    /// On the first address that can't be had; the others are given up.
    pub async fn bind(self) -> Result<Bound, BindError> {
        let sids = Arc::new(Sids::new());
        let mut services = Vec::with_capacity(self.services.len());
        let mut entrypoints = Vec::new();
        for Ready { made, addr, listener } in self.services {
            let Made { service, reporter, client_reporter, remote, entrypoints: _, dns, packets, interface } = made;
            let bound = match (dns, interface) {
                (Some(mode), _) => {
                    DnsListener::bind(&addr.to_string(), mode, self.tasks.clone()).await.map(Listener::Dns)
                }
                (None, Some(interface)) => TunListener::bind(&addr.to_string(), interface).await.map(Listener::Tun),
                (None, None) => bind(&addr, &listener, remote, &service.name).await,
            };
            let listener = bound.map_err(|source| BindError { service: Arc::clone(&service.name), source })?;
            let entrypoint = match packets {
                Some((addr, entrypoint)) => {
                    let bound = entrypoint.bind(&addr.to_string()).await;
                    let local = bound.map_err(|source| BindError { service: Arc::clone(&service.name), source })?;
                    tracing::info!(kind = "service", service = %service.name, "entrypoint: {local}");
                    Some(entrypoint)
                }
                None => None,
            };
            entrypoints.extend(entrypoint);
            let (service, sids) = (Arc::new(service), Arc::clone(&sids));
            services.push(Serving { listener, service, sids, reporter, client_reporter });
        }
        Ok(Bound { services, entrypoints, connections: self.tasks })
    }
}

/// Listens as a service's listener says; by way of `remote`, if it listens elsewhere, which is asked for later.
async fn bind(
    addr: &ListenAddr,
    of: &drawspan_config::Listener,
    remote: Option<Router>,
    service: &Arc<str>,
) -> Result<Listener, drawspan_proxy::listener::BindError> {
    let udp =
        if let ListenerKind::Udp(udp) | ListenerKind::Rudp(udp) = &of.kind { Some(udp_settings(udp)) } else { None };
    match (addr, remote, udp) {
        (ListenAddr::Inet { host, port }, Some(router), udp) => {
            let address = HostPort { host: host.clone(), port: *port };
            let bound = tokio::sync::Mutex::default();
            let remote = RemoteListener { router, service: Arc::clone(service), address, udp, bound };
            Ok(Listener::Remote(Box::new(remote)))
        }
        (ListenAddr::Unix(path), ..) => {
            let mode = if let ListenerKind::Unix(unix) = &of.kind { unix.mode } else { None };
            UnixListener::bind(path, mode).await.map(Listener::Unix)
        }
        (addr, None, Some(settings)) => UdpListener::bind(&addr.to_string(), settings).await.map(Listener::Udp),
        (addr, None, None) => {
            let TcpKeepalive { idle, interval, count } = of.keepalive;
            let options = TcpOptions { mptcp: of.mptcp, reuse_port: of.reuse_port };
            let bound = TcpListener::bind_as(&addr.to_string(), options).await;
            bound.map(|tcp| Listener::Tcp(tcp.with_keepalive(idle, interval, count)))
        }
    }
}

fn udp_settings(udp: &drawspan_config::UdpListener) -> UdpSettings {
    UdpSettings {
        keepalive: udp.keepalive,
        ttl: udp.ttl,
        read_queue: udp.read_queue as usize,
        backlog: udp.backlog as usize,
    }
}

/// A gateway that has its addresses.
pub struct Bound {
    services: Vec<Serving>,
    entrypoints: Vec<PacketEntrypoint>,
    connections: TaskTracker,
}

impl Bound {
    /// Serves until `shutdown` is done. Then it stops listening, closes idle connections, and gives the others `grace` to
    /// finish what they are doing. Dropping the future cuts everything off.
    pub async fn run(self, shutdown: impl Future<Output = ()>, grace: Duration) {
        let drain = CancellationToken::new();
        let connections = self.connections;
        let listeners = TaskTracker::new();
        for service in self.services {
            listeners.spawn(serve(service, drain.clone(), connections.clone()));
        }
        for entrypoint in self.entrypoints {
            let drain = drain.clone();
            listeners.spawn(async move { drain.run_until_cancelled(entrypoint.run()).await });
        }
        listeners.close();
        tokio::select! {
            () = shutdown => {}
            () = give_back(&connections) => {}
        }
        drain.cancel();
        listeners.wait().await;
        connections.close();
        tracing::info!(connections = connections.len(), "shutting down; connections have {grace:?} to finish");
        if tokio::time::timeout(grace, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections were cut off");
        }
    }
}
