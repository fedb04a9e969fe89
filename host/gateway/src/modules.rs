//! [`Modules`]: the config's named modules, ready to be asked.

use std::collections::HashMap;
use std::sync::Arc;

use drawspan_config::{
    AdmissionKind, AdmissionPattern, At, AutherKind, BypassKind, BypassPattern, Config, Diagnostic, HostPattern,
    HostsKind, IngressKind, IngressRule, LimitKey, LimiterKind, ResolverKind, Route, RouterKind, Rules,
};
use drawspan_modules::{
    Admission, AdmissionRules, AllOf, Bypass, BypassGroup, BypassMember, BypassRules, ConnLimiter, Endpoint, HostTable,
    Hosts, Ingress, IngressRules, LimitRules, Limiter, Observer, RateLimiter, Rates, Resolver, Rewriter, RouteTable,
    Router, ServiceDiscovery, TargetPattern, UserTable,
};
use drawspan_proxy::router::{Chain, Late};
use drawspan_proxy::{LimitSource, Metrics};
use drawspan_wit::admission::AdmissionRequest;
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::bypass::BypassRequest;
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::traffic_limiter::LimitRequest;
use drawspan_wit::{BoxPlugin, Module, OnError, boxed};
use ipnet::IpNet;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::plugins::{Plugins, on_error};
use crate::{recorders, resolvers};

/// The config's named modules. Every name that the config refers to is there; what a hop's plugin refers to may not be.
#[derive(Default)]
pub(crate) struct Modules {
    pub(crate) authers: HashMap<String, BoxPlugin<AuthenticationRequest>>,
    admissions: HashMap<String, BoxPlugin<AdmissionRequest>>,
    bypasses: HashMap<String, (BoxPlugin<BypassRequest>, bool)>,
    pub(crate) hosts: HashMap<String, Hosts>,
    pub(crate) resolvers: HashMap<String, Resolver>,
    pub(crate) ingresses: HashMap<String, Ingress>,
    pub(crate) sds: HashMap<String, ServiceDiscovery>,
    routers: HashMap<String, Routes>,
    limiters: HashMap<String, Limits>,
    pub(crate) climiters: HashMap<String, ConnLimiter>,
    pub(crate) rlimiters: HashMap<String, RateLimiter>,
    pub(crate) observers: HashMap<String, Observer>,
    pub(crate) recorders: HashMap<String, BoxPlugin<WriteRequest>>,
    pub(crate) rewriters: HashMap<String, Rewriter>,
    /// Ways to nameservers, which lead through these chains.
    late: Vec<(String, Late)>,
}

struct Routes {
    router: Router,
    /// Those of the config.
    routes: Vec<Route>,
}

enum Limits {
    /// With its `onError`.
    Plugin(BoxPlugin<LimitRequest>, Option<OnError>),
    Rules(LimitRules<Rates>),
}

/// Loads the entries of one list: a block of the plugin, or something else.
macro_rules! each {
    ($errors:ident, $list:expr, $into:expr, |$entry:ident| $load:expr) => {
        for $entry in $list {
            match $load {
                Ok(loaded) => {
                    $into.insert($entry.name.value.clone(), loaded);
                }
                Err(error) => $errors.push(error),
            }
        }
    };
}

