//! [`IngressRules`]: an ingress whose rules stand in the config (GOST reference, modules 4.8).

use std::sync::Arc;

use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::{CallError, ErrorKind, Plugin};

use crate::Endpoint;
use crate::name_table::NameTable;

/// Tunnels of host names. `.example.com` is the name and all below it.
#[derive(Clone, Debug, Default)]
pub struct IngressRules(NameTable<Option<Endpoint>>);

impl IngressRules {
    /// With those rules; of several for one name the last counts.
    pub fn new(rules: impl IntoIterator<Item = (String, Endpoint)>) -> Self {
        let mut table: NameTable<Option<Endpoint>> = NameTable::default();
        for (name, endpoint) in rules {
            *table.entry(&name) = Some(endpoint);
        }
        Self(table)
    }
}

impl Plugin<GetRuleRequest> for IngressRules {
    async fn call(&self, call: Arc<GetRuleRequest>) -> Result<Option<String>, CallError> {
        let host = &call.host;
        // `[::1]:80`, `name:80`, `name`, `::1`.
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => name,
            Some((ip, _)) if ip.ends_with(']') => ip,
            _ => host,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(self.0.find(host).copied().flatten().map(|endpoint| endpoint.to_string()))
    }
}

impl Plugin<SetRuleRequest> for IngressRules {
    /// Always fails, as in GOST: nobody can add to them.
    async fn call(&self, _: Arc<SetRuleRequest>) -> Result<(), CallError> {
        Err(CallError::new(ErrorKind::Refused, "the rules of the config can't be changed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_nearest_rule_counts_whatever_the_port() {
        const A: &str = "4d21094e-b74c-4916-86c1-d9fa36ea677b";
        const B: &str = "$00000000-0000-0000-0000-000000000001";
        let rules = [("srv.test", A), (".test", B), ("::1", A)];
        let rules = IngressRules::new(rules.map(|(name, id)| (name.to_owned(), id.parse().unwrap())));
        for (host, expected) in [
            ("srv.test", Some(A)),
            ("SRV.test:80", Some(A)),
            ("other.test:443", Some(B)),
            ("a.srv.test", Some(B)),
            ("test", Some(B)),
            ("[::1]:80", Some(A)),
            ("::1", Some(A)),
            ("elsewhere", None),
            ("", None),
        ] {
            let request = GetRuleRequest { host: host.to_owned(), service: None };
            assert_eq!(rules.call(Arc::new(request)).await.unwrap().as_deref(), expected, "{host}");
        }
        let set = SetRuleRequest { host: "new.test".to_owned(), endpoint: A.to_owned(), service: None };
        rules.call(Arc::new(set)).await.unwrap_err();
    }
}
