//! Keys that nobody knows: which one was meant, and how dangerous the mistake is.

/// Keys that guard something. GOST ignores a misspelt one silently, and so opens what it should guard.
const GUARDS: [&str; 27] = [
    "auther",
    "authers",
    "auth",
    "auths",
    "admission",
    "admissions",
    "bypass",
    "bypasses",
    "limiter",
    "limiters",
    "climiter",
    "climiters",
    "rlimiter",
    "rlimiters",
    "tls",
    "quotas",
    "plugin",
    "token",
    "username",
    "password",
    "secure",
    "matchers",
    "whitelist",
    "probeResist",
    "knock",
    "skipauth",
    "mitm.bypass",
];

/// How many edits from `key` still count as a slip.
fn tolerance(key: &str) -> usize {
    if key.len() <= 5 { 1 } else { 2 }
}

/// The known key that `key` (in lower case) was probably meant to be.
pub(crate) fn nearest(key: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    known
        .map(|candidate| (distance(key, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= tolerance(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The guarding key that `key` (in lower case) is or nearly is.
pub(crate) fn guard_near(key: &str) -> Option<&'static str> {
    nearest(key, GUARDS.into_iter())
}

/// Levenshtein distance: insertions, deletions and replacements of characters.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
