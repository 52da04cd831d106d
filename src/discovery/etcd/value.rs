//! What services write about themselves under a key, in the forms that are common.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::config::model::EtcdFormat;
use crate::discovery::Found;

/// The longest value that is read, in bytes.
const LONGEST: usize = 64 << 10;

/// `{"addr": "10.0.0.1:8080", "version": "v2", "weight": 3}`, our own form.
#[derive(Deserialize)]
struct Ours {
    #[serde(alias = "address")]
    addr: SocketAddr,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    weight: Option<Weight>,
}

/// A number, or text that is one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Weight {
    Number(u32),
    Text(String),
}

/// `{"Op": 0, "Addr": "10.0.0.1:8080", "Metadata": …}`: gRPC naming, as etcd's own client for Go writes it.
#[derive(Deserialize)]
struct Naming {
    /// 1 for one that is gone.
    #[serde(rename = "Op", default)]
    op: u8,
    #[serde(rename = "Addr")]
    addr: SocketAddr,
}

/// `{"endpoints": ["http://10.0.0.1:8000", "grpc://10.0.0.1:9000"], "version": "v2"}`, as Kratos writes it.
#[derive(Deserialize)]
struct Kratos {
    endpoints: Vec<String>,
    #[serde(default)]
    version: Option<String>,
}

/// The endpoint that a value names, or that it names none; nothing where it cannot be understood. Of several addresses for several protocols
/// that for HTTP/2 is taken where the upstream is spoken to in it.
pub(super) fn endpoint(value: &[u8], format: EtcdFormat, http2: bool) -> Option<Option<Found>> {
    if value.len() > LONGEST {
        return None;
    }
    match format {
        EtcdFormat::Plain => plain(value),
        EtcdFormat::Json => ours(value),
        EtcdFormat::Grpc => naming(value),
        EtcdFormat::Kratos => kratos(value, http2),
        EtcdFormat::Auto => plain(value).or_else(|| ours(value)).or_else(|| naming(value)).or_else(|| kratos(value, http2)),
    }
}

