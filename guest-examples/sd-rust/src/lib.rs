//! A registry of services that all instances, and so all gateways that ask this plugin, share.

mod entry;

use exports::drawspan::plugin::{lifecycle, service_discovery};

use crate::{
    drawspan::plugin::types::PluginError,
    wasi::keyvalue::{
        batch,
        store::{self, Bucket},
    },
};

wit_bindgen::generate!({
    path: ["../../wit/0.1.0", "../../bridges/wasm/wit/keyvalue.wit"],
    inline: "
        package drawspan:sd-rust;

        world guest {
            include drawspan:plugin/service-discovery-plugin@0.1.0;
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/batch@0.2.0-draft;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

struct Guest;

impl lifecycle::Guest for Guest {
    /// There is nothing to configure, which is checked, and so is the store.
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        if let Some((key, _)) = request.config.first() {
            let error = format!("unknown config key `{key}`; this plugin reads none");
            return Err(PluginError::InvalidRequest(error));
        }
        bucket().map(drop)
    }
}

impl service_discovery::Guest for Guest {
    fn register(request: service_discovery::RegisterRequest) -> Result<(), PluginError> {
        let key = entry::join([&request.name, &request.id, &request.node]).map_err(invalid)?;
        let value = entry::join([&request.network, &request.address]).map_err(invalid)?;
        bucket()?.set(&key, value.as_bytes()).map_err(unavailable)
    }

    /// Registrations don't expire here, so all that is to be done is to say if one was lost.
    fn renew(request: service_discovery::RenewRequest) -> Result<(), PluginError> {
        let key = entry::join([&request.name, &request.id, &request.node]).map_err(invalid)?;
        match bucket()?.exists(&key).map_err(unavailable)? {
            true => Ok(()),
            false => Err(PluginError::Failed("it is not registered".into())),
        }
    }

    /// The node is part of the key: of two nodes that registered the same service, each ends its own registration.
    fn deregister(request: service_discovery::DeregisterRequest) -> Result<(), PluginError> {
        let key = entry::join([&request.name, &request.id, &request.node]).map_err(invalid)?;
        bucket()?.delete(&key).map_err(unavailable)
    }

    fn get_services(
        request: service_discovery::GetServicesRequest,
    ) -> Result<Vec<service_discovery::Service>, PluginError> {
        let bucket = bucket()?;
        let mut services = Vec::new();
        let mut cursor = None;
        loop {
            let page = bucket.list_keys(cursor).map_err(unavailable)?;
            let mut keys = page.keys;
            keys.retain(|key| {
                entry::split::<3>(key).is_some_and(|[name, ..]| name == request.name)
            });
            // One that was deleted since is `none`.
            let found = batch::get_many(&bucket, &keys).map_err(unavailable)?;
            services.extend(
                found
                    .iter()
                    .flatten()
                    .filter_map(|(key, value)| service(key, value)),
            );
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(services);
            }
        }
    }
}

fn service(key: &str, value: &[u8]) -> Option<service_discovery::Service> {
    let [name, id, node] = entry::split(key)?;
    let [network, address] = entry::split(std::str::from_utf8(value).ok()?)?;
    Some(service_discovery::Service {
        id: id.to_owned(),
        name: name.to_owned(),
        node: node.to_owned(),
        network: network.to_owned(),
        address: address.to_owned(),
    })
}

fn bucket() -> Result<Bucket, PluginError> {
    store::open("default").map_err(unavailable)
}

fn invalid(error: String) -> PluginError {
    PluginError::InvalidRequest(error)
}

fn unavailable(error: store::Error) -> PluginError {
    PluginError::Unavailable(format!("the store `default`: {error:?}"))
}
