//! HTTP: one endpoint per module.
