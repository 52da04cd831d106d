//! One binary over real sockets. Each module is one behaviour:
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

mod harness;

/// Clients and origins that are slow, gone or broken.
mod failures;
/// What a request must be: one reading, one host, one path, limits.
mod hygiene;
/// Reload, drain, health, metrics, and the binary itself.
mod lifecycle;
/// Rate limits: refusals, headers, requests in flight, reload.
mod limits;
/// Requests through to an origin and back: pools, rewrites, filters, keep-alive.
mod traffic;
/// Public collections of malformed requests, replayed over raw sockets.
mod vectors;
