//! [`Ingress`]: which tunnel serves a host.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::{BoxPlugin, CallError, Plugin};

/// Maps public host names to tunnels. Cheap to clone.
#[derive(Clone)]
pub struct Ingress {
    get: BoxPlugin<GetRuleRequest>,
    set: BoxPlugin<SetRuleRequest>,
}

/// A tunnel, as rules name it (GOST reference, modules 4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The tunnel's UUID; never all zeros.
    pub tunnel: [u8; 16],
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
        let groups: Vec<&str> = id.split('-').collect();
        if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) {
            return Err(NotATunnel);
        }
        let tunnel = u128::from_str_radix(&groups.concat(), 16).map_err(|_| NotATunnel)?;
        // Also refuses a sign, which the number may have and a UUID may not.
        if tunnel == 0 || id.contains('+') {
            Err(NotATunnel)
        } else {
            Ok(Self { tunnel: tunnel.to_be_bytes(), private })
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = format!("{:032x}", u128::from_be_bytes(self.tunnel));
        let private = if self.private { "$" } else { "" };
        write!(f, "{private}{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
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
            "4d21094eb74c491686c1d9fa36ea677b",
            "4d21094e-b74c-4916-86c1-d9fa36ea677g",
            "+d21094e-b74c-4916-86c1-d9fa36ea677b",
            "4d21094e-b74c-4916-86c1-d9fa36ea677b-",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(NotATunnel), "{text}");
        }
    }
}