impl Modules {
    /// Makes them ready. What they do behind their callers' backs is done in `tasks`.
    ///
    /// # Errors
    /// All that can't be used, at their places in the config.
    pub(crate) async fn load(
        config: &Config,
        plugins: &mut Plugins,
        tasks: &TaskTracker,
        metrics: Option<&Metrics>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut modules = Self::default();
        let mut errors = Vec::new();
        each!(errors, &config.authers, modules.authers, |auther| match &auther.kind {
            AutherKind::Users(users) => {
                let users = users.iter().map(|user| (user.username.clone(), user.password.expose().to_owned()));
                Ok(boxed(UserTable::new(users)))
            }
            AutherKind::Plugin(plugin) => plugins.load(&auther.name, Module::Auther, plugin).await.map(boxed),
        });
        each!(errors, &config.admissions, modules.admissions, |admission| match &admission.kind {
            AdmissionKind::Rules(rules) => Ok(boxed(admission_rules(rules).await)),
            AdmissionKind::Plugin(plugin) => plugins.load(&admission.name, Module::Admission, plugin).await.map(boxed),
        });
        each!(errors, &config.bypasses, modules.bypasses, |bypass| match &bypass.kind {
            BypassKind::Rules(rules) => bypass_rules(rules).map(|found| (boxed(found), rules.whitelist)),
            BypassKind::Plugin(plugin) => {
                plugins.load(&bypass.name, Module::Bypass, plugin).await.map(|client| (boxed(client), false))
            }
        });
        each!(errors, &config.hosts, modules.hosts, |hosts| match &hosts.kind {
            HostsKind::Mappings(mappings) => {
                let names = mappings.iter().flat_map(|mapping| mapping.names.iter().map(|name| (name, mapping.ip)));
                let table = names.map(|(name, ip)| (dotted(name), ip));
                Ok(Hosts::new(boxed(HostTable::new(table))))
            }
            HostsKind::Plugin(plugin) =>
                plugins.load(&hosts.name, Module::Hosts, plugin).await.map(|client| Hosts::new(boxed(client))),
        });
        each!(errors, &config.resolvers, modules.resolvers, |resolver| match &resolver.kind {
            ResolverKind::Nameservers(nameservers) =>
                resolvers::load(nameservers, &mut modules.late).map(|found| Resolver::new(boxed(found))),
            ResolverKind::Plugin(plugin) => {
                let loaded = plugins.load(&resolver.name, Module::Resolver, plugin).await;
                loaded.map(|client| Resolver::new(boxed(client)))
            }
        });
        each!(errors, &config.ingresses, modules.ingresses, |ingress| match &ingress.kind {
            IngressKind::Rules(rules) => Ok(ingress_rules(rules)),
            IngressKind::Plugin(plugin) => {
                let loaded = plugins.load(&ingress.name, Module::Ingress, plugin).await;
                loaded.map(|client| Ingress::new(Arc::new(client)))
            }
        });
        each!(errors, &config.sds, modules.sds, |sd| plugins
            .load(&sd.name, Module::Sd, &sd.plugin)
            .await
            .map(|client| ServiceDiscovery::new(Arc::new(client))));
        each!(errors, &config.routers, modules.routers, |router| match &router.kind {
            RouterKind::Routes(routes) => {
                let table = routes.iter().map(|route| (route.net, route.gateway.clone()));
                let router = Router::new(boxed(RouteTable::new(table)));
                Ok(Routes { router, routes: routes.clone() })
            }
            RouterKind::Plugin(plugin) => {
                let loaded = plugins.load(&router.name, Module::Router, plugin).await;
                loaded.map(|client| Routes { router: Router::new(boxed(client)), routes: Vec::new() })
            }
        });
        each!(errors, &config.limiters, modules.limiters, |limiter| match &limiter.kind {
            LimiterKind::Limits(limits) => {
                let rates =
                    |limit: &drawspan_config::TrafficLimit| Rates { upload: limit.input, download: limit.output };
                Ok(Limits::Rules(limit_rules(limits.iter().map(|limit| (&limit.key, rates(limit))))))
            }
            LimiterKind::Plugin(plugin) => {
                let loaded = plugins.load_bare(&limiter.name, Module::Limiter, plugin).await;
                loaded.map(|client| Limits::Plugin(boxed(client), on_error(plugin)))
            }
        });
        for limiter in &config.climiters {
            let limits = limiter.limits.iter().map(|limit| (&limit.key, u64::from(limit.connections)));
            modules.climiters.insert(limiter.name.value.clone(), ConnLimiter::new(limit_rules(limits)));
        }
        for limiter in &config.rlimiters {
            let limits = limiter.limits.iter().map(|limit| (&limit.key, limit.per_second));
            modules.rlimiters.insert(limiter.name.value.clone(), RateLimiter::new(limit_rules(limits)));
        }
        each!(errors, &config.observers, modules.observers, |observer| plugins
            .load(&observer.name, Module::Observer, &observer.plugin)
            .await
            .map(|client| Observer::new(boxed(client))));
        each!(errors, &config.recorders, modules.recorders, |recorder| {
            recorders::load(recorder, plugins, tasks, metrics).await
        });
        each!(errors, &config.rewriters, modules.rewriters, |rewriter| plugins
            .load(&rewriter.name, Module::Rewriter, &rewriter.plugin)
            .await
            .map(|client| Rewriter::new(boxed(client))));
        if errors.is_empty() { Ok(modules) } else { Err(errors) }
    }

    /// Leads the ways to nameservers through their chains. The config was checked: they are there, and in no circle.
    pub(crate) fn tie(&self, chains: &HashMap<String, Arc<Chain>>) {
        for (name, late) in &self.late {
            if let Some(chain) = chains.get(name) {
                late.tie(Arc::clone(chain));
            }
        }
    }

    /// All of those admissions, `None` if there is none.
    pub(crate) fn admission(&self, names: &[At<String>]) -> Option<Admission> {
        let mut members: Vec<_> = named(names, &self.admissions).cloned().collect();
        match members.len() {
            0 => None,
            1 => Some(Admission::new(members.remove(0))),
            _ => Some(Admission::new(boxed(AllOf::new(members)))),
        }
    }

    /// Those bypasses together, `None` if there is none.
    pub(crate) fn bypass(&self, names: &[At<String>]) -> Option<Bypass> {
        let mut members: Vec<_> = named(names, &self.bypasses)
            .map(|(plugin, whitelist)| BypassMember { plugin: Arc::clone(plugin), whitelist: *whitelist })
            .collect();
        match members.len() {
            0 => None,
            1 => Some(Bypass::new(members.remove(0).plugin)),
            _ => Some(Bypass::new(boxed(BypassGroup::new(members)))),
        }
    }

    /// The router of that name.
    pub(crate) fn router(&self, name: &str) -> Option<&Router> {
        self.routers.get(name).map(|routes| &routes.router)
    }

