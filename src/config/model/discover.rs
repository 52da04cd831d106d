//! `discover`: where the endpoints of an upstream come from that come and go.

use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an upstream's endpoints come from, beside those in `endpoints`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Discover {
    /// The name of hosts, such as `users.internal`: each of its addresses is an endpoint, at `port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Spanned<String>>,
    /// Where the addresses of `dns` are spoken to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Spanned<u16>>,
    /// The name of a service, such as `_http._tcp.shop.internal`: its SRV records say hosts, ports and weights. Of their priorities the lowest
    /// number counts that has an address. Host and SNI are the name without what begins with `_`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_srv: Option<Spanned<String>>,
    /// How long an answer of the DNS counts at most; its own time to live counts from 1s to this. By default 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Spanned<Duration>>,
}
