//! The replacements.

use memchr::memmem::Finder;

/// What is looked for, and what it becomes.
#[derive(Debug)]
pub struct Replacements(Vec<(Finder<'static>, String)>);

impl Replacements {
    /// Reads lines of the form `text => replacement`; a replacement may be empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for (line, number) in text
            .lines()
            .zip(1..)
            .filter(|(line, _)| !line.trim().is_empty())
        {
            let (from, to) = line
                .split_once("=>")
                .map(|(from, to)| (from.trim(), to.trim()))
                .filter(|(from, _)| !from.is_empty())
                .ok_or_else(|| {
                    format!("line {number} of `replace` is not of the form `text => replacement`")
                })?;
            pairs.push((Finder::new(from).into_owned(), to.to_owned()));
        }
        if pairs.is_empty() {
            return Err("`replace` is missing or empty: write lines of the form `text => replacement` under the plugin's `config`".into());
        }
        Ok(Self(pairs))
    }

    /// The text with everything replaced, or `None` if nothing was found. Of several that fit at one place the first in the config
    /// is taken. What was put in isn't looked at again, so `a => b` and `b => a` swap.
    pub fn apply(&self, text: &str) -> Option<String> {
        let (mut replaced, mut at) = (String::new(), 0);
        // Where each is found next. None looks at any part of the text twice: a body is as long as its sender likes.
        let mut next: Vec<_> = self
            .0
            .iter()
            .map(|(from, _)| from.find(text.as_bytes()))
            .collect();
        while let Some((place, which)) = next
            .iter()
            .zip(0..)
            .filter_map(|(place, which)| Some(((*place)?, which)))
            .min()
        {
            let (from, to) = &self.0[which];
            replaced.push_str(&text[at..place]);
            replaced.push_str(to);
            at = place + from.needle().len();
            for ((from, _), next) in self.0.iter().zip(&mut next) {
                if next.is_some_and(|place| place < at) {
                    *next = from.find(&text.as_bytes()[at..]).map(|place| at + place);
                }
            }
        }
        (at > 0).then(|| replaced + &text[at..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(replacements: &str, text: &str) -> Option<String> {
        Replacements::parse(replacements).unwrap().apply(text)
    }

    #[test]
    fn everything_is_replaced_once() {
        assert_eq!(
            apply("a => b\nb => a", "abc abc").as_deref(),
            Some("bac bac")
        );
        assert_eq!(
            apply(
                "http://a.example => https://b.example",
                "<http://a.example/>"
            )
            .as_deref(),
            Some("<https://b.example/>")
        );
        assert_eq!(apply("secret =>", "my secret").as_deref(), Some("my "));
        assert_eq!(apply("aa => x\na => y", "aaa").as_deref(), Some("xy"));
        assert_eq!(apply("ü => ue", "Tür").as_deref(), Some("Tuer"));
    }

    #[test]
    fn nothing_found_is_nothing_changed() {
        assert_eq!(apply("a => b", "xyz"), None);
        assert_eq!(apply("a => b", ""), None);
    }

    #[test]
    fn a_bad_line_is_counted() {
        for text in ["a => b\n\nnothing", "a => b\n\n => c"] {
            assert!(Replacements::parse(text).unwrap_err().contains("line 3"));
        }
        assert!(Replacements::parse("\n").unwrap_err().contains("missing"));
    }
}
