//! Answers every call of the contract by a script: the config key `<interface>.<function>`, e.g. `ingress.get-rule`, holds a
//! [`Scene`] as JSON, with the fields and cases of the records as Rust has them. Bytes are lists of numbers.

use std::{
    fmt::Debug,
    hint::spin_loop,
    sync::{Mutex, PoisonError},
};

use drawspan::plugin::types::PluginError;
use exports::drawspan::plugin::{
    admission, authenticator, bypass, hop, host_mapper, ingress, lifecycle, observer, recorder,
    resolver, rewriter, router, service_discovery, traffic_limiter,
};
use serde::{Deserialize, de::DeserializeOwned};

wit_bindgen::generate!({
    path: "../../../wit/0.1.0",
    world: "plugin",
    additional_derives: [PartialEq, serde::Deserialize],
});

export!(Guest);

/// One call: the question that is expected, any if it is missing, and what is done then.
#[derive(Deserialize)]
struct Scene<Q, A> {
    asked: Option<Q>,
    answer: Answer<A>,
}

#[derive(Deserialize)]
enum Answer<A> {
    Reply(A),
    /// The reply, and so many bytes of memory are never given back.
    Leak(A, usize),
    Error(PluginError),
    Trap,
    Spin,
}

static SCRIPT: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        *SCRIPT.lock().unwrap_or_else(PoisonError::into_inner) = request.config;
        Ok(())
    }
}

fn play<Q, A>(function: &str, request: &Q) -> Result<A, PluginError>
where
    Q: PartialEq + Debug + DeserializeOwned,
    A: DeserializeOwned,
{
    let function = function.replace('_', "-");
    let invalid = |what: &str| PluginError::InvalidRequest(format!("{function}: {what}"));
    let script = SCRIPT.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, scene) = script
        .iter()
        .find(|(key, _)| *key == function)
        .ok_or_else(|| invalid("not in the script"))?;
    let scene: Scene<Q, A> =
        serde_json::from_str(scene).map_err(|error| invalid(&error.to_string()))?;
    if scene.asked.is_some_and(|asked| asked != *request) {
        return Err(invalid(&format!("asked {request:?}")));
    }
    match scene.answer {
        Answer::Reply(reply) => Ok(reply),
        Answer::Leak(reply, bytes) => {
            // Written to, so that the pages are really there.
            vec![1_u8; bytes].leak();
            Ok(reply)
        }
        Answer::Error(error) => Err(error),
        Answer::Trap => trap(),
        Answer::Spin => loop {
            spin_loop();
        },
    }
}

/// Traps where there is no panic and no message.
fn trap() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort();
}

macro_rules! plays {
    ($($interface:ident: $($function:ident($request:ident) -> $reply:ty),+;)+) => {
        $(impl $interface::Guest for Guest {
            $(fn $function(request: $interface::$request) -> Result<$reply, PluginError> {
                play(concat!(stringify!($interface), ".", stringify!($function)), &request)
            })+
        })+
    };
}

plays! {
    authenticator: authenticate(AuthenticationRequest) -> Option<authenticator::Identity>;
    admission: admit(AdmissionRequest) -> admission::Verdict;
    bypass: contains(BypassRequest) -> bypass::Match;
    hop: select(HopRequest) -> Option<String>;
    traffic_limiter: limit(LimitRequest) -> traffic_limiter::Rates;
    host_mapper: lookup(LookupRequest) -> Vec<String>;
    resolver: resolve(ResolveRequest) -> Vec<String>;
    ingress: get_rule(GetRuleRequest) -> Option<String>, set_rule(SetRuleRequest) -> ();
    router: get_route(RouteRequest) -> Option<router::Route>;
    service_discovery:
        register(RegisterRequest) -> (),
        renew(RenewRequest) -> (),
        deregister(DeregisterRequest) -> (),
        get_services(GetServicesRequest) -> Vec<service_discovery::Service>;
    recorder: write(WriteRequest) -> ();
    observer: observe(ObserveRequest) -> ();
    rewriter: rewrite(RewriteRequest) -> Option<Vec<u8>>;
}
