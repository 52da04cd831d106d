//! Networks of addresses, as lists of who may do something have them.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A network in CIDR notation, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map(Self).map_err(|_| de::Error::custom(format!("`{text}` is neither a network such as 10.0.0.0/8 nor an IP address")))
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"description": "A network such as 10.0.0.0/8, or one address.", "type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_written_with_its_length_or_is_one_address() {
        let read = |text: &str| serde_json::from_value::<Network>(text.into());
        for (text, whole) in
            [("10.0.0.0/8", "10.0.0.0/8"), ("192.0.2.7", "192.0.2.7/32"), ("2001:db8::/32", "2001:db8::/32"), ("::1", "::1/128")]
        {
            let network = read(text).expect(text);
            assert_eq!(serde_json::to_value(network).expect("text"), whole);
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "10.0.0.0/8/8", "shop.example", "[::1]"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
