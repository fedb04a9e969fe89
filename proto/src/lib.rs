//! The messages of GOST's gRPC plugin protocol.
//!
//! Package `proto`, service, method and field names and numbers are GOST's, so that either side may be GOST's own: see
//! the `.proto` files. They hold no logic; `drawspan-bridge-grpc` maps them to the records of the WIT contract.

#![allow(missing_docs, reason = "generated from the .proto files, which document the fields")]
#![allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated code")]

include!(concat!(env!("OUT_DIR"), "/proto.rs"));
