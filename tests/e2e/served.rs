//! [`Served`]: one component, and the three ways to ask it.

use std::net::SocketAddr;

use drawspan_testkit::{Dir, Gateway, PATIENCE, eventually};

/// A component of `guest-examples`, in a server of its own.
pub(crate) struct Served {
    server: Gateway,
    blocks: [String; 3],
}

impl Served {
    /// Serves the component of `module`, whose block has these keys besides (JSON, without its braces).
    pub(crate) async fn start(module: &str, keys: &str) -> Self {
        let folder = if module == "auther" { "authenticator" } else { module };
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples");
        let file = format!("{examples}/{folder}-rust/{folder}.wasm");
        let plugin = format!("{{{keys}}}");
        let (grpc, http) = (["--grpc", "127.0.0.1:0"], ["--http", "127.0.0.1:0"]);
        let args = [&["plugin", "serve", &file, "--plugin", &plugin][..], &grpc, &http].concat();
        let server = Gateway::spawn(Dir::new(), &args);
        let blocks = [
            format!("{{type: wasm, addr: '{file}', {keys}}}"),
            format!("{{type: grpc, addr: '{}'}}", listening(&server, "grpc").await),
            format!("{{type: http, addr: 'http://{}/{module}'}}", listening(&server, "http").await),
        ];
        Self { server, blocks }
    }

    /// The `plugin:` blocks of a gateway that asks the component itself, its gRPC service and its HTTP endpoint.
    pub(crate) fn blocks(&self) -> &[String] {
        &self.blocks
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        self.server.log_text()
    }
}

/// Where `plugin serve` listens, once it does.
pub(crate) async fn listening(server: &Gateway, protocol: &str) -> SocketAddr {
    eventually("plugin serve to listen", PATIENCE, async || {
        let log = server.log_text();
        let at = log.find(&format!("/{protocol}"))?;
        log[..at].rsplit(' ').next()?.parse().ok()
    })
    .await
}
