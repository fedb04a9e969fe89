//! From a checked config to running services.
//!
//! [`Gateway::load`] makes ready everything that can fail without a socket: plugins are compiled, started and checked.
//! [`Gateway::bind`] then takes the addresses, and [`Bound::run`] serves until it is told to stop. Nothing listens before
//! all is well.

mod chains;
mod gateway;
mod grants;
mod memory;
mod metrics;
mod modules;
mod mux;
mod plugins;
mod process;
mod recorders;
mod resolvers;
mod routers;
mod serve;
mod services;
mod sid;
mod tls;
mod tun;
mod tunnels;
mod without_effect;

pub use gateway::{BindError, Bound, Gateway};
pub use plugins::{Plugins, Reloaded};
