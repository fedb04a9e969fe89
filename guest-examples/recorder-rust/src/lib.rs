//! A recorder that writes records to the log, without the secrets in them.

mod redactor;

use std::sync::OnceLock;

use exports::drawspan::plugin::{lifecycle, recorder};

use crate::{
    drawspan::plugin::types::PluginError,
    redactor::Redactor,
    wasi::logging::logging::{Level, log},
};

wit_bindgen::generate!({
    path: ["../../wit/0.1.0", "../../bridges/wasm/wit/logging.wit"],
    inline: "
        package drawspan:recorder-rust;

        world guest {
            include drawspan:plugin/recorder-plugin@0.1.0;
            import wasi:logging/logging@0.1.0-draft;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

/// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static REDACTOR: OnceLock<Redactor> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let [redact, drop] = common::settings(&request.config, ["redact", "drop"])
            .map_err(PluginError::InvalidRequest)?;
        REDACTOR
            .set(Redactor::new(redact, drop))
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl recorder::Guest for Guest {
    fn write(request: recorder::WriteRequest) -> Result<(), PluginError> {
        let redactor = REDACTOR
            .get()
            .ok_or_else(|| PluginError::Failed("init was not called".into()))?;
        let line = redactor
            .line(&request.data)
            .map_err(PluginError::InvalidRequest)?;
        log(Level::Info, "", &line);
        Ok(())
    }
}
