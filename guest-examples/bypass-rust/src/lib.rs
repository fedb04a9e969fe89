//! A bypass that recognises targets by their domain.

mod domains;

use std::sync::OnceLock;

use exports::drawspan::plugin::{bypass, lifecycle};

use crate::{domains::Domains, drawspan::plugin::types::PluginError};

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    inline: "
        package drawspan:bypass-rust;

        world guest {
            include drawspan:plugin/bypass-plugin@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

/// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static DOMAINS: OnceLock<Domains> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let configured = || {
            let [domains] = common::settings(&request.config, ["domains"])?;
            Domains::parse(domains)
        };
        DOMAINS
            .set(configured().map_err(PluginError::InvalidRequest)?)
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl bypass::Guest for Guest {
    fn contains(request: bypass::BypassRequest) -> Result<bypass::Match, PluginError> {
        let domains = domains()?;
        // At hop and node level the target is an address already; `host` is the name that the client asked for.
        let mut names = request.host.iter().chain([&request.target_address]);
        Ok(match names.any(|name| domains.contain(name)) {
            true => bypass::Match::Matched,
            false => bypass::Match::Unmatched,
        })
    }
}

fn domains() -> Result<&'static Domains, PluginError> {
    DOMAINS
        .get()
        .ok_or_else(|| PluginError::Failed("init was not called".into()))
}
