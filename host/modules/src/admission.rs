//! [`Admission`]: which source addresses may connect.

use std::sync::Arc;

use drawspan_wit::admission::{AdmissionRequest, Verdict};
use drawspan_wit::{BoxPlugin, CallError, Plugin};

use crate::{Addr, ConnInfo};

/// Decides which connections are served. Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    plugin: BoxPlugin<AdmissionRequest>,
}

impl Admission {
    /// Asks `plugin`.
    #[must_use]
    pub fn new(plugin: BoxPlugin<AdmissionRequest>) -> Self {
        Self { plugin }
    }

    /// Whether a connection over `network` is to be served; if not it is closed without a word.
    ///
    /// GOST: asks twice per connection, with the same arguments. Here once.
    pub async fn admits(&self, conn: &ConnInfo, network: &str) -> bool {
        self.ask(network, &conn.client, Some(conn.service.to_string())).await
    }

    /// Whether one more datagram of a client whose first one was admitted is to be passed on.
    pub async fn admits_datagram(&self, client: &Addr) -> bool {
        self.ask("udp", client, None).await
    }

    async fn ask(&self, network: &str, client: &Addr, service: Option<String>) -> bool {
        let request = AdmissionRequest { network: network.to_owned(), client_address: client.to_string(), service };
        // A failure was given its meaning, denied, by the plugin's client; what else could be left denies as well.
        self.plugin.call(Arc::new(request)).await.is_ok_and(|verdict| verdict == Verdict::Admitted)
    }
}

/// Several admissions: all must admit; the first refusal ends it (GOST reference, modules 5).
pub struct AllOf(Vec<BoxPlugin<AdmissionRequest>>);

impl AllOf {
    /// Admits everyone when `members` is empty.
    #[must_use]
    pub fn new(members: Vec<BoxPlugin<AdmissionRequest>>) -> Self {
        Self(members)
    }
}

impl Plugin<AdmissionRequest> for AllOf {
    async fn call(&self, call: Arc<AdmissionRequest>) -> Result<Verdict, CallError> {
        for member in &self.0 {
            if member.call(Arc::clone(&call)).await? == Verdict::Denied {
                return Ok(Verdict::Denied);
            }
        }
        Ok(Verdict::Admitted)
    }
}

#[cfg(test)]
mod tests {
    use drawspan_wit::{ErrorKind, boxed};

    use super::*;

    /// `None` fails.
    struct Says(Option<Verdict>);

    impl Plugin<AdmissionRequest> for Says {
        async fn call(&self, _: Arc<AdmissionRequest>) -> Result<Verdict, CallError> {
            self.0.ok_or_else(|| CallError::new(ErrorKind::Refused, "on purpose"))
        }
    }

    #[tokio::test]
    async fn all_must_admit() {
        use Verdict::{Admitted, Denied};
        let conn = ConnInfo {
            certificate: None,
            service: "s".into(),
            sid: "".into(),
            client: "192.0.2.7:1".parse::<std::net::SocketAddr>().unwrap().into(),
            local: "192.0.2.1:2".parse::<std::net::SocketAddr>().unwrap().into(),
        };
        for (members, admitted) in [
            (vec![], true),
            (vec![Some(Admitted)], true),
            (vec![Some(Admitted), Some(Denied)], false),
            (vec![Some(Denied), None], false),
            (vec![Some(Admitted), None], false),
        ] {
            let group = AllOf::new(members.iter().map(|verdict| boxed(Says(*verdict))).collect());
            assert_eq!(Admission::new(boxed(group)).admits(&conn, "tcp").await, admitted, "{members:?}");
        }
    }
}
