//! [`Redis`]: a real Redis server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A Redis server on 127.0.0.1 that keeps nothing on disk. Dropping it kills it.
pub struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    /// An empty one, as soon as it accepts connections; with a password, it wants that. `redis-server` must be installed.
    pub fn start(port: u16, password: Option<&str>) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        if let Some(password) = password {
            command.args(["--requirepass", password]);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().expect("redis-server is installed");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("Ready to accept connections")), "it doesn't start");
        // What it says later must go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
