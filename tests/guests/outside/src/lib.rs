//! An authenticator that uses what must be granted, `wasi:http` and `wasi:keyvalue`: the user name says how, the match in
//! `authenticate` is the list. The password is the argument.
//!
//! What the host refuses becomes `failed` with its error.

mod http;
mod store;

use exports::drawspan::plugin::authenticator::{AuthenticationRequest, Guest, Identity, PluginError};

wit_bindgen::generate!({
    path: ["../../../wit/0.1.0", "../../../bridges/wasm/wit/keyvalue.wit"],
    inline: "
        package drawspan:outside;

        world guest {
            include drawspan:plugin/authenticator-plugin@0.1.0;
            include wasi:keyvalue/imports@0.2.0-draft;
        }
    ",
    generate_all,
});

export!(Outside);

struct Outside;

/// What came of it, or why nothing did.
type Outcome = Result<String, String>;

impl Guest for Outside {
    fn authenticate(request: AuthenticationRequest) -> Result<Option<Identity>, PluginError> {
        let argument = request.password.as_str();
        let outcome = match request.username.as_str() {
            "ok" => Ok("ok".into()),
            "get" => http::get(argument),
            "follow" => http::follow(argument),
            "connect" => http::connect(argument),
            "requests" => http::many(argument),
            "open" => store::open(argument).map(|_| "open".into()),
            "read" => store::get(argument),
            "expect" => store::expect(argument),
            "set" => store::set(argument),
            "delete" => store::delete(argument),
            "exists" => store::exists(argument),
            "increment" => store::increment(argument),
            "keys" => store::keys(),
            "get-many" => store::get_many(argument),
            "set-many" => store::set_many(argument),
            "delete-many" => store::delete_many(argument),
            "buckets" => store::hoard(),
            "large" => store::large(argument),
            other => {
                return Err(PluginError::InvalidRequest(format!("no such behaviour: {other}")));
            }
        };
        outcome.map(|client_id| Some(Identity { client_id })).map_err(PluginError::Failed)
    }
}
