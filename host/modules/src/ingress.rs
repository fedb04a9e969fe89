//! [`Ingress`]: which tunnel serves a host.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::{BoxPlugin, CallError, Plugin};
use uuid::Uuid;

/// Maps public host names to tunnels. Cheap to clone.
#[derive(Clone)]
pub struct Ingress {
    get: BoxPlugin<GetRuleRequest>,
    set: BoxPlugin<SetRuleRequest>,
}

/// A tunnel, as rules name it (GOST reference, modules 4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The tunnel's id; never nil.
    pub tunnel: Uuid,
    /// Only for those who know the tunnel's id.
    pub private: bool,
}

impl Ingress {
    /// Asks `plugin`.
    #[must_use]
    pub fn new<P: Plugin<GetRuleRequest> + Plugin<SetRuleRequest> + 'static>(plugin: Arc<P>) -> Self {
        Self { get: Arc::<P>::clone(&plugin), set: plugin }
    }

    /// The tunnel that serves `host` (with or without a port). A rule that isn't a tunnel's id is none.
    pub async fn endpoint(&self, host: &str, service: &str) -> Option<Endpoint> {
        let request = GetRuleRequest { host: host.to_owned(), service: Some(service.to_owned()) };
        self.get.call(Arc::new(request)).await.ok().flatten()?.parse().ok()
    }

    /// Says that `endpoint` serves `host` from now on.
    ///
    /// # Errors
    /// When the plugin did not take it.
    pub async fn set(&self, host: &str, endpoint: Endpoint, service: &str) -> Result<(), CallError> {
        let service = Some(service.to_owned());
        let request = SetRuleRequest { host: host.to_owned(), endpoint: endpoint.to_string(), service };
        self.set.call(Arc::new(request)).await
    }
}

/// A text isn't a tunnel's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATunnel;

impl FromStr for Endpoint {
    type Err = NotATunnel;

    fn from_str(text: &str) -> Result<Self, NotATunnel> {
        let (private, id) = text.strip_prefix('$').map_or((false, text), |id| (true, id));
        match Uuid::parse_str(id) {
            Ok(tunnel) if !tunnel.is_nil() => Ok(Self { tunnel, private }),
            _ => Err(NotATunnel),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.private { "$" } else { "" }, self.tunnel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written() {
        for text in ["4d21094e-b74c-4916-86c1-d9fa36ea677b", "$4d21094e-b74c-4916-86c1-d9fa36ea677b"] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.private, text.starts_with('$'));
            assert_eq!(endpoint.to_string(), text);
        }
        for text in [
            "",
            "$",
            "nonsense",
            "00000000-0000-0000-0000-000000000000",
            "4d21094e-b74c-4916-86c1-d9fa36ea677g",
            "+d21094e-b74c-4916-86c1-d9fa36ea677b",
            "4d21094e-b74c-4916-86c1-d9fa36ea677b-",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(NotATunnel), "{text}");
        }
    }
}
