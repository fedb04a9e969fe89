//! A limiter with a rate for each user.

mod limits;

use std::sync::OnceLock;

use exports::drawspan::plugin::{lifecycle, traffic_limiter};

use crate::{drawspan::plugin::types::PluginError, limits::Limits};

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    inline: "
        package drawspan:limiter-rust;

        world guest {
            include drawspan:plugin/traffic-limiter-plugin@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

/// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static LIMITS: OnceLock<Limits> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let configured = || {
            let [users, default] = common::settings(&request.config, ["users", "default"])?;
            Limits::parse(users, default)
        };
        LIMITS
            .set(configured().map_err(PluginError::InvalidRequest)?)
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl traffic_limiter::Guest for Guest {
    fn limit(
        request: traffic_limiter::LimitRequest,
    ) -> Result<traffic_limiter::Rates, PluginError> {
        let limits = limits()?;
        let rates = match request.scope {
            traffic_limiter::LimitScope::Client => limits.of(request.client_id.as_deref()),
            // What all users of a service share, or one connection, is none of a user's limit.
            _ => Default::default(),
        };
        Ok(traffic_limiter::Rates {
            upload: rates.upload,
            download: rates.download,
        })
    }
}

fn limits() -> Result<&'static Limits, PluginError> {
    LIMITS
        .get()
        .ok_or_else(|| PluginError::Failed("init was not called".into()))
}
