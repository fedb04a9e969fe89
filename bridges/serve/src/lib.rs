//! Makes a plugin a gRPC and an HTTP plugin server, as an unmodified GOST asks them.

mod grpc;
mod http;
