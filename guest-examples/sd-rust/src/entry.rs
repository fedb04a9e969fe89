//! How several texts become one key or value.

/// What can't be in any of them.
const SEPARATOR: char = '\n';

/// One text from `N`.
pub fn join<const N: usize>(parts: [&str; N]) -> Result<String, String> {
    if parts.iter().any(|part| part.contains(SEPARATOR)) {
        return Err("a name with a line break in it".into());
    }
    Ok(parts.join("\n"))
}

/// The texts that were joined, if there were `N`.
pub fn split<const N: usize>(text: &str) -> Option<[&str; N]> {
    let mut parts = text.split(SEPARATOR);
    let mut array = [""; N];
    for part in &mut array {
        *part = parts.next()?;
    }
    parts.next().is_none().then_some(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_can_be_split() {
        for parts in [["a", "b", "c"], ["", "", ""], ["a", "", "c"]] {
            assert_eq!(split(&join(parts).unwrap()), Some(parts));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(join(["a\nb", "c"]).is_err());
        assert_eq!(split::<2>("a"), None);
        assert_eq!(split::<2>("a\nb\nc"), None);
    }
}
