//! gRPC: one service per module.
