//! [`Route`]: one call as the server sees it.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use drawspan_bridge_grpc::GrpcCall;
use drawspan_bridge_http::HttpCall;
use drawspan_wit::{Module, Plugin, every_call};
use http::Method;
use prost::Message;
use tonic::Status;

use crate::{grpc, http as rest};

macro_rules! routes {
    (; $($call:ty),*) => {
        /// Answers every call of the contract. What it can't answer it needn't: see [`Server::new`](crate::Server::new).
        pub trait AnyPlugin: $(Plugin<$call> +)* 'static {}

        impl<P: $(Plugin<$call> +)* 'static> AnyPlugin for P {}

        /// Every call, in the order of the WIT package.
        pub(crate) fn all<P: AnyPlugin>() -> Vec<Route<P>> {
            vec![$(Route::of::<$call>()),*]
        }
    };
}

every_call!(routes);

/// One call as the server sees it: where it is asked, and how.
pub(crate) struct Route<P> {
    pub(crate) module: Module,
    /// Of gRPC.
    pub(crate) path: &'static str,
    /// Of HTTP.
    pub(crate) method: Method,
    pub(crate) grpc: Grpc<P>,
    pub(crate) http: Http<P>,
    /// What is answered when there is no answer, where GOST would make more of a status than it should.
    pub(crate) grpc_failure: Option<Vec<u8>>,
    pub(crate) http_failure: Option<Vec<u8>>,
}

/// From a request message to a reply message.
type Grpc<P> = for<'a> fn(&'a P, Bytes) -> Answer<'a, Result<Vec<u8>, Status>>;
/// From a body and parameters to a reply.
type Http<P> = for<'a> fn(&'a P, Bytes, Parameters) -> Answer<'a, rest::Reply>;

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
            grpc_failure: <C as GrpcCall>::failure_reply().map(|reply| reply.encode_to_vec()),
            http_failure: <C as HttpCall>::failure_reply(),
        }
    }
}
