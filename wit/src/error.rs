//! [`CallError`]: why a plugin gave no answer.

use std::fmt;

/// The kinds of failure. Policies and metrics branch on these and on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The plugin can't be reached: nothing listens, the name doesn't resolve, the TLS handshake fails. To a module that
    /// [lets clients in](crate::Module::lets_in) only if no client can have brought it about.
    Unavailable,
    /// No answer within the call's time limit.
    Deadline,
    /// Too many calls are in flight already.
    Overloaded,
    /// The plugin was reached and declined: a gRPC status, an HTTP status other than 200, a `plugin-error`.
    Refused,
    /// An answer that can't be used: not decodable, too large, or cut off.
    BadReply,
    /// The component trapped, or ran into one of its limits.
    Trapped,
}

impl ErrorKind {
    /// Every kind, for tables and metrics.
    pub const ALL: [Self; 6] =
        [Self::Unavailable, Self::Deadline, Self::Overloaded, Self::Refused, Self::BadReply, Self::Trapped];

    /// A short word for logs and metric labels, e.g. `bad_reply`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Deadline => "deadline",
            Self::Overloaded => "overloaded",
            Self::Refused => "refused",
            Self::BadReply => "bad_reply",
            Self::Trapped => "trapped",
        }
    }
}

/// How a plugin declined: the cases of the contract's `plugin-error`. To policies all of them are [`ErrorKind::Refused`], but
/// that `retries` asks again after [`Unavailable`](Self::Unavailable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The question makes no sense to it.
    InvalidRequest,
    /// It lacks something that it needs.
    Unavailable,
    /// It tried and failed.
    Failed,
}

/// Why a plugin gave no answer: a [kind](ErrorKind) to branch on and a reason to read.
///
/// It does not say which plugin: bridges don't know the name that the operator gave them. Whoever logs it adds that.
#[derive(Clone, Debug)]
pub struct CallError {
    kind: ErrorKind,
    refusal: Option<Refusal>,
    reason: String,
}

impl CallError {
    /// `reason` is lower case, without a full stop, and free of secrets.
    pub fn new(kind: ErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, refusal: None, reason: reason.into() }
    }

    /// An error of the kind [`ErrorKind::Refused`] by a plugin that said which refusal it is.
    pub fn refused(refusal: Refusal, reason: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Refused, refusal: Some(refusal), reason: reason.into() }
    }

    /// What to branch on.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Which refusal it is, if the plugin said so.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for CallError {}

/// Joins an error and its causes by `: `, leaving out a cause that repeats its parent's text.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
