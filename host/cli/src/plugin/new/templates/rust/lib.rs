//! A plugin for drawspan: {{module}}.

use drawspan::plugin::types::PluginError;
use exports::drawspan::plugin::{{{interfaces}}};

wit_bindgen::generate!({ path: "wit", world: "guest", generate_all });

export!(Plugin);

struct Plugin;

impl lifecycle::Guest for Plugin {
    /// Called once, before any question. An error refuses the plugin.
    fn init(_request: lifecycle::InitRequest) -> Result<(), PluginError> {
        Ok(())
    }
}

impl {{interface_snake}}::Guest for Plugin {
{{functions}}}
