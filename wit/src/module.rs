//! [`Module`]: the thirteen kinds of plugin.

/// A kind of plugin, under GOST's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Module {
    /// Who may use a service.
    Auther,
    /// Which source addresses may connect.
    Admission,
    /// Which targets are refused or avoided.
    Bypass,
    /// Which node carries a request.
    Hop,
    /// Bandwidth limits.
    Limiter,
    /// A hosts table.
    Hosts,
    /// Name resolution.
    Resolver,
    /// Which tunnel serves a host.
    Ingress,
    /// IP routes.
    Router,
    /// Service discovery.
    Sd,
    /// Records.
    Recorder,
    /// Counters and states.
    Observer,
    /// HTTP bodies.
    Rewriter,
}

impl Module {
    /// Every module, in the order of the WIT package.
    pub const ALL: [Self; 13] = [
        Self::Auther,
        Self::Admission,
        Self::Bypass,
        Self::Hop,
        Self::Limiter,
        Self::Hosts,
        Self::Resolver,
        Self::Ingress,
        Self::Router,
        Self::Sd,
        Self::Recorder,
        Self::Observer,
        Self::Rewriter,
    ];

    /// The name that users see, as in GOST's logs: `auther`, `sd`, …
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auther => "auther",
            Self::Admission => "admission",
            Self::Bypass => "bypass",
            Self::Hop => "hop",
            Self::Limiter => "limiter",
            Self::Hosts => "hosts",
            Self::Resolver => "resolver",
            Self::Ingress => "ingress",
            Self::Router => "router",
            Self::Sd => "sd",
            Self::Recorder => "recorder",
            Self::Observer => "observer",
            Self::Rewriter => "rewriter",
        }
    }

    /// Whether it lets clients in: then nothing that a client may be able to bring about may count for a yes.
    #[must_use]
    pub const fn lets_in(self) -> bool {
        matches!(self, Self::Auther | Self::Admission)
    }

    /// The WIT interface that a component exports for it, without package and version: `authenticator`, …
    #[must_use]
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Auther => "authenticator",
            Self::Limiter => "traffic-limiter",
            Self::Hosts => "host-mapper",
            Self::Sd => "service-discovery",
            Self::Admission
            | Self::Bypass
            | Self::Hop
            | Self::Resolver
            | Self::Ingress
            | Self::Router
            | Self::Recorder
            | Self::Observer
            | Self::Rewriter => self.as_str(),
        }
    }
}
