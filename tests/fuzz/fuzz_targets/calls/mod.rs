//! Every call of the contract, picked by a byte.

pub use drawspan_wit::{
    admission::AdmissionRequest, authenticator::AuthenticationRequest, bypass::BypassRequest, hop::HopRequest,
    host_mapper::LookupRequest, ingress::GetRuleRequest, ingress::SetRuleRequest, observer::ObserveRequest,
    recorder::WriteRequest, resolver::ResolveRequest, rewriter::RewriteRequest, router::RouteRequest,
    service_discovery::DeregisterRequest, service_discovery::GetServicesRequest, service_discovery::RegisterRequest,
    service_discovery::RenewRequest, traffic_limiter::LimitRequest,
};

/// `run::<Call>(argument)` for the call that `pick` stands for, in the order of the WIT package; `D` is the first.
#[macro_export]
macro_rules! with_call {
    ($pick:expr, $run:ident($argument:expr)) => {
        match $pick % 17 {
            0 => $run::<$crate::calls::AuthenticationRequest>($argument),
            1 => $run::<$crate::calls::AdmissionRequest>($argument),
            2 => $run::<$crate::calls::BypassRequest>($argument),
            3 => $run::<$crate::calls::HopRequest>($argument),
            4 => $run::<$crate::calls::LimitRequest>($argument),
            5 => $run::<$crate::calls::LookupRequest>($argument),
            6 => $run::<$crate::calls::ResolveRequest>($argument),
            7 => $run::<$crate::calls::GetRuleRequest>($argument),
            8 => $run::<$crate::calls::SetRuleRequest>($argument),
            9 => $run::<$crate::calls::RouteRequest>($argument),
            10 => $run::<$crate::calls::RegisterRequest>($argument),
            11 => $run::<$crate::calls::RenewRequest>($argument),
            12 => $run::<$crate::calls::DeregisterRequest>($argument),
            13 => $run::<$crate::calls::GetServicesRequest>($argument),
            14 => $run::<$crate::calls::WriteRequest>($argument),
            15 => $run::<$crate::calls::ObserveRequest>($argument),
            _ => $run::<$crate::calls::RewriteRequest>($argument),
        }
    };
}
