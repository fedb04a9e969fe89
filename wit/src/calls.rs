//! The calls, in the order of the WIT package, each with its row of the failure table.

use crate::authenticator::{AuthenticationRequest, Identity};
use crate::{Call, ErrorKind, Module, OnError};

impl Call for AuthenticationRequest {
    type Reply = Option<Identity>;

    const MODULE: Module = Module::Auther;
    const FUNCTION: &'static str = "authenticate";

    /// Denies. With `onError: allow`, a client is let in anonymously while the plugin can't be reached; anything that a
    /// client may be able to cause still denies.
    fn on_failure(&self, on_error: Option<OnError>, kind: ErrorKind) -> Option<Self::Reply> {
        let open = on_error == Some(OnError::Allow) && kind == ErrorKind::Unavailable;
        Some(open.then(|| Identity { client_id: String::new() }))
    }
}
