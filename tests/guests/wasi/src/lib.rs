//! An authenticator that tries what WASI offers: the user name says what, the match in `authenticate` is the list.
//!
//! The password is the argument where one is needed. A refusal of the host becomes `failed` with the guest's error text.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::BuildHasher,
    io,
    net::{TcpStream, ToSocketAddrs, UdpSocket},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use exports::drawspan::plugin::authenticator::{
    AuthenticationRequest, Guest, Identity, PluginError,
};

wit_bindgen::generate!({ path: "../../../wit/0.1.0", world: "authenticator-plugin" });

export!(Wasi);

struct Wasi;

impl Guest for Wasi {
    fn authenticate(request: AuthenticationRequest) -> Result<Option<Identity>, PluginError> {
        let argument = request.password;
        let answer = match request.username.as_str() {
            "ok" => Ok("ok".into()),
            "stdout" => {
                println!("{argument}");
                Ok("printed".into())
            }
            "stderr" => {
                eprintln!("{argument}");
                Ok("printed".into())
            }
            "panic" => panic!("{argument}"),
            "exit" => std::process::exit(argument.parse().unwrap_or(1)),
            "env" => Ok(std::env::vars()
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
                .join(";")),
            "args" => Ok(std::env::args().collect::<Vec<_>>().join(" ")),
            "read" => fs::read_to_string(&argument),
            "list" => list(&argument),
            "write" => fs::write(&argument, "written by a guest").map(|()| "written".into()),
            "tcp" => TcpStream::connect(&argument).map(|_| "connected".into()),
            "udp" => send_datagram(&argument),
            "resolve" => (argument.as_str(), 0)
                .to_socket_addrs()
                .map(|found| format!("{:?}", found.collect::<Vec<_>>())),
            "sleep" => {
                thread::sleep(Duration::from_secs(argument.parse().unwrap_or(60)));
                Ok("slept".into())
            }
            // A hash state is seeded from the host's random numbers.
            "random" => Ok(RandomState::new().hash_one(0).to_string()),
            "clock" => Ok(format!(
                "{:?} {:?}",
                SystemTime::now().duration_since(UNIX_EPOCH),
                Instant::now()
            )),
            other => {
                return Err(PluginError::InvalidRequest(format!(
                    "no such behaviour: {other}"
                )));
            }
        };
        answer
            .map(|client_id| Some(Identity { client_id }))
            .map_err(|error| PluginError::Failed(error.to_string()))
    }
}

/// The names in a folder, sorted.
fn list(folder: &str) -> io::Result<String> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names.join(" "))
}

fn send_datagram(address: &str) -> io::Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket
        .send_to(b"sent by a guest", address)
        .map(|_| "sent".into())
}
