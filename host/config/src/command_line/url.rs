//! The grammar of `-L`: `[scheme://][user[:password]@][host][:port][/path][?key=value&…]`.
//!
//! Not a URL in the strict sense: GOST cuts the host out textually, so that odd ones survive.

use std::ops::Range;

/// Byte ranges of the parts of an argument.
pub(super) struct Url {
    /// Empty when there is no `://`.
    pub(super) scheme: Range<usize>,
    /// Without the `@`.
    pub(super) user_info: Option<Range<usize>>,
    /// With the port.
    pub(super) host: Range<usize>,
    /// With its slash.
    pub(super) path: Range<usize>,
    /// Keys and values, still encoded.
    pub(super) query: Vec<(Range<usize>, Range<usize>)>,
}

impl Url {
    pub(super) fn split(text: &str) -> Self {
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let (scheme, start) = match text.find("://") {
            Some(end) if text[..end].chars().all(is_scheme) => (0..end, end + 3),
            _ => (0..0, 0),
        };
        let find = |from: usize, what: &[char]| text[from..].find(what).map_or(text.len(), |i| from + i);
        let end = find(start, &['/', '?']);
        let (user_info, host) = match text[start..end].rfind('@') {
            Some(at) => (Some(start..start + at), start + at + 1..end),
            None => (None, start..end),
        };
        let path = end..find(end, &['?']);
        let mut query = Vec::new();
        let mut from = path.end + 1;
        while from < text.len() {
            let to = find(from, &['&']);
            let equals = text[from..to].find('=').map(|i| from + i);
            if from < to {
                query.push((from..equals.unwrap_or(to), equals.map_or(to..to, |i| i + 1..to)));
            }
            from = to + 1;
        }
        Self { scheme, user_info, host, path, query }
    }

    /// What must not be shown: passwords, wherever the user meant them to be.
    pub(super) fn secrets(&self, text: &str) -> Vec<Range<usize>> {
        let start = self.user_info.as_ref().map_or(self.host.start, |user_info| user_info.start);
        let mut secrets = Vec::new();
        // A raw `/` or `?` in a password ends the host too early, so look for the last `@` of all.
        if let Some(at) = text[start..].rfind('@') {
            let password = text[start..start + at].find(':').map_or(0, |colon| colon + 1);
            secrets.push(start + password..start + at);
        }
        let hidden = self.query.iter().filter(|(key, _)| crate::secret::is_secret(&decoded(&text[key.clone()], true)));
        secrets.extend(hidden.map(|(_, value)| value.clone()));
        secrets
    }
}

/// `text` with `%xx` decoded, and `+` as a space when it is from a query. What is no UTF-8 then is replaced.
pub(super) fn decoded(text: &str, is_query: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |digit: u8| char::from(digit).to_digit(16);
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => ((high * 16 + low) as u8, tail),
                _ => (b'%', &rest[1..]),
            },
            (b'+', tail) if is_query => (b' ', tail),
            (byte, tail) => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
