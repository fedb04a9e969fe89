//! What is wrong with a configuration, and how it is shown.

use std::fmt;
use std::ops::Range;

use crate::Place;

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is started.
    Error,
    /// Worth fixing, but the meaning is clear.
    Warning,
}

/// One finding. `Display` renders it with a source excerpt in which secrets are masked; it ends without a newline.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop, starts with the path of the key.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where.
    pub place: Place,
}

impl Diagnostic {
    /// An error at `place`.
    pub fn error(place: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), help: None, place: place.clone() }
    }

    /// A warning at `place`.
    pub fn warning(place: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// The same with a hint what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let number = self.place.line_column().map_or(String::new(), |(line, _)| line.to_string());
        let pad = " ".repeat(number.len().max(1));
        write!(f, "{severity}: {}\n{pad}--> {}", self.message, self.place)?;
        if let Some(Excerpt { line, caret }) = Excerpt::of(&self.place) {
            let indent = " ".repeat(caret.start);
            let carets = "^".repeat(caret.len());
            write!(f, "\n{pad} |\n{number} | {line}\n{pad} | {indent}{carets}")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n{pad} = help: {help}"),
            None => Ok(()),
        }
    }
}

/// Longer lines are cut: a one-line JSON configuration can be very long.
const LONG: usize = 200;

/// Characters of a long line that are shown before and after the place.
const AROUND: usize = 80;

/// The line of a place as it may be shown.
struct Excerpt {
    line: String,
    /// Character columns of `line` to underline, from 0.
    caret: Range<usize>,
}

impl Excerpt {
    fn of(place: &Place) -> Option<Self> {
        let span = place.span()?;
        let text = place.source().text();
        let start = text[..span.start].rfind('\n').map_or(0, |i| i + 1);
        let end = text[span.start..].find('\n').map_or(text.len(), |i| span.start + i);
        let hidden = place.source().hidden(&(start..end));

        let mut line: Vec<char> = Vec::new();
        let mut caret: Option<Range<usize>> = None;
        let mut mask: Option<(usize, Range<usize>)> = None;
        for (at, c) in text[start..end].trim_end().char_indices().map(|(i, c)| (start + i, c)) {
            let columns = match hidden.iter().position(|range| range.contains(&at)) {
                None => {
                    line.push(if c.is_control() { ' ' } else { c });
                    line.len() - 1..line.len()
                }
                Some(index) => match &mask {
                    Some((masked, columns)) if *masked == index => columns.clone(),
                    _ => {
                        line.extend("***".chars());
                        let columns = line.len() - 3..line.len();
                        mask = Some((index, columns.clone()));
                        columns
                    }
                },
            };
            if at == span.start || span.contains(&at) {
                caret = Some(caret.map_or(columns.start, |c| c.start)..columns.end);
            }
        }
        let caret = caret.unwrap_or(line.len()..line.len() + 1);
        Some(Self::cut(&line, caret))
    }

    fn cut(line: &[char], caret: Range<usize>) -> Self {
        if line.len() <= LONG {
            return Self { line: line.iter().collect(), caret };
        }
        let from = caret.start.saturating_sub(AROUND);
        let to = line.len().min(caret.start + AROUND);
        let mut shown: String = if from > 0 { "… ".into() } else { String::new() };
        let shift = shown.chars().count();
        shown.extend(&line[from..to]);
        if to < line.len() {
            shown.push_str(" …");
        }
        let start = caret.start - from + shift;
        Self { line: shown, caret: start..start + caret.len().min(AROUND) }
    }
}
