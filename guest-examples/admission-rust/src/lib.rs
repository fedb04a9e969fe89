//! An admission that decides by the address a client connects from.

mod lists;

use std::sync::OnceLock;

use exports::drawspan::plugin::{admission, lifecycle};

use crate::{drawspan::plugin::types::PluginError, lists::Lists};

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    inline: "
        package drawspan:admission-rust;

        world guest {
            include drawspan:plugin/admission-plugin@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

/// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static LISTS: OnceLock<Lists> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let configured = || {
            let [allow, deny] = common::settings(&request.config, ["allow", "deny"])?;
            Lists::parse(allow, deny)
        };
        LISTS
            .set(configured().map_err(PluginError::InvalidRequest)?)
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl admission::Guest for Guest {
    fn admit(request: admission::AdmissionRequest) -> Result<admission::Verdict, PluginError> {
        let client = match request.network.as_str() {
            // A unix socket's client has no address and so is in no list.
            "unix" => None,
            _ => Some(common::ip(&request.client_address).ok_or_else(|| {
                PluginError::InvalidRequest("the client's address is not an IP address".into())
            })?),
        };
        Ok(match lists()?.admit(client) {
            true => admission::Verdict::Admitted,
            false => admission::Verdict::Denied,
        })
    }
}

fn lists() -> Result<&'static Lists, PluginError> {
    LISTS
        .get()
        .ok_or_else(|| PluginError::Failed("init was not called".into()))
}
