//! The rates of the users.

use std::collections::BTreeMap;

/// Bytes per second; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub upload: Option<u64>,
    pub download: Option<u64>,
}

/// What each user may have, and what everybody else may.
#[derive(Debug)]
pub struct Limits {
    users: BTreeMap<String, Rates>,
    default: Rates,
}

impl Limits {
    /// Reads `user=upload/download` or `user=both` between spaces or commas.
    pub fn parse(users: &str, default: &str) -> Result<Self, String> {
        let mut limits = Self {
            users: BTreeMap::new(),
            default: Rates::default(),
        };
        for entry in common::entries(users) {
            let (user, text) = entry
                .split_once('=')
                .filter(|(user, _)| !user.is_empty())
                .ok_or_else(|| format!("`{entry}` is not of the form user=upload/download"))?;
            if limits.users.insert(user.to_owned(), rates(text)?).is_some() {
                return Err(format!("`users` names `{user}` twice"));
            }
        }
        if !default.is_empty() {
            limits.default = rates(default)?;
        } else if limits.users.is_empty() {
            return Err("neither `users` nor `default` sets a limit: write `users: \"user=1MB/4MB …\"` under the plugin's `config`".into());
        }
        Ok(limits)
    }

    /// The rates of a user; nobody in particular has the default ones.
    pub fn of(&self, user: Option<&str>) -> Rates {
        let known = user.and_then(|user| self.users.get(user));
        known.copied().unwrap_or(self.default)
    }
}

fn rates(text: &str) -> Result<Rates, String> {
    let (upload, download) = text.split_once('/').unwrap_or((text, text));
    Ok(Rates {
        upload: rate(upload)?,
        download: rate(download)?,
    })
}

/// A number with a unit. Without one it could be meant in bits, or in kilobytes.
fn rate(text: &str) -> Result<Option<u64>, String> {
    if text == "none" {
        return Ok(None);
    }
    let bad = || format!("`{text}` is neither a rate such as 512KB or 1MB nor `none`");
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let factor = match &text[unit..] {
        "B" => 1,
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return Err(bad()),
    };
    let number: u64 = text[..unit].parse().map_err(|_| bad())?;
    number.checked_mul(factor).map(Some).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(rate: u64) -> Rates {
        Rates {
            upload: Some(rate),
            download: Some(rate),
        }
    }

    #[test]
    fn users_have_their_rates_and_others_the_default() {
        let limits = Limits::parse("alice=1MB/2GB, bob=512KB carol=none/1B", "64KB").unwrap();
        let alice = limits.of(Some("alice"));
        assert_eq!(
            (alice.upload, alice.download),
            (Some(1 << 20), Some(2 << 30))
        );
        assert_eq!(limits.of(Some("bob")), both(512 << 10));
        let carol = limits.of(Some("carol"));
        assert_eq!((carol.upload, carol.download), (None, Some(1)));
        assert_eq!(limits.of(Some("dave")), both(64 << 10));
        assert_eq!(limits.of(None), both(64 << 10));
    }

    #[test]
    fn without_a_default_others_are_not_limited() {
        let limits = Limits::parse("alice=0B", "").unwrap();
        assert_eq!(limits.of(Some("alice")), both(0));
        assert_eq!(limits.of(Some("bob")), Rates::default());
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        for text in [
            "alice",
            "=1MB",
            "a=1",
            "a=1Mb",
            "a=1MB/",
            "a=-1MB",
            "a=MB",
            "a=99999999999GB",
        ] {
            assert!(Limits::parse(text, "").unwrap_err().contains('`'), "{text}");
        }
        assert!(
            Limits::parse("a=1MB a=2MB", "")
                .unwrap_err()
                .contains("twice")
        );
        assert!(Limits::parse("", "").unwrap_err().contains("neither"));
    }
}
