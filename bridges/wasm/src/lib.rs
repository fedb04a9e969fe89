//! Answers any call in a sandboxed WebAssembly component.
//!
//! * [`Engine`] is shared by all components of a process: it compiles, caches what it compiled, and ticks.
//! * [`WasmBridge`] is one plugin: a component, what it was granted, and a pool of its instances.
//! * [`inspect`] says what a component is for, without running it.
//!
//! A component gets nothing but clocks, randomness, its configuration and a log unless the operator grants more. It can't
//! hang a call (its code is interrupted every millisecond), can't exhaust memory (each instance has a limit), and is thrown
//! away when it traps. Unlike the other bridges this one needs no code per call: functions are bound by name and type.

mod bridge;
mod cache;
mod compiled;
mod component;
mod edition;
mod engine;
mod fetch;
mod function;
mod host;
mod http;
mod instance;
mod keyvalue;
mod log;
mod pool;
mod slow;
mod sockets;
mod watch;

pub use bridge::{Counters, Source, WasmBridge, WasmSettings};
pub use component::{Inspection, LoadError, inspect};
pub use engine::{Engine, EngineError};
pub use fetch::FetchError;
pub use function::Function;
pub use host::Mount;
pub use http::{HostName, HttpHost};
pub use keyvalue::{RedisSettings, StoreSettings};
pub use sockets::Addresses;
