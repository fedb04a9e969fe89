//! A host mapper with a hosts file in its config.

mod table;

use std::sync::OnceLock;

use exports::drawspan::plugin::{host_mapper, lifecycle};

use crate::{
    drawspan::plugin::types::{AddressFamily, PluginError},
    table::Table,
};

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    inline: "
        package drawspan:hosts-rust;

        world guest {
            include drawspan:plugin/host-mapper-plugin@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

/// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static TABLE: OnceLock<Table> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let configured = || {
            let [hosts] = common::settings(&request.config, ["hosts"])?;
            Table::parse(hosts)
        };
        TABLE
            .set(configured().map_err(PluginError::InvalidRequest)?)
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl host_mapper::Guest for Guest {
    fn lookup(request: host_mapper::LookupRequest) -> Result<Vec<String>, PluginError> {
        let addresses = table()?.lookup(&request.host).iter();
        let of_use = addresses.filter(|address| match request.family {
            AddressFamily::Any => true,
            AddressFamily::Ipv4 => address.is_ipv4(),
            AddressFamily::Ipv6 => address.is_ipv6(),
        });
        Ok(of_use.map(ToString::to_string).collect())
    }
}

fn table() -> Result<&'static Table, PluginError> {
    TABLE
        .get()
        .ok_or_else(|| PluginError::Failed("init was not called".into()))
}