/// Why a value names no endpoint, of which nothing is told but where it is wrong.
pub(super) fn why_not(value: &[u8], format: EtcdFormat) -> String {
    let looks_like_json = value.trim_ascii_start().first() == Some(&b'{');
    match format {
        _ if value.len() > LONGEST => format!("it is longer than {} KiB", LONGEST >> 10),
        EtcdFormat::Plain => "it is no address such as 10.0.0.1:8080".to_owned(),
        EtcdFormat::Auto if !looks_like_json => "it is neither an address such as 10.0.0.1:8080 nor a JSON object".to_owned(),
        _ => match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(value) {
            Err(error) => format!("it is no JSON object (line {}, column {})", error.line(), error.column()),
            Ok(map) => {
                let keys = match format {
                    EtcdFormat::Json => &["addr", "address"][..],
                    EtcdFormat::Grpc => &["Addr"],
                    EtcdFormat::Kratos => &["endpoints"],
                    EtcdFormat::Plain | EtcdFormat::Auto => &["addr", "address", "Addr", "endpoints"],
                };
                match keys.iter().find(|key| map.contains_key(**key)) {
                    None => format!("it has no key `{}`", keys.join("`, `")),
                    Some(&"endpoints") => "`endpoints` has no URL of http, https, grpc or grpcs with an IP address and a port".to_owned(),
                    Some(key) if !map[*key].as_str().is_some_and(is_address) => format!("`{key}` is no IP address with a port"),
                    Some(_) => "`weight` is no whole number of 0 or more, or `version` is no printable ASCII without spaces".to_owned(),
                }
            }
        },
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok_and(|address| address.port() > 0)
}

fn plain(value: &[u8]) -> Option<Option<Found>> {
    found(std::str::from_utf8(value).ok()?.trim().parse().ok()?, None, 1)
}

fn ours(value: &[u8]) -> Option<Option<Found>> {
    let ours: Ours = serde_json::from_slice(value).ok()?;
    let weight = match ours.weight {
        None => 1,
        Some(Weight::Number(number)) => number,
        Some(Weight::Text(text)) => text.parse().ok()?,
    };
    found(ours.addr, ours.version, weight)
}

fn naming(value: &[u8]) -> Option<Option<Found>> {
    let naming: Naming = serde_json::from_slice(value).ok()?;
    if naming.op == 1 { Some(None) } else { found(naming.addr, None, 1) }
}

fn kratos(value: &[u8], http2: bool) -> Option<Option<Found>> {
    let kratos: Kratos = serde_json::from_slice(value).ok()?;
    let at = |scheme: &str| kratos.endpoints.iter().find_map(|url| authority(url, scheme));
    let schemes = if http2 { ["grpcs", "grpc", "https", "http"] } else { ["https", "http", "grpcs", "grpc"] };
    found(schemes.into_iter().find_map(at)?, kratos.version.clone(), 1)
}

/// The address in a URL of this scheme.
fn authority(url: &str, scheme: &str) -> Option<SocketAddr> {
    let rest = url.strip_prefix(scheme)?.strip_prefix("://")?;
    rest.split(['/', '?']).next()?.parse().ok()
}

fn found(address: SocketAddr, version: Option<String>, weight: u32) -> Option<Option<Found>> {
    let version = version.filter(|version| !version.is_empty());
    let is_sound = version.as_ref().is_none_or(|version| version.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    (address.port() > 0 && is_sound).then_some(Some(Found { address, weight, version, name: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(address: &str, version: Option<&str>, weight: u32) -> Option<Option<Found>> {
        found(address.parse().expect("an address"), version.map(str::to_owned), weight)
    }

    #[test]
    fn each_form_is_known_by_what_it_looks_like() {
        for (value, expected) in [
            ("10.0.1.10:8080", one("10.0.1.10:8080", None, 1)),
            (" [::1]:80\n", one("[::1]:80", None, 1)),
            (r#"{"addr":"10.0.1.10:8080","version":"v1.2","weight":3}"#, one("10.0.1.10:8080", Some("v1.2"), 3)),
            (r#"{"address":"10.0.1.10:8080","weight":"0","zone":"a","version":""}"#, one("10.0.1.10:8080", None, 0)),
            (r#"{"Op":0,"Addr":"10.0.1.10:8080","Metadata":{"a":1}}"#, one("10.0.1.10:8080", None, 1)),
            (r#"{"Op":1,"Addr":"10.0.1.10:8080"}"#, Some(None)),
            (
                r#"{"id":"7","name":"shop","version":"v3","endpoints":["http://10.0.0.1:8000","grpc://10.0.0.1:9000"]}"#,
                one("10.0.0.1:8000", Some("v3"), 1),
            ),
            (r#"{"endpoints":["grpc://10.0.0.1:9000?isSecure=false"]}"#, one("10.0.0.1:9000", None, 1)),
        ] {
            assert_eq!(endpoint(value.as_bytes(), EtcdFormat::Auto, false), expected, "{value}");
        }
        let both = br#"{"endpoints":["http://10.0.0.1:8000","grpc://10.0.0.1:9000"]}"#;
        assert_eq!(endpoint(both, EtcdFormat::Auto, true), one("10.0.0.1:9000", None, 1));
    }

    #[test]
    fn what_is_none_of_them_is_not_understood() {
        for value in [
            "",
            "shop",
            "shop.internal:80",
            "10.0.0.1",
            "10.0.0.1:0",
            "{}",
            "[]",
            "null",
            r#"{"addr":"shop:80"}"#,
            r#"{"addr":"10.0.0.1:80","weight":-1}"#,
            r#"{"addr":"10.0.0.1:80","weight":"much"}"#,
            r#"{"addr":"10.0.0.1:80","version":"a b"}"#,
            r#"{"endpoints":[]}"#,
            r#"{"endpoints":["tcp://10.0.0.1:80"]}"#,
            r#"{"addr":"10.0.0.1:80""#,
        ] {
            assert_eq!(endpoint(value.as_bytes(), EtcdFormat::Auto, false), None, "{value}");
        }
        assert_eq!(endpoint(&[0xff, 0xfe], EtcdFormat::Auto, false), None);
        assert_eq!(endpoint(&[b' '; LONGEST + 1], EtcdFormat::Auto, false), None);
    }

    #[test]
    fn why_a_value_is_not_understood_is_told_without_the_value() {
        for (value, format, words) in [
            ("shop.internal:80", EtcdFormat::Auto, "it is neither an address such as 10.0.0.1:8080 nor a JSON object"),
            ("shop", EtcdFormat::Plain, "it is no address such as 10.0.0.1:8080"),
            (r#"{"addr":"10.0.0.1:80""#, EtcdFormat::Auto, "it is no JSON object (line 1, column 21)"),
            (r#"{"adr":"10.0.0.1:80"}"#, EtcdFormat::Json, "it has no key `addr`, `address`"),
            (r#"{"addr":"shop:80"}"#, EtcdFormat::Auto, "`addr` is no IP address with a port"),
            (r#"{"Addr":"10.0.0.1:0"}"#, EtcdFormat::Grpc, "`Addr` is no IP address with a port"),
            (r#"{"addr":"10.0.0.1:80","weight":-1}"#, EtcdFormat::Auto, "`weight` is no whole number"),
            (r#"{"endpoints":["tcp://10.0.0.1:80"]}"#, EtcdFormat::Kratos, "`endpoints` has no URL of http"),
        ] {
            assert_eq!(endpoint(value.as_bytes(), format, false), None, "{value}");
            let why = why_not(value.as_bytes(), format);
            assert!(why.contains(words), "{value}: {why}");
        }
        assert_eq!(why_not(&[b' '; LONGEST + 1], EtcdFormat::Auto), "it is longer than 64 KiB");
    }

    #[test]
    fn a_form_that_is_asked_for_is_the_only_one() {
        let (plain, ours) = (b"10.0.1.10:8080".as_slice(), br#"{"addr":"10.0.1.10:8080"}"#.as_slice());

        assert!(endpoint(plain, EtcdFormat::Plain, false).is_some() && endpoint(ours, EtcdFormat::Plain, false).is_none());
        assert!(endpoint(ours, EtcdFormat::Json, false).is_some() && endpoint(plain, EtcdFormat::Json, false).is_none());
        assert!(endpoint(ours, EtcdFormat::Grpc, false).is_none() && endpoint(ours, EtcdFormat::Kratos, false).is_none());
    }
}
