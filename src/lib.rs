//! Frontgate: a BFF edge gateway on Pingora.
//!
//! The data flow, from text to bytes on the wire:
//!
//! - [`config`] reads YAML into typed models and says everything that is wrong with it, with places.
//! - [`snapshot`] compiles a checked configuration: names resolved, routes, pools and filter chains ready.
//! - [`gateway`] holds the snapshot in force; a reload swaps it, and each request pins the one it began with.
//! - [`door`] guards each connection: deadlines, one strict reading of HTTP/1, refusals in our own words.
//! - [`proxy`] translates Pingora's phases: hygiene, [`router`], the filters' chain, the pool of [`upstream`], the way back.
//! - [`telemetry`] counts and writes the access log; [`admin`] shows health and metrics and takes reloads.
//! - [`server`] starts and drains all of it; [`cli`] is what people type.

pub mod action;
pub mod admin;
pub mod cli;
pub mod config;
pub mod decide;
pub mod door;
pub mod explain;
pub mod gateway;
pub mod proxy;
pub mod refusals;
pub mod reload;
pub mod request_id;
pub mod router;
pub mod server;
pub mod snapshot;
pub mod status;
pub mod telemetry;
pub mod upstream;

pub use server::{Running, start};
