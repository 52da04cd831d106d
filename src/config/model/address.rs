//! Where an endpoint listens, as it is written: an IP address or a name, with a port.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use super::forms::{meant, schemas};

/// An IP address or a name, with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `10.0.0.1:80`, `[::1]:80`.
    Ip(SocketAddr),
    /// `users.internal:8080`: each address that the name has is an endpoint.
    Name(Name),
}

/// A name of hosts with a port, such as `users.internal:8080`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// In lower case; with a dot at its end no search domain is tried.
    pub host: Arc<str>,
    /// Where each of its addresses is spoken to.
    pub port: u16,
}

impl Address {
    /// Reads what is written; the error says what was probably meant.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let bare = text.split_once("://").map_or(text, |(_, bare)| bare).trim_end_matches('/');
        let (host, port) = bare.rsplit_once(':').map_or((bare, None), |(host, port)| (host, Some(port)));
        if !is_host_name(host) {
            return Err(match text.split_once("://") {
                Some(("https", _)) => format!("`{text}` is not an address: write it without https://, and `tls: {{}}` in the upstream"),
                _ => format!("`{text}` is neither an IP address and a port nor a name and a port{}", meant(text)),
            });
        }
        let Some(port) = port else {
            return Err(match text.starts_with("https://") {
                true => format!("`{text}` is a URL: write {host}:443, and `tls: {{}}` in the upstream"),
                false => format!("`{text}` has no port: write {host}:8080"),
            });
        };
        let Ok(port) = port.parse() else { return Err(format!("`{port}` is not a port, as in {host}:8080")) };
        match text.split_once("://") {
            None => Ok(Self::Name(Name { host: host.to_ascii_lowercase().into(), port })),
            Some(("https", _)) => Err(format!("`{text}` is a URL: write {bare}, and `tls: {{}}` in the upstream")),
            Some(_) => Err(format!("`{text}` is a URL: write {bare}")),
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Name(name) => name.port,
        }
    }

    /// The name, where it is one.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Ip(_) => None,
            Self::Name(name) => Some(name),
        }
    }
}

impl Name {
    /// Its host as certificates and SNI say it: without a dot at its end.
    pub fn server_name(&self) -> &str {
        self.host.strip_suffix('.').unwrap_or(&self.host)
    }

    /// Whether it means this machine, whatever a server would say (RFC 6761, section 6.3).
    pub fn is_local(&self) -> bool {
        let host = self.server_name();
        host == "localhost" || host.ends_with(".localhost")
    }

    /// What a client of that name sends as Host: its port is left out where that is the scheme's own.
    pub fn authority(&self, tls: bool) -> String {
        match self.port {
            443 if tls => self.server_name().to_owned(),
            80 if !tls => self.server_name().to_owned(),
            port => format!("{}:{port}", self.server_name()),
        }
    }
}

/// Whether this can be the name of a host, as RFC 1123 has them and DNS carries them, with the underscores that container names bring. What
/// ends in a number is an address, if anything (WHATWG URL, section 3.5).
pub fn is_host_name(text: &str) -> bool {
    let bare = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = bare.rsplit('.').next().unwrap_or_default();
    bare.len() <= 253 && bare.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

schemas! {
    Address: "Address" = |_generator| schemars::json_schema!({"description": "IP address or name, and port.", "type": "string"});
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_or_a_name_with_a_port() {
        for text in
            ["10.0.0.1:80", "[::1]:80", "users.internal:8080", "localhost:1", "api_1:65535", "a.:80", "1a:80", "xn--bcher-kva.example:80"]
        {
            let address = Address::parse(text).expect("an address");
            assert_eq!(address.to_string(), text);
            assert_eq!(address.name().is_some(), text.parse::<SocketAddr>().is_err(), "{text}");
        }
        assert_eq!(Address::parse("Users.INTERNAL:80"), Address::parse("users.internal:80"), "case says nothing");
    }

    #[test]
    fn what_is_none_is_answered_with_what_was_meant() {
        for (text, words) in [
            ("users.internal", "`users.internal` has no port: write users.internal:8080"),
            ("http://users.internal:80/", "is a URL: write users.internal:80"),
            ("https://users.internal", "is a URL: write users.internal:443, and `tls: {}` in the upstream"),
            ("https://users.internal:443", "write users.internal:443, and `tls: {}` in the upstream"),
            ("https://10.0.0.1", "`tls: {}` in the upstream"),
            ("users.internal:http", "`http` is not a port, as in users.internal:8080"),
            ("users.internal:80000", "`80000` is not a port"),
            ("10.0.0.1", "the port is missing, as in 10.0.0.1:8080"),
            ("10.0.0.300:80", "neither an IP address and a port nor a name and a port"),
            ("::1:8080", "write \"[::1]:8080\""),
            ("bücher.example:80", "neither an IP address"),
            ("a..b:80", "neither an IP address"),
            ("-a:80", "neither an IP address"),
            ("user@host:80", "neither an IP address"),
            ("", "neither an IP address"),
        ] {
            let why = Address::parse(text).expect_err("no address");
            assert!(why.contains(words), "{why}");
        }
        assert!(Address::parse(&format!("{}:80", ["a".repeat(63).as_str(); 4].join("."))).is_err(), "longer than DNS carries");
    }

    #[test]
    fn a_host_is_said_as_clients_of_the_name_would() {
        let name = |text: &str| match Address::parse(text) {
            Ok(Address::Name(name)) => name,
            other => panic!("{other:?}"),
        };

        assert_eq!(name("shop.internal.:443").authority(true), "shop.internal");
        assert_eq!(name("shop.internal:443").authority(false), "shop.internal:443");
        assert_eq!(name("shop.internal:80").authority(false), "shop.internal");
        assert_eq!(name("shop.internal:8443").authority(true), "shop.internal:8443");
    }
}
