//! An ingress whose table grows by `set-rule`.

mod rules;

use std::sync::OnceLock;

use exports::drawspan::plugin::{ingress, lifecycle};

use crate::{
    drawspan::plugin::types::PluginError,
    rules::Rules,
    wasi::keyvalue::store::{self, Bucket},
};

wit_bindgen::generate!({
    path: ["../../wit/0.1.0", "../../bridges/wasm/wit/keyvalue.wit"],
    inline: "
        package drawspan:ingress-rust;

        world guest {
            include drawspan:plugin/ingress-plugin@0.1.0;
            import wasi:keyvalue/store@0.2.0-draft;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

/// The rules of the config, read once in `init`. Those that are set later belong to all instances, so they are in the store.
static RULES: OnceLock<Rules> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let configured = || {
            let [rules] = common::settings(&request.config, ["rules"])?;
            Rules::parse(rules)
        };
        RULES
            .set(configured().map_err(PluginError::InvalidRequest)?)
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl ingress::Guest for Guest {
    fn get_rule(request: ingress::GetRuleRequest) -> Result<Option<String>, PluginError> {
        let host = common::host(&request.host);
        let set = bucket()?.get(&host).map_err(unavailable)?;
        match set {
            Some(endpoint) => String::from_utf8(endpoint)
                .map(Some)
                .map_err(|_| PluginError::Failed(format!("the rule for {host} is damaged"))),
            None => Ok(configured()?.get(&host).map(str::to_owned)),
        }
    }

    fn set_rule(request: ingress::SetRuleRequest) -> Result<(), PluginError> {
        let host = common::host(&request.host);
        rules::check(&host, &request.endpoint).map_err(PluginError::InvalidRequest)?;
        bucket()?
            .set(&host, request.endpoint.as_bytes())
            .map_err(unavailable)
    }
}

fn configured() -> Result<&'static Rules, PluginError> {
    RULES
        .get()
        .ok_or_else(|| PluginError::Failed("init was not called".into()))
}

fn bucket() -> Result<Bucket, PluginError> {
    store::open("default").map_err(unavailable)
}

fn unavailable(error: store::Error) -> PluginError {
    PluginError::Unavailable(format!("the store `default`: {error:?}"))
}
