//! [`Word`]: an enum of the contract that GOST writes as a word.

use drawspan_wit::observer::{EventSource, ServiceState};
use drawspan_wit::traffic_limiter::LimitScope;
use drawspan_wit::types::AddressFamily;

/// An enum of the contract that GOST writes as a word.
pub trait Word: Copy + PartialEq + 'static {
    /// What the words stand for.
    const WHAT: &'static str;
    /// Every case and its word.
    const WORDS: &'static [(Self, &'static str)];

    /// The word.
    fn word(self) -> String {
        Self::WORDS.iter().find(|(case, _)| *case == self).map(|(_, word)| (*word).to_owned()).unwrap_or_default()
    }

    /// The case.
    ///
    /// # Errors
    /// When there is none of that word; case counts.
    fn read(word: &str) -> Result<Self, String> {
        let found = Self::WORDS.iter().find(|(_, other)| *other == word);
        found.map(|(case, _)| *case).ok_or_else(|| format!("`{}` is not {}", word.escape_debug(), Self::WHAT))
    }
}

impl Word for AddressFamily {
    const WHAT: &'static str = "a network of `ip`, `ip4`, `ip6`";
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Any, "ip"), (Self::Ipv4, "ip4"), (Self::Ipv6, "ip6")];
}

impl Word for LimitScope {
    const WHAT: &'static str = "a scope of `conn`, `service`, `client`";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Connection, "conn"), (Self::Service, "service"), (Self::Client, "client")];
}

impl Word for EventSource {
    const WHAT: &'static str = "a kind of `service`, `handler`";
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Service, "service"), (Self::Handler, "handler")];
}

impl Word for ServiceState {
    const WHAT: &'static str = "a state of `running`, `ready`, `failed`, `closed`";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Running, "running"), (Self::Ready, "ready"), (Self::Failed, "failed"), (Self::Closed, "closed")];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_word() {
        fn all<W: Word + std::fmt::Debug>(cases: &[W]) {
            for case in cases {
                assert_eq!(W::read(&case.word()), Ok(*case));
            }
            assert_eq!(W::WORDS.len(), cases.len());
            assert!(W::read("").is_err() && W::read("Service").is_err());
        }
        all(&[AddressFamily::Any, AddressFamily::Ipv4, AddressFamily::Ipv6]);
        all(&[LimitScope::Connection, LimitScope::Service, LimitScope::Client]);
        all(&[EventSource::Service, EventSource::Handler]);
        all(&[ServiceState::Running, ServiceState::Ready, ServiceState::Failed, ServiceState::Closed]);
    }
}
