//! An authenticator that reaches for what WASI's interfaces offer, without a libc between: the user name says how, the match
//! in `authenticate` is the list. The password is the argument where one is needed.
//!
//! What the host refuses becomes `failed` with the name of its error code.

mod files;
mod sockets;

use std::mem::forget;

use exports::drawspan::plugin::authenticator::{AuthenticationRequest, Guest, Identity, PluginError};
use wasip2::{
    cli::stdout::get_stdout,
    clocks::monotonic_clock::subscribe_duration,
    io::{
        poll::poll,
        streams::{InputStream, OutputStream},
    },
    random::random::get_random_bytes,
};

wit_bindgen::generate!({ path: "../../../wit/0.1.0", world: "authenticator-plugin" });

export!(Reach);

struct Reach;

/// What was reached, or why not.
type Outcome = Result<String, String>;

impl Guest for Reach {
    fn authenticate(request: AuthenticationRequest) -> Result<Option<Identity>, PluginError> {
        let argument = request.password.as_str();
        let outcome = match request.username.as_str() {
            "ok" => Ok("ok".into()),
            "mounts" => files::mounts(),
            "read" => files::read(argument),
            "write" => files::write(argument),
            "list" => files::list(argument),
            "remove" => files::remove(argument),
            "link" => files::link(argument),
            "rename" => files::rename(argument),
            "open-many" => files::open_many(argument),
            "tcp" => sockets::tcp(argument),
            "tcp-many" => sockets::tcp_many(argument),
            "wait" => sockets::wait(argument),
            "udp" => sockets::udp(argument),
            "listen" => sockets::listen(argument),
            "bind-udp" => sockets::bind_udp(argument),
            "resolve" => sockets::resolve(argument),
            "sockets" => sockets::hoard(),
            "handles" => hoard(),
            "sleep" => {
                subscribe_duration(number(argument) * 1_000_000_000).block();
                Ok("slept".into())
            }
            "poll" => {
                let pollables: Vec<_> =
                    (0..100).map(|_| subscribe_duration(number(argument) * 1_000_000_000)).collect();
                // Each of them many times over.
                let all: Vec<_> = pollables.iter().cycle().take(10_000).collect();
                Ok(poll(&all).len().to_string())
            }
            "random" => Ok(get_random_bytes(number(argument)).len().to_string()),
            "print" => print(argument.as_bytes()),
            "flood" => (0..number(argument))
                .try_for_each(|n| print(format!("line {n}\n").as_bytes()).map(drop))
                .map(|()| "flooded".into()),
            // One line that doesn't end.
            "endless-line" => {
                (0..number(argument)).try_for_each(|_| print(&[b'x'; 4096]).map(drop)).map(|()| "printed".into())
            }
            "zeroes" => get_stdout()
                .write_zeroes(number(argument))
                .map(|()| "written".into())
                .map_err(|error| format!("{error:?}")),
            "utf8" => {
                // What a component says is text need not be.
                Ok(unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xfe, b'b']) })
            }
            other => {
                return Err(PluginError::InvalidRequest(format!("no such behaviour: {other}")));
            }
        };
        outcome.map(|client_id| Some(Identity { client_id })).map_err(PluginError::Failed)
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

/// Takes handles and gives none back.
fn hoard() -> Outcome {
    loop {
        forget(subscribe_duration(1));
    }
}

fn print(bytes: &[u8]) -> Outcome {
    put(&get_stdout(), bytes).map(|()| "printed".into())
}

fn put(stream: &OutputStream, bytes: &[u8]) -> Result<(), String> {
    bytes
        .chunks(4096)
        .try_for_each(|chunk| stream.blocking_write_and_flush(chunk))
        .map_err(|error| format!("{error:?}"))
}

/// All that a stream has, as text.
fn drain(stream: &InputStream) -> String {
    let mut all = Vec::new();
    while let Ok(bytes) = stream.blocking_read(1 << 16) {
        all.extend(bytes);
    }
    String::from_utf8_lossy(&all).into_owned()
}
