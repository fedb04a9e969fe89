//! A resolver that answers from a zone in its config.

mod zone;

use std::sync::OnceLock;

use exports::drawspan::plugin::{lifecycle, resolver};

use crate::{
    drawspan::plugin::types::{AddressFamily, PluginError},
    zone::Zone,
};

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    inline: "
        package drawspan:resolver-rust;

        world guest {
            include drawspan:plugin/resolver-plugin@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

/// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static ZONE: OnceLock<Zone> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let configured = || {
            let [zone] = common::settings(&request.config, ["zone"])?;
            Zone::parse(zone)
        };
        ZONE.set(configured().map_err(PluginError::InvalidRequest)?)
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl resolver::Guest for Guest {
    fn resolve(request: resolver::ResolveRequest) -> Result<Vec<String>, PluginError> {
        let addresses = zone()?.resolve(&request.host).into_iter();
        let of_use = addresses.filter(|address| match request.family {
            AddressFamily::Any => true,
            AddressFamily::Ipv4 => address.is_ipv4(),
            AddressFamily::Ipv6 => address.is_ipv6(),
        });
        Ok(of_use.map(|address| address.to_string()).collect())
    }
}

fn zone() -> Result<&'static Zone, PluginError> {
    ZONE.get()
        .ok_or_else(|| PluginError::Failed("init was not called".into()))
}
