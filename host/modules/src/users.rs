//! [`UserTable`]: an authenticator whose users stand in the config.

use std::collections::HashMap;
use std::sync::Arc;

use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use drawspan_wit::{Call, CallError, Plugin};
use subtle::ConstantTimeEq;

/// Users and their passwords. The id of a client is its user name (GOST reference, modules 4.2).
pub struct UserTable(HashMap<String, String>);

impl UserTable {
    /// An entry without a user name is skipped, an empty password accepts any password, a later entry replaces an
    /// earlier one of the same name. An empty table denies everyone.
    pub fn new(users: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(users.into_iter().filter(|(name, _)| !name.is_empty()).collect())
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        self.0
            .get(username)
            .is_some_and(|stored| stored.is_empty() || bool::from(stored.as_bytes().ct_eq(password.as_bytes())))
    }
}

impl Plugin<AuthenticationRequest> for UserTable {
    async fn call(
        &self,
        call: Arc<AuthenticationRequest>,
    ) -> Result<<AuthenticationRequest as Call>::Reply, CallError> {
        Ok(self.accepts(&call.username, &call.password).then(|| Identity { client_id: call.username.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_compared_as_gost_does() {
        let table = UserTable::new([("gost", "secret"), ("guest", ""), ("", "x")].map(|(u, p)| (u.into(), p.into())));
        for (username, password, accepted) in [
            ("gost", "secret", true),
            ("gost", "Secret", false),
            ("gost", "", false),
            ("GOST", "secret", false),
            ("guest", "anything", true),
            ("guest", "", true),
            ("", "x", false),
            ("", "", false),
        ] {
            assert_eq!(table.accepts(username, password), accepted, "{username}:{password}");
        }
        assert!(!UserTable::new([]).accepts("gost", "gost"));
    }
}
