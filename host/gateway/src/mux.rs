//! From the config's mux to that of the data plane.

use drawspan_config::Mux;
use drawspan_smux::{Config, Keepalive, Version};

pub(crate) fn config(mux: Mux) -> Config {
    Config {
        version: if mux.version == 1 { Version::V1 } else { Version::V2 },
        keepalive: mux.keepalive.map(|(interval, timeout)| Keepalive { interval, timeout }),
        max_frame: mux.max_frame,
        receive_buffer: mux.receive_buffer,
        stream_buffer: mux.stream_buffer,
    }
}
