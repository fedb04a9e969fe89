//! A hop that spreads clients over nodes by weight.

mod nodes;

use std::sync::OnceLock;

use exports::drawspan::plugin::{hop, lifecycle};

use crate::{
    drawspan::plugin::types::PluginError,
    nodes::{By, Nodes},
};

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    inline: "
        package drawspan:hop-rust;

        world guest {
            include drawspan:plugin/hop-plugin@0.1.0;
            import wasi:random/random@0.2.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }

        package wasi:random@0.2.0 {
            // Whole: where the standard library imports it too, the linker merges the two.
            interface random {
                get-random-bytes: func(len: u64) -> list<u8>;
                get-random-u64: func() -> u64;
            }
        }
    ",
    generate_all,
});

export!(Guest);

/// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static NODES: OnceLock<Nodes> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let configured = || {
            let [nodes, by, connector, dialer] =
                common::settings(&request.config, ["nodes", "by", "connector", "dialer"])?;
            Nodes::parse(nodes, by, connector, dialer)
        };
        NODES
            .set(configured().map_err(PluginError::InvalidRequest)?)
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl hop::Guest for Guest {
    fn select(request: hop::HopRequest) -> Result<Option<hop::NodeConfig>, PluginError> {
        let nodes = nodes()?;
        let source = || request.source_address.as_deref().and_then(common::ip);
        let key = match nodes.by() {
            By::Random => None,
            By::Source => source().map(|ip| ip.to_string()),
            By::Client => request
                .client_id
                .clone()
                .or_else(|| source().map(|ip| ip.to_string())),
        };
        let number = match key {
            Some(key) => nodes::hash(&key),
            None => wasi::random::random::get_random_u64(),
        };
        Ok(Some(nodes.pick(number).to_owned()))
    }
}

fn nodes() -> Result<&'static Nodes, PluginError> {
    NODES
        .get()
        .ok_or_else(|| PluginError::Failed("init was not called".into()))
}
