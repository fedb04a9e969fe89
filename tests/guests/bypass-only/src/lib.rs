//! A plugin without an authenticator: it matches every host that ends with `.blocked`.

use exports::drawspan::plugin::bypass::{BypassRequest, Guest, Match, PluginError};

wit_bindgen::generate!({ path: "../../../wit/0.1.0", world: "bypass-plugin" });

export!(BypassOnly);

struct BypassOnly;

impl Guest for BypassOnly {
    fn contains(request: BypassRequest) -> Result<Match, PluginError> {
        // The target is resolved already where `host` is given.
        let target = request.host.unwrap_or(request.target_address);
        let host = target
            .rsplit_once(':')
            .map_or(target.as_str(), |(host, _port)| host);
        Ok(if host.ends_with(".blocked") {
            Match::Matched
        } else {
            Match::Unmatched
        })
    }
}
