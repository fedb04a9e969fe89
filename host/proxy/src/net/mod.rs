//! Moving bytes between sockets.

mod body;
mod buffer;
mod copy;
mod stream;
mod traffic;

pub(crate) use body::{BodyError, relay_body};
pub(crate) use buffer::Buffer;
pub use copy::{PipeError, pipe};
pub use stream::Buffered;
pub(crate) use stream::{HeadReadError, fill, linger, read_head, tune, write_all};
pub use traffic::Traffic;
pub(crate) use traffic::{Activity, Flow};
