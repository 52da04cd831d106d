//! Where the endpoints of an upstream come from that are not written as addresses.

pub(crate) mod dns;
