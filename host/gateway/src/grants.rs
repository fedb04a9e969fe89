//! What a component is granted: from the config's terms to the bridge's.

use std::path::Path;

use drawspan_config::{Diagnostic, HostName, Secret, Store, WasmPlugin, overlaps};
use drawspan_plugin_client::wasm;
use drawspan_wit::Module;

/// Refuses a mount through which a component could change what is in the folder `cache`: that is native code.
pub(crate) fn keep_from(cache: &Path, plugin: &WasmPlugin) -> Result<(), Diagnostic> {
    match plugin.mounts.iter().find(|mount| mount.writable && overlaps(&mount.host, cache)) {
        None => Ok(()),
        Some(mount) => {
            let message = format!(
                "a component could change the compiled components in `{}` through this writable mount",
                cache.display()
            );
            let help = "mount another folder, or leave out `writable`";
            Err(Diagnostic::error(&mount.host.place, message).with_help(help))
        }
    }
}

pub(crate) fn mounts(plugin: &WasmPlugin) -> Vec<wasm::Mount> {
    let mount = |mount: &drawspan_config::Mount| wasm::Mount {
        host: mount.host.value.clone(),
        guest: mount.guest.clone(),
        writable: mount.writable,
    };
    plugin.mounts.iter().map(mount).collect()
}

pub(crate) fn connect(plugin: &WasmPlugin) -> Vec<wasm::Addresses> {
    plugin.connect.iter().map(|to| wasm::Addresses { net: to.net, ports: to.ports.clone() }).collect()
}

pub(crate) fn http_hosts(plugin: &WasmPlugin) -> Vec<wasm::HttpHost> {
    let host = |host: &HostName| match host {
        HostName::Name(name) => wasm::HostName::Name(name.clone()),
        HostName::Net(net) => wasm::HostName::Net(*net),
    };
    plugin.http_hosts.iter().map(|to| wasm::HttpHost { host: host(&to.host), ports: to.ports.clone() }).collect()
}

/// The stores of the plugin `name` of `module`.
pub(crate) fn stores(module: Module, name: &str, plugin: &WasmPlugin) -> Vec<(String, wasm::StoreSettings)> {
    let settings = |store: &str, settings: &Store| match settings {
        Store::Memory { size } => wasm::StoreSettings::Memory { size: usize::try_from(*size).unwrap_or(usize::MAX) },
        Store::Redis(redis) => wasm::StoreSettings::Redis(wasm::RedisSettings {
            host: redis.host.clone(),
            port: redis.port,
            db: redis.db,
            username: redis.username.clone(),
            password: redis.password.as_ref().map(Secret::expose).map(str::to_owned),
            prefix: redis.prefix.clone().unwrap_or_else(|| own_prefix(module, name, store)),
        }),
    };
    plugin.keyvalue.iter().map(|(name, store)| (name.clone(), settings(name, store))).collect()
}

/// A prefix that only this entry has, in every replica that runs this config.
fn own_prefix(module: Module, plugin: &str, store: &str) -> String {
    // Names may have colons in them too.
    let [plugin, store] = [plugin, store].map(|name| name.replace('%', "%25").replace(':', "%3A"));
    format!("drawspan:{}:{plugin}:{store}:", module.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_entries_have_the_same_prefix() {
        assert_eq!(own_prefix(Module::Auther, "auther-0", "default"), "drawspan:auther:auther-0:default:");
        for (one, other) in [(("a:b", "c"), ("a", "b:c")), (("a%3Ab", "c"), ("a:b", "c"))] {
            let prefix = |(plugin, store)| own_prefix(Module::Auther, plugin, store);
            let (one, other) = (prefix(one), prefix(other));
            assert!(!one.starts_with(&other) && !other.starts_with(&one), "{one} {other}");
        }
        assert_ne!(own_prefix(Module::Auther, "a", "b"), own_prefix(Module::Bypass, "a", "b"));
    }
}
