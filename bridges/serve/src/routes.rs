//! [`Route`]: one call as the server sees it.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use drawspan_bridge_grpc::GrpcCall;
use drawspan_bridge_http::HttpCall;
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
use drawspan_wit::{Module, Plugin};
use http::{Method, StatusCode};
use tonic::Status;

use crate::{grpc, http as rest};

/// Answers every call of the contract. What it can't answer it needn't: see [`Server::new`](crate::Server::new).
pub trait AnyPlugin:
    Plugin<AuthenticationRequest>
    + Plugin<AdmissionRequest>
    + Plugin<BypassRequest>
    + Plugin<HopRequest>
    + Plugin<LimitRequest>
    + Plugin<LookupRequest>
    + Plugin<ResolveRequest>
    + Plugin<GetRuleRequest>
    + Plugin<SetRuleRequest>
    + Plugin<RouteRequest>
    + Plugin<RegisterRequest>
    + Plugin<RenewRequest>
    + Plugin<DeregisterRequest>
    + Plugin<GetServicesRequest>
    + Plugin<WriteRequest>
    + Plugin<ObserveRequest>
    + Plugin<RewriteRequest>
    + 'static
{
}

impl<P> AnyPlugin for P where
    P: Plugin<AuthenticationRequest>
        + Plugin<AdmissionRequest>
        + Plugin<BypassRequest>
        + Plugin<HopRequest>
        + Plugin<LimitRequest>
        + Plugin<LookupRequest>
        + Plugin<ResolveRequest>
        + Plugin<GetRuleRequest>
        + Plugin<SetRuleRequest>
        + Plugin<RouteRequest>
        + Plugin<RegisterRequest>
        + Plugin<RenewRequest>
        + Plugin<DeregisterRequest>
        + Plugin<GetServicesRequest>
        + Plugin<WriteRequest>
        + Plugin<ObserveRequest>
        + Plugin<RewriteRequest>
        + 'static
{
}

/// The calls of the contract.
pub(crate) const COUNT: usize = 17;

/// Every call, in the order of the WIT package.
pub(crate) fn all<P: AnyPlugin>() -> [Route<P>; COUNT] {
    [
        Route::of::<AuthenticationRequest>(),
        Route::of::<AdmissionRequest>(),
        Route::of::<BypassRequest>(),
        Route::of::<HopRequest>(),
        Route::of::<LimitRequest>(),
        Route::of::<LookupRequest>(),
        Route::of::<ResolveRequest>(),
        Route::of::<GetRuleRequest>(),
        Route::of::<SetRuleRequest>(),
        Route::of::<RouteRequest>(),
        Route::of::<RegisterRequest>(),
        Route::of::<RenewRequest>(),
        Route::of::<DeregisterRequest>(),
        Route::of::<GetServicesRequest>(),
        Route::of::<WriteRequest>(),
        Route::of::<ObserveRequest>(),
        Route::of::<RewriteRequest>(),
    ]
}

/// One call as the server sees it: where it is asked, and how.
pub(crate) struct Route<P> {
    pub(crate) module: Module,
    /// Of gRPC.
    pub(crate) path: &'static str,
    /// Of HTTP.
    pub(crate) method: Method,
    pub(crate) grpc: Grpc<P>,
    pub(crate) http: Http<P>,
}

/// From a request message to a reply message.
type Grpc<P> = for<'a> fn(&'a P, Bytes) -> Answer<'a, Result<Vec<u8>, Status>>;
/// From a body and parameters to a status and a body.
type Http<P> = for<'a> fn(&'a P, Bytes, Parameters) -> Answer<'a, (StatusCode, Vec<u8>)>;

pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub(crate) type Parameters = Vec<(String, String)>;

impl<P> Route<P> {
    fn of<C: GrpcCall + HttpCall>() -> Self
    where
        P: Plugin<C>,
    {
        Self {
            module: C::MODULE,
            path: C::PATH,
            method: C::METHOD,
            grpc: |plugin, message| Box::pin(grpc::call::<C, P>(plugin, message)),
            http: |plugin, body, parameters| Box::pin(rest::call::<C, P>(plugin, body, parameters)),
        }
    }
}