    /// The routers whose names are ids.
    pub(crate) fn routers_with_ids(&self) -> impl Iterator<Item = (Uuid, Router)> {
        self.routers.iter().filter_map(|(name, routes)| Some((name.parse().ok()?, routes.router.clone())))
    }

    /// The routes in the config of the router of that name; a plugin has none there.
    pub(crate) fn routes(&self, name: &str) -> &[Route] {
        self.routers.get(name).map_or(&[], |routes| &routes.routes)
    }

    /// The limiter of that name.
    pub(crate) fn limits(&self, name: &str) -> Option<LimitSource> {
        Some(match self.limiters.get(name)? {
            Limits::Plugin(plugin, on_error) => LimitSource::Asked(Limiter::new(Arc::clone(plugin), *on_error)),
            Limits::Rules(rules) => LimitSource::Rules(rules.clone()),
        })
    }

    /// The first of `names` that isn't there: only a hop's plugin can come with such.
    pub(crate) fn missing<'n>(&self, node: &'n drawspan_config::Node) -> Option<&'n str> {
        let mut names = node.bypasses.iter().filter(|name| !self.bypasses.contains_key(&name.value));
        let resolver = node.resolver.iter().filter(|name| !self.resolvers.contains_key(&name.value));
        let hosts = node.hosts.iter().filter(|name| !self.hosts.contains_key(&name.value));
        let http = node.http.iter();
        let bodies = http.flat_map(|http| http.rewrite_request_body.iter().chain(&http.rewrite_response_body));
        let rewriters = bodies.filter_map(|body| match &body.rewrite {
            drawspan_config::Rewrite::Rewriter(name) => Some(name),
            drawspan_config::Rewrite::Replace(_) => None,
        });
        let rewriters = rewriters.filter(|name| !self.rewriters.contains_key(&name.value));
        names.next().or(resolver.chain(hosts).chain(rewriters).next()).map(|name| name.value.as_str())
    }
}

fn named<'a, T>(names: &'a [At<String>], map: &'a HashMap<String, T>) -> impl Iterator<Item = &'a T> {
    // The config was checked: every name is there.
    names.iter().filter_map(|name| map.get(&name.value))
}

/// An ingress that stands in the config.
pub(crate) fn ingress_rules(rules: &[IngressRule]) -> Ingress {
    let endpoint = |rule: &IngressRule| Endpoint { tunnel: rule.endpoint.tunnel, private: rule.endpoint.private };
    Ingress::new(Arc::new(IngressRules::new(rules.iter().map(|rule| (dotted(&rule.hostname), endpoint(rule))))))
}

/// With a dot in front if all names below are meant too.
fn dotted(name: &HostPattern) -> String {
    format!("{}{}", if name.subdomains { "." } else { "" }, name.name)
}

/// What the config's language has and the gateway hasn't.
pub(crate) fn unimplemented<T>(at: &At<T>, what: &str) -> Diagnostic {
    Diagnostic::error(&at.place, format!("{what} is not implemented"))
}

/// GOST: names that don't resolve are left out silently.
async fn admission_rules(rules: &Rules<AdmissionPattern>) -> AdmissionRules {
    let mut nets = Vec::with_capacity(rules.patterns.len());
    for pattern in &rules.patterns {
        match &pattern.value {
            AdmissionPattern::Net(net) => nets.push(*net),
            AdmissionPattern::Host(name) => match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(found) => nets.extend(found.take(1).map(|address| IpNet::from(address.ip()))),
                Err(error) => {
                    tracing::warn!(kind = "admission", "`{name}` can't be resolved, and is left out: {error}")
                }
            },
        }
    }
    AdmissionRules::new(nets, rules.whitelist)
}

fn bypass_rules(rules: &Rules<BypassPattern>) -> Result<BypassRules, Diagnostic> {
    let patterns = rules.patterns.iter().map(|pattern| match pattern.value.clone() {
        BypassPattern::Net(net) => TargetPattern::Net(net),
        BypassPattern::Range(from, to) => TargetPattern::Range(from, to),
        BypassPattern::Glob { pattern, ports } => TargetPattern::Glob(pattern, ports),
        BypassPattern::Host { name, subdomains: true, ports } => TargetPattern::Domain(name, ports),
        BypassPattern::Host { name, subdomains: false, ports } => TargetPattern::Name(name, ports),
    });
    BypassRules::new(patterns, rules.whitelist).map_err(|(index, error)| {
        Diagnostic::error(&rules.patterns[index].place, format!("can't be used as a pattern: {}", error.kind()))
    })
}

fn limit_rules<'l, V>(limits: impl Iterator<Item = (&'l LimitKey, V)>) -> LimitRules<V> {
    let mut rules = LimitRules::default();
    for (key, value) in limits {
        match key {
            LimitKey::All => rules.service = Some(value),
            LimitKey::Each => rules.each = Some(value),
            LimitKey::Net(net) => rules.ips.insert(*net, value),
        }
    }
    rules
}
