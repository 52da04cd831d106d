//! `discover`: where the endpoints of an upstream come from that come and go.

use std::path::PathBuf;

use frontgate_filters::filter::build::Secret;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an upstream's endpoints come from, beside those in `endpoints`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Discover {
    /// A file in JSON or YAML, read again whenever it changes: a list of endpoints, written as in `endpoints`, or of groups as in Prometheus'
    /// file_sd, `{targets: [10.0.0.1:80], labels: {version: v2, weight: "3"}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Spanned<PathBuf>>,
    /// An etcd cluster in which services register themselves below `prefix`. Needs a frontgate that is built with the feature `etcd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<Spanned<Etcd>>,
    /// With `etcd`: what the keys of the services begin with, with a slash at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Spanned<String>>,
    /// With `etcd`: what services write about themselves.
    #[serde(skip_serializing_if = "EtcdFormat::is_auto")]
    pub format: EtcdFormat,
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

/// An etcd cluster.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Etcd {
    /// The URLs of its members, `http://10.0.0.1:2379` or `https://…`: one is followed, another one where that fails.
    pub endpoints: Vec<Spanned<String>>,
    /// The user that it is asked as; without one it is asked as nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Spanned<String>>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// How members with `https://` are verified, and what is shown to them; by default the system's authorities and nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Spanned<EtcdTls>>,
}

/// TLS to etcd.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct EtcdTls {
    /// The file of the authorities that it is verified with, in PEM, in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Spanned<PathBuf>>,
    /// The file of the certificate that is shown to it, in PEM, followed by those that it was issued by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<Spanned<PathBuf>>,
    /// The file of the private key of `cert`, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Spanned<PathBuf>>,
}

/// What services write about themselves in etcd.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum EtcdFormat {
    /// Any of the others, each value as it looks.
    #[default]
    Auto,
    /// `10.0.0.1:8080`.
    Plain,
    /// `{"addr": "10.0.0.1:8080", "version": "v2", "weight": 3}`.
    Json,
    /// `{"Op": 0, "Addr": "10.0.0.1:8080"}`, gRPC naming of etcd's client.
    Grpc,
    /// `{"endpoints": ["http://10.0.0.1:8000"], "version": "v2"}`, of which that for the upstream's protocol is taken.
    Kratos,
}

impl EtcdFormat {
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}
