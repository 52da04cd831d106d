//! The filters of the gateway and the chain that runs them.
//!
//! A [`filter::Filter`] sees a request on its way in and may leave a [`filter::ResponseFilter`] behind for the way out. Only
//! [`chain`] knows their order; the filters know `pingora-http`'s header types and each other's [`filter::Facts`], no sockets.
//! How to write one is in this crate's README.

// The contract.
pub mod chain;
pub mod filter;
pub mod registry;
pub mod reply;

// What filters are written with.
pub mod clock;
pub mod coding;
pub mod count;
pub mod device;
pub mod grpc;
pub mod head;
pub mod json;
pub mod words;

// The kinds, a folder each.
pub mod circuit_breaker;
pub mod compress;
pub mod cors;
pub mod fault;
pub mod grpc_web;
pub mod headers;
pub mod ip_access;
pub mod jwt;
pub mod rate_limit;
pub mod rbac;
pub mod trim;
pub mod version_header;
