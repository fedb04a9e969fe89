//! The list of users, and how a password is compared.

use std::{collections::BTreeMap, hint::black_box};

/// User names with their passwords.
#[derive(Debug)]
pub struct Users(BTreeMap<String, String>);

impl Users {
    /// Reads `user:password` pairs between whitespace or commas. The first colon splits, so a password may contain more.
    ///
    /// The error counts entries instead of quoting them: it goes to a log, and an entry may be all password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut users = BTreeMap::new();
        let entries = text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|entry| !entry.is_empty());
        for (entry, number) in entries.zip(1..) {
            let (user, password) = entry
                .split_once(':')
                .filter(|(user, password)| !user.is_empty() && !password.is_empty())
                .ok_or_else(|| {
                    format!("entry {number} of `users` is not of the form user:password")
                })?;
            if users.insert(user.to_owned(), password.to_owned()).is_some() {
                return Err(format!(
                    "entry {number} of `users` names the user `{user}` again"
                ));
            }
        }
        if users.is_empty() {
            return Err("`users` is missing or empty: write `users: \"user:password …\"` under the plugin's `config`".into());
        }
        Ok(Self(users))
    }

    /// Whether this user has this password.
    pub fn contains(&self, user: &str, password: &str) -> bool {
        self.0
            .get(user)
            .is_some_and(|expected| same(expected.as_bytes(), password.as_bytes()))
    }
}

/// Takes a time that depends on the length of `presented` only, so that it tells nothing about `expected`.
fn same(expected: &[u8], presented: &[u8]) -> bool {
    let mut differs = expected.len() != presented.len();
    for (byte, other) in presented.iter().zip(expected.iter().cycle()) {
        // Without the black box a compiler may leave the loop at the first difference.
        differs |= black_box(byte != other);
    }
    !differs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_separated_by_anything_sensible() {
        let users = Users::parse("alice:one, bob:two\ncarol:three\n").unwrap();
        assert!(users.contains("alice", "one"));
        assert!(users.contains("bob", "two"));
        assert!(users.contains("carol", "three"));
    }

    #[test]
    fn only_the_first_colon_splits() {
        let users = Users::parse("alice:a:b:").unwrap();
        assert!(users.contains("alice", "a:b:"));
        assert!(!users.contains("alice:a", "b:"));
    }

    #[test]
    fn anything_else_is_refused() {
        let users = Users::parse("alice:secret").unwrap();
        for (user, password) in [
            ("", ""),
            ("alice", ""),
            ("alice", "secre"),
            ("alice", "secrets"),
            ("alice", "Secret"),
            ("bob", "secret"),
        ] {
            assert!(!users.contains(user, password), "{user}:{password}");
        }
    }

    #[test]
    fn a_repeated_password_is_another_one() {
        assert!(!Users::parse("alice:ab").unwrap().contains("alice", "abab"));
    }

    #[test]
    fn a_bad_entry_is_counted_and_never_quoted() {
        for text in [
            "alice:one hunter2",
            "alice:one :hunter2",
            "alice:one hunter2:",
        ] {
            let error = Users::parse(text).unwrap_err();
            assert!(
                error.contains("entry 2") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_user_may_appear_once() {
        assert!(
            Users::parse("alice:one alice:two")
                .unwrap_err()
                .contains("`alice`")
        );
    }

    #[test]
    fn no_users_is_an_error() {
        for text in ["", " \n", ",,"] {
            assert!(Users::parse(text).unwrap_err().contains("user:password"));
        }
    }
}
