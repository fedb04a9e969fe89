//! An authenticator that lets in the users which its configuration names.

mod users;

use std::sync::OnceLock;

use exports::drawspan::plugin::{authenticator, lifecycle};

use crate::{drawspan::plugin::types::PluginError, users::Users};

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    inline: "
        package drawspan:authenticator-rust;

        world guest {
            include drawspan:plugin/authenticator-plugin@0.1.0;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

/// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static USERS: OnceLock<Users> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        let users = configured_users(&request.config).map_err(PluginError::InvalidRequest)?;
        USERS
            .set(users)
            .map_err(|_| PluginError::Failed("init was called twice".into()))
    }
}

impl authenticator::Guest for Guest {
    fn authenticate(
        request: authenticator::AuthenticationRequest,
    ) -> Result<Option<authenticator::Identity>, PluginError> {
        let users = USERS
            .get()
            .ok_or_else(|| PluginError::Failed("init was not called".into()))?;
        Ok(users
            .contains(&request.username, &request.password)
            .then_some(authenticator::Identity {
                client_id: request.username,
            }))
    }
}

fn configured_users(config: &[(String, String)]) -> Result<Users, String> {
    let [users] = common::settings(config, ["users"])?;
    Users::parse(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = configured_users(&config(&[("users", "a:b"), ("user", "c:d")])).unwrap_err();
        assert!(error.contains("`user`"), "{error}");
    }

    #[test]
    fn a_missing_key_says_what_to_write() {
        let error = configured_users(&[]).unwrap_err();
        assert!(error.contains("user:password"), "{error}");
    }
}
