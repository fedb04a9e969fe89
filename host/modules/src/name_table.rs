//! [`NameTable`]: what is said of host names and the names below them.

use std::collections::HashMap;

/// Values of names. `.example.com` is the name and all below it; `.` is all that nothing else fits.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameTable<V>(HashMap<String, V>);

impl<V: Default> NameTable<V> {
    /// What is said of `name` itself, to be changed.
    pub(crate) fn entry(&mut self, name: &str) -> &mut V {
        self.0.entry(name.to_ascii_lowercase()).or_default()
    }

    /// What counts for `host`: exact, then with a dot in front, then each parent with a dot in front.
    pub(crate) fn find(&self, host: &str) -> Option<&V> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let dotted = format!(".{host}");
        let parents = dotted.match_indices('.').map(|(at, _)| &dotted[at..]);
        self.0.get(&host).or_else(|| parents.chain(["."]).find_map(|name| self.0.get(name)))
    }
}
