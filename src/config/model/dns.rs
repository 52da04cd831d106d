//! `server.dns`: how names are resolved, where that is not as the machine's files say.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use frontgate_filters::words::spanned::Spanned;
use schemars::JsonSchema;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::forms::schemas;

/// How names are resolved. What is not said here is as /etc/resolv.conf and /etc/hosts say, which are read again when they change.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// The DNS servers, in the order in which they are asked, in place of those in /etc/resolv.conf: `10.0.0.53`, or `127.0.0.1:8600` where the
    /// port is not 53.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<Spanned<DnsServer>>>,
    /// The domains that a name is tried in which does not end with a dot, in place of those in /etc/resolv.conf; `[]` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Vec<Spanned<String>>>,
    /// A table of hosts in place of /etc/hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Spanned<PathBuf>>,
}

/// The address of a DNS server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsServer(pub SocketAddr);

impl<'de> Deserialize<'de> for DnsServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
        let expected = |_| de::Error::custom(format!("`{text}` is not the address of a DNS server, as in 10.0.0.53 or 127.0.0.1:8600"));
        address.map(Self).map_err(expected)
    }
}

impl Serialize for DnsServer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

schemas! {
    DnsServer: "DnsServer" = |_generator| schemars::json_schema!({"description": "IP address, with a port where it is not 53.", "type": "string"});
}
