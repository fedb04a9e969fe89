//! [`Bypass`]: which targets are refused or avoided.

use std::sync::Arc;

use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::{BoxPlugin, CallError, Plugin};

use crate::{ClientId, Target};

/// Recognises targets that a service refuses, or that a hop or node doesn't carry. Cheap to clone.
#[derive(Clone)]
pub struct Bypass {
    plugin: BoxPlugin<BypassRequest>,
}

impl Bypass {
    /// Asks `plugin`.
    #[must_use]
    pub fn new(plugin: BoxPlugin<BypassRequest>) -> Self {
        Self { plugin }
    }

    /// Whether a service refuses `target`; it does when nobody can tell.
    pub async fn contains(&self, service: Option<&str>, client: Option<&ClientId>, target: &Target) -> bool {
        self.ask(service, client, target).await.unwrap_or(true)
    }

    /// Whether a hop or a node doesn't carry `target` (GOST reference, modules 2.3).
    ///
    /// # Errors
    /// When nobody can tell, which must not be taken for "go directly then".
    pub async fn judge(&self, client: Option<&ClientId>, target: &Target) -> Result<bool, CallError> {
        self.ask(None, client, target).await
    }

    async fn ask(&self, service: Option<&str>, client: Option<&ClientId>, target: &Target) -> Result<bool, CallError> {
        let request = BypassRequest {
            network: target.network.clone(),
            target_address: target.address.clone(),
            host: target.host.clone(),
            path: target.path.clone(),
            client_id: client.and_then(ClientId::known),
            service: service.map(str::to_owned),
        };
        Ok(self.plugin.call(Arc::new(request)).await? == Match::Matched)
    }
}

/// A member of a [`BypassGroup`].
pub struct BypassMember {
    /// What is asked.
    pub plugin: BoxPlugin<BypassRequest>,
    /// It lists what may pass. Plugins never do.
    pub whitelist: bool,
}

/// Several bypasses (GOST reference, modules 5): a target is in the set if every whitelist says so, or any other member.
/// Whitelists are asked first, and nobody once the answer is known.
pub struct BypassGroup {
    whitelists: Vec<BoxPlugin<BypassRequest>>,
    others: Vec<BoxPlugin<BypassRequest>>,
}

impl BypassGroup {
    /// The set is empty when `members` is.
    #[must_use]
    pub fn new(members: Vec<BypassMember>) -> Self {
        let (whitelists, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.whitelist);
        let plugins = |members: Vec<BypassMember>| members.into_iter().map(|member| member.plugin).collect();
        Self { whitelists: plugins(whitelists), others: plugins(others) }
    }
}

impl Plugin<BypassRequest> for BypassGroup {
    async fn call(&self, call: Arc<BypassRequest>) -> Result<Match, CallError> {
        let mut kept_out = !self.whitelists.is_empty();
        for whitelist in &self.whitelists {
            if whitelist.call(Arc::clone(&call)).await? == Match::Unmatched {
                kept_out = false;
                break;
            }
        }
        if kept_out {
            return Ok(Match::Matched);
        }
        for other in &self.others {
            if other.call(Arc::clone(&call)).await? == Match::Matched {
                return Ok(Match::Matched);
            }
        }
        Ok(Match::Unmatched)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use drawspan_wit::boxed;

    use super::*;

    struct Says(Match, Arc<AtomicUsize>);

    impl Plugin<BypassRequest> for Says {
        async fn call(&self, _: Arc<BypassRequest>) -> Result<Match, CallError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Ok(self.0)
        }
    }

    #[tokio::test]
    async fn whitelists_are_of_one_mind_and_others_have_a_veto() {
        const IN: Match = Match::Matched;
        const OUT: Match = Match::Unmatched;
        for (members, contained, asked) in [
            (vec![], false, 0),
            (vec![(IN, false)], true, 1),
            (vec![(OUT, false), (OUT, false)], false, 2),
            (vec![(IN, true)], true, 1),
            (vec![(OUT, true)], false, 1),
            (vec![(IN, true), (OUT, true)], false, 2),
            (vec![(IN, true), (IN, true), (OUT, false)], true, 2),
            (vec![(OUT, true), (IN, true), (IN, false)], true, 2),
        ] {
            let count = Arc::new(AtomicUsize::new(0));
            let group = members.iter().map(|(says, whitelist)| BypassMember {
                plugin: boxed(Says(*says, Arc::clone(&count))),
                whitelist: *whitelist,
            });
            let bypass = Bypass::new(boxed(BypassGroup::new(group.collect())));
            assert_eq!(bypass.contains(None, None, &Target::default()).await, contained, "{members:?}");
            assert_eq!(count.load(Ordering::Relaxed), asked, "{members:?}");
        }
    }
}
