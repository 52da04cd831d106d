//! Frontgate: a BFF edge gateway on Pingora. [`config::load`] a configuration, [`start`] it, and hold on to what is [`Running`].
//!
//! The data flow, from text to bytes on the wire:
//!
//! - `config` reads YAML into typed models and says everything that is wrong with it, with places.
//! - `snapshot` compiles a checked configuration: names resolved, routes, upstreams and filter chains ready.
//! - `gateway` holds the snapshot in force; `reload` swaps it, and each request pins the one it began with.
//! - `door` accepts connections: deadlines, one strict reading of HTTP/1, refusals in our own words.
//! - `decide` says what becomes of a request: hygiene, `router`, the filters' chain, and the `action` that the route leads to. `explain` asks
//!   it the same without serving.
//! - `proxy` translates Pingora's phases; the `exchange` behind it makes attempts at an `upstream` and brings the answer back.
//! - `compose` answers a request from several calls that the gateway makes itself.
//! - `discovery` asks the sources of an upstream's endpoints, and gives its pool what they come to.
//! - `tracing` makes spans of requests and sends them to a collector.
//! - `telemetry` counts and writes the access log; `admin` shows health, metrics and a dashboard, and takes reloads, in the types of `status`.
//! - `history` keeps the configurations that were accepted of late, so that `reload` can put one of them in force again.
//! - `files` reads what a configuration names, within bounds; `watch` tells when a file may have changed; `certificates` what is in such files for TLS.
//! - `suite` plays cases through a gateway without sockets, for `frontgate test`.
//! - `overload` measures whether there is more to do than can be done, and says what is refused for it.
//! - `supervisor` tells systemd what the process is about, where that wants to know.
//! - `server` starts and drains all of it, and takes over sockets of others; `cli` is what people type.

#![warn(unreachable_pub)]

mod action;
mod admin;
mod certificates;
mod changes;
pub mod cli;
mod compose;
pub mod config;
mod decide;
mod discovery;
mod door;
mod exchange;
mod explain;
mod files;
mod gateway;
mod gathered;
mod history;
mod mirror;
mod nearest;
mod overload;
mod panics;
mod proxy;
#[cfg(test)]
mod reference;
mod refusals;
mod reload;
mod request_id;
mod router;
mod server;
mod snapshot;
mod status;
mod suite;
mod supervisor;
mod telemetry;
mod terminal;
mod tracing;
mod upstream;
mod via;
mod watch;
mod websocket;
mod who;

pub use server::{Running, start};
