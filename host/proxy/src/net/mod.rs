//! Moving bytes between connections.

mod body;
mod buffer;
mod buffered;
mod carried;
mod copy;
mod counting;
mod datagrams;
mod heard;
mod limit;
mod splice;
mod stream;
mod traffic;
mod udp;
mod websocket;

pub(crate) use body::{BodyError, Held, Tap, hold_body, relay_body};
pub(crate) use buffer::Buffer;
pub use buffered::Buffered;
pub(crate) use buffered::{HeadReadError, eof, fill, linger, read_head};
pub(crate) use carried::Carried;
pub use copy::PipeError;
pub(crate) use copy::pipe;
pub(crate) use counting::counting;
pub(crate) use datagrams::ended;
pub use datagrams::{Datagrams, Relayed};
pub(crate) use heard::heard;
pub use limit::Limits;
pub use stream::{Io, Layered, Stream};
pub(crate) use stream::{KEEPALIVE, tune};
pub(crate) use traffic::{Activity, Counted, Direction, Far, Flow, Meters};
pub use traffic::{Counters, Traffic};
pub use udp::Udp;
pub(crate) use websocket::Websocket;
