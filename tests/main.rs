//! One binary over real sockets. Each module is one behaviour:
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

mod harness;

/// Who may ask: tokens, key sets that rotate, roles, preflights.
mod auth;
/// Upstreams that fail behind a circuit breaker: fallbacks, operators, recovery.
mod breaker;
/// A pool that fails in every way there is, under steady load, over and over.
mod chaos;
/// Pools that know which endpoints live: retries, probes, ejection, hashing, adaptive timeouts.
mod endpoints;
/// Clients and origins that are slow, gone or broken.
mod failures;
/// What a request must be: one reading, one host, one path, limits.
mod hygiene;
/// Reload, drain, health, metrics, and the binary itself.
mod lifecycle;
/// Rate limits: refusals, headers, requests in flight, reload.
mod limits;
/// Real peers from their packages: nginx, Python, curl, wrk.
mod peers;
/// What the filters' documentation shows is a configuration.
mod readmes;
/// Requests through to an origin and back: pools, rewrites, filters, keep-alive.
mod traffic;
/// JSON answers that are trimmed on their way.
mod trim;
/// Public collections of malformed requests, replayed over raw sockets.
mod vectors;
