//! The policies: each a plugin around another plugin, knowing nothing of what it wraps.

mod deadline;
mod fail_safe;
mod in_flight;
mod observed;
#[cfg(test)]
mod tests;

pub(crate) use deadline::Deadline;
pub(crate) use fail_safe::FailSafe;
pub(crate) use in_flight::InFlight;
pub(crate) use observed::Observed;
