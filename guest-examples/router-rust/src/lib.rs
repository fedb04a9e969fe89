//! A router with a table of networks.

mod routes;

use std::sync::OnceLock;

use exports::drawspan::plugin::{lifecycle, router};

use crate::{drawspan::plugin::types::PluginError, routes::Routes};

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    inline: "
        package drawspan:router-rust;

        world guest {
            include drawspan:plugin/router-plugin@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

/// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static ROUTES: OnceLock<Routes> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let configured = || {
            let [routes] = common::settings(&request.config, ["routes"])?;
            Routes::parse(routes)
        };
        ROUTES
            .set(configured().map_err(PluginError::InvalidRequest)?)
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl router::Guest for Guest {
    fn get_route(request: router::RouteRequest) -> Result<Option<router::Route>, PluginError> {
        let destination = common::ip(&request.destination).ok_or_else(|| {
            PluginError::InvalidRequest("the destination is not an IP address".into())
        })?;
        let route = routes()?.find(destination);
        Ok(route.map(|(destination, gateway)| router::Route {
            destination: destination.to_owned(),
            gateway: gateway.to_owned(),
        }))
    }
}

fn routes() -> Result<&'static Routes, PluginError> {
    ROUTES
        .get()
        .ok_or_else(|| PluginError::Failed("init was not called".into()))
}
