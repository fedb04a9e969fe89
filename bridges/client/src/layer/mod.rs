//! The policies: each a plugin around another plugin, knowing nothing of what it wraps.

mod cached;
mod deadline;
mod difference;
mod fail_safe;
#[cfg(test)]
pub(crate) mod fakes;
mod fallback;
mod in_flight;
mod log_limit;
mod observed;
mod retry;
mod shadow;
#[cfg(test)]
mod tests;

pub use cached::CacheSettings;
pub(crate) use cached::{Cached, Store};
pub(crate) use deadline::Deadline;
pub(crate) use fail_safe::FailSafe;
pub(crate) use fallback::Fallback;
pub(crate) use in_flight::InFlight;
pub(crate) use log_limit::LogLimit;
pub(crate) use observed::Observed;
pub(crate) use retry::Retry;
pub(crate) use shadow::{Beside, Shadow};
