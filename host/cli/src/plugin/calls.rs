//! From a module's and a function's name to the type of the call.

use anyhow::{Context as _, bail};
use drawspan_plugin_client::PluginCall;
use drawspan_wit::Module;
use drawspan_wit::admission::AdmissionRequest;
use drawspan_wit::authenticator::AuthenticationRequest;
use drawspan_wit::bypass::BypassRequest;
use drawspan_wit::hop::HopRequest;
use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::observer::ObserveRequest;
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::router::RouteRequest;
use drawspan_wit::service_discovery::{DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest};
use drawspan_wit::traffic_limiter::LimitRequest;

/// Work that is the same for every call, but for the call's type.
pub(crate) trait Visit {
    type Output;

    /// `sample` is a request of that type, as JSON.
    fn visit<C: PluginCall>(self, sample: &'static str) -> Self::Output;
}

/// The functions of a module; the first is the one that is meant when none is named.
pub(crate) const fn functions(module: Module) -> &'static [&'static str] {
    match module {
        Module::Auther => &["authenticate"],
        Module::Admission => &["admit"],
        Module::Bypass => &["contains"],
        Module::Hop => &["select"],
        Module::Limiter => &["limit"],
        Module::Hosts => &["lookup"],
        Module::Resolver => &["resolve"],
        Module::Ingress => &["get-rule", "set-rule"],
        Module::Router => &["get-route"],
        Module::Sd => &["get-services", "register", "renew", "deregister"],
        Module::Recorder => &["write"],
        Module::Observer => &["observe"],
        Module::Rewriter => &["rewrite"],
    }
}

/// A module by the name that users know it by.
pub(crate) fn module(name: &str) -> Result<Module, String> {
    let found = Module::ALL.into_iter().find(|module| module.as_str() == name);
    found.ok_or_else(|| format!("no such module; there are {}", Module::ALL.map(Module::as_str).join(", ")))
}

/// Visits the call `function` of `module`.
pub(crate) fn visit<V: Visit>(module: Module, function: Option<&str>, visitor: V) -> anyhow::Result<V::Output> {
    let function = function.or_else(|| functions(module).first().copied()).context("a module has a function")?;
    Ok(match (module, function) {
        (Module::Auther, "authenticate") => visitor.visit::<AuthenticationRequest>(
            r#"{"username":"alice","password":"wonder","client_address":"192.0.2.7:41806","service":"service-0"}"#,
        ),
        (Module::Admission, "admit") => visitor.visit::<AdmissionRequest>(
            r#"{"network":"tcp","client_address":"192.0.2.7:41806","service":"service-0"}"#,
        ),
        (Module::Bypass, "contains") => visitor.visit::<BypassRequest>(
            r#"{"network":"tcp","target_address":"example.org:443","client_id":"alice","service":"service-0"}"#,
        ),
        (Module::Hop, "select") => visitor.visit::<HopRequest>(
            r#"{"network":"tcp","target_address":"192.0.2.1:443","host":"example.org:443","client_id":"alice","source_address":"192.0.2.7:41806"}"#,
        ),
        (Module::Limiter, "limit") => visitor.visit::<LimitRequest>(
            r#"{"scope":"Client","service":"service-0","network":"tcp","target_address":"example.org:443","client_id":"alice","source_address":"192.0.2.7:41806"}"#,
        ),
        (Module::Hosts, "lookup") => {
            visitor.visit::<LookupRequest>(r#"{"family":"Any","host":"example.org","client_id":"alice"}"#)
        }
        (Module::Resolver, "resolve") => {
            visitor.visit::<ResolveRequest>(r#"{"family":"Any","host":"example.org","client_id":"alice"}"#)
        }
        (Module::Ingress, "get-rule") => {
            visitor.visit::<GetRuleRequest>(r#"{"host":"example.org","service":"service-0"}"#)
        }
        (Module::Ingress, "set-rule") => visitor.visit::<SetRuleRequest>(
            r#"{"host":"example.org","endpoint":"4d21094e-b74c-4916-86c1-d9fa36ea677b","service":"service-0"}"#,
        ),
        (Module::Router, "get-route") => visitor.visit::<RouteRequest>(r#"{"destination":"192.0.2.1"}"#),
        (Module::Sd, "register") => visitor.visit::<RegisterRequest>(
            r#"{"id":"c1","name":"t1","node":"n1","network":"tcp","address":"192.0.2.1:8080"}"#,
        ),
        (Module::Sd, "renew") => visitor.visit::<RenewRequest>(r#"{"id":"c1","name":"t1","node":"n1"}"#),
        (Module::Sd, "deregister") => visitor.visit::<DeregisterRequest>(r#"{"id":"c1","name":"t1","node":"n1"}"#),
        (Module::Sd, "get-services") => visitor.visit::<GetServicesRequest>(r#"{"name":"t1"}"#),
        (Module::Recorder, "write") => visitor.visit::<WriteRequest>(r#"{"data":"MTkyLjAuMi43","metadata":"{}"}"#),
        (Module::Observer, "observe") => visitor.visit::<ObserveRequest>(
            r#"{"events":[{"source":"Handler","service":"service-0","client_id":"alice","detail":{"Stats":{"total_connections":1,"current_connections":1,"input_bytes":10,"output_bytes":20,"total_errors":0}}}]}"#,
        ),
        (Module::Rewriter, "rewrite") => {
            visitor.visit::<RewriteRequest>(r#"{"data":"aGVsbG8=","metadata":"{\"direction\":\"response\"}"}"#)
        }
        _ => bail!("{} has no function `{function}`; it has {}", module.as_str(), functions(module).join(", ")),
    })
}
