//! A rewriter that replaces text in HTTP bodies.

mod replacements;

use std::sync::OnceLock;

use exports::drawspan::plugin::{lifecycle, rewriter};

use crate::{drawspan::plugin::types::PluginError, replacements::Replacements};

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    inline: "
        package drawspan:rewriter-rust;

        world guest {
            include drawspan:plugin/rewriter-plugin@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

/// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static REPLACEMENTS: OnceLock<Replacements> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let configured = || {
            let [replace] = common::settings(&request.config, ["replace"])?;
            Replacements::parse(replace)
        };
        REPLACEMENTS
            .set(configured().map_err(PluginError::InvalidRequest)?)
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl rewriter::Guest for Guest {
    fn rewrite(request: rewriter::RewriteRequest) -> Result<Option<Vec<u8>>, PluginError> {
        let replacements = replacements()?;
        // What isn't text, an image for example, is left alone.
        let text = std::str::from_utf8(&request.data).ok();
        Ok(text
            .and_then(|text| replacements.apply(text))
            .map(String::into_bytes))
    }
}

fn replacements() -> Result<&'static Replacements, PluginError> {
    REPLACEMENTS
        .get()
        .ok_or_else(|| PluginError::Failed("init was not called".into()))
}
