//! The filters of the gateway and the chain that runs them.
//!
//! A [`filter::Filter`] sees a request on its way in and may leave a [`filter::ResponseFilter`] behind for the way out. Only
//! [`chain`] knows their order; the filters know `pingora-http`'s header types and each other's [`filter::Facts`], no sockets.
//! How to write one is in this crate's README.

pub mod build;
pub mod chain;
pub mod circuit_breaker;
pub mod condition;
pub mod config;
pub mod cors;
pub mod device;
pub mod filter;
pub mod head;
pub mod jwt;
pub mod metrics;
pub mod path;
pub mod pattern;
pub mod rate_limit;
pub mod rbac;
pub mod reply;
pub mod selector;
pub mod spanned;
pub mod stripe;
pub mod trim;
pub mod units;
pub mod version_header;
