//! Selectors: one way to name a fact of a request, the same for every filter that asks.
//!
//! `client_ip`, `route`, `device`, `method`, `host`, `path`, `header.X-Api-Key`, `cookie.sid`, `query.tenant`, `claim.realm.roles`. A claim's
//! path is dotted, and a name that holds dots itself is quoted: `claim."https://x/roles"`.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use http::HeaderName;
use http::header::HOST;
use pingora_http::RequestHeader;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::claims::{Claim, Claims};
use super::fields;
use crate::filter::{ClientCertificate, Facts};

/// The name of a fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The client's address.
    ClientIp,
    /// The route's name.
    Route,
    /// The class of the client's device.
    Device,
    /// The request's method.
    Method,
    /// The host that the request names: in lower case, without port and closing dot, as routes compare it.
    Host,
    /// The normalised path.
    Path,
    /// The first value of a header.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query, percent-decoded.
    Query(String),
    /// A claim of the verified token.
    Claim(ClaimPath),
    /// `https` where the client speaks TLS to the gateway, else `http`.
    Scheme,
    /// The name that the client asked for in TLS.
    TlsSni,
    /// The version of TLS.
    TlsVersion,
    /// The common names of the client's certificate.
    ClientCertCn,
    /// The subject of the client's certificate.
    ClientCertSubject,
    /// The subject alternative names of the client's certificate.
    ClientCertSan,
    /// The version that the route's canary has chosen for the request: one of its variants', or `stable`.
    Version,
}

/// Every form of a selector and what it finds, in the order in which people are told.
pub const FORMS: &[(&str, &str)] = &[
    ("client_ip", "The client's address: the peer's, or what a trusted proxy says."),
    ("route", "The route's name."),
    ("device", "The class of the client's device (`devices`, or the built-in table)."),
    ("method", "The method."),
    ("host", "The host that the request names, in lower case, without its port."),
    ("path", "The path in its normal form, before it is rewritten; without the query."),
    ("scheme", "`https` where the client speaks TLS to the gateway, else `http`."),
    ("tls.sni", "The name that the client asked for in TLS; nothing in clear text, or where it named none."),
    ("tls.version", "`1.2` or `1.3`; nothing in clear text."),
    ("client_cert.cn", "The common names of the client's certificate; nothing where it showed none (`client_auth`)."),
    (
        "client_cert.subject",
        "Its subject: `CN=alice, O=Shop`, in the certificate's order; what separates there is escaped in values (RFC 4514).",
    ),
    ("client_cert.san", "Its subject alternative names: DNS names, e-mail addresses, URIs, IP addresses."),
    ("version", "What `canary` has chosen: a version, or `stable`; nothing on a route without one."),
    ("header.NAME", "The first value of a header."),
    ("cookie.NAME", "A cookie."),
    ("query.NAME", "A parameter of the query, percent-decoded."),
    (
        "claim.NAME",
        "A claim of the token that a `jwt` before has verified: a dotted path; a name with dots is quoted. A list is joined by commas.",
    ),
];

/// Where a claim is in the token: names from the outside in, never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath(Box<[String]>);

impl Selector {
    /// The fact of this request, byte by byte: what a client sends need not be text. Nothing where it has none. A claim that is an array is
    /// joined by commas, as are several names of a certificate, and an object is no fact.
    pub fn find<'r>(&self, head: &'r RequestHeader, facts: &'r Facts) -> Option<Cow<'r, [u8]>> {
        let text = |text: &'r str| Cow::Borrowed(text.as_bytes());
        match self {
            Self::ClientIp => Some(facts.client_ip.to_string().into_bytes().into()),
            Self::Route => Some(text(&facts.route)),
            Self::Device => facts.device.as_deref().map(text),
            Self::Method => Some(text(head.method.as_str())),
            Self::Host => host(head),
            Self::Path => Some(text(head.uri.path())),
            Self::Header(name) => head.headers.get(name).map(|value| value.as_bytes().into()),
            Self::Cookie(name) => cookie(head, name).map(Cow::Borrowed),
            Self::Query(name) => query(head.uri.query()?, name),
            Self::Claim(path) => match path.find(&facts.identity.as_ref()?.claims)?.words()? {
                Cow::Borrowed(words) => Some(text(words)),
                Cow::Owned(words) => Some(words.into_bytes().into()),
            },
            Self::Scheme => Some(text(if facts.tls.is_some() { "https" } else { "http" })),
            Self::TlsSni => facts.tls.as_ref()?.sni.as_deref().map(text),
            Self::TlsVersion => facts.tls.as_ref().map(|tls| text(tls.version)),
            Self::ClientCertCn => list(&certificate(facts)?.cn),
            Self::ClientCertSubject => Some(text(&certificate(facts)?.subject)),
            Self::ClientCertSan => list(&certificate(facts)?.san),
            Self::Version => facts.variant.as_ref().map(|version| version.as_bytes().into()),
        }
    }

    /// Whether it needs a token that was verified before.
    pub fn reads_claims(&self) -> bool {
        matches!(self, Self::Claim(_))
    }

    /// Whether it is a fact of the client's certificate.
    pub fn is_of_certificate(&self) -> bool {
        matches!(self, Self::ClientCertCn | Self::ClientCertSubject | Self::ClientCertSan)
    }

    /// The request headers it reads, for `Vary`.
    pub fn varies_by(&self) -> &'static str {
        match self {
            Self::Device => "User-Agent, Sec-CH-UA-Mobile, Sec-CH-UA-Platform",
            Self::Claim(_) => "Authorization",
            Self::Cookie(_) => "Cookie",
            _ => "",
        }
    }
}

impl ClaimPath {
    /// The claim in these claims.
    pub fn find<'c>(&self, claims: &'c Claims) -> Option<&'c Claim> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, name| value.object()?.get(name))
    }

    /// The first name.
    pub fn root(&self) -> &str {
        &self.0[0]
    }
}

/// The client's certificate, which was verified.
fn certificate(facts: &Facts) -> Option<&ClientCertificate> {
    facts.tls.as_ref()?.client.as_ref()
}

/// These names as one fact; none where there are none.
fn list(names: &[Box<str>]) -> Option<Cow<'_, [u8]>> {
    match names {
        [] => None,
        [name] => Some(name.as_bytes().into()),
        names => Some(names.join(",").into_bytes().into()),
    }
}

/// The host that a request names. That it is one was seen to before anybody asks.
fn host(head: &RequestHeader) -> Option<Cow<'_, [u8]>> {
    let authority = match head.headers.get(HOST) {
        Some(header) => fields::text(header)?,
        None => head.uri.authority()?.as_str(),
    };
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        let normal = address.parse().map(|address: Ipv6Addr| format!("[{address}]"));
        return normal.ok().map(|normal| normal.into_bytes().into());
    }
    let name = authority.split(':').next().unwrap_or_default();
    match name.strip_suffix('.').unwrap_or(name) {
        "" => None,
        name if name.bytes().any(|byte| byte.is_ascii_uppercase()) => Some(name.to_ascii_lowercase().into_bytes().into()),
        name => Some(name.as_bytes().into()),
    }
}

/// The value of the first cookie of this name.
fn cookie<'r>(head: &'r RequestHeader, name: &str) -> Option<&'r [u8]> {
    let mut cookies = fields::crumbs(&head.headers).filter_map(fields::cookie);
    cookies.find_map(|(key, value)| (key == name.as_bytes()).then_some(value))
}

/// The first parameter of this name.
fn query<'r>(query: &'r str, name: &str) -> Option<Cow<'r, [u8]>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*decoded(key) == *name.as_bytes()).then(|| decoded(value))
    })
}

/// As HTML forms write it: plus is a space, `%` begins two hexadecimal digits.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return text.as_bytes().into();
    }
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).collect::<Vec<u8>>().into()
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('.').unwrap_or((text, ""));
        let named = |what: &str| {
            if name.is_empty() { Err(format!("`{text}` names no {what}: write `{kind}.NAME`")) } else { Ok(name.to_owned()) }
        };
        match (kind, name) {
            ("client_ip", "") => Ok(Self::ClientIp),
            ("route", "") => Ok(Self::Route),
            ("device", "") => Ok(Self::Device),
            ("method", "") => Ok(Self::Method),
            ("host", "") => Ok(Self::Host),
            ("path", "") => Ok(Self::Path),
            ("scheme", "") => Ok(Self::Scheme),
            ("tls", "sni") => Ok(Self::TlsSni),
            ("tls", "version") => Ok(Self::TlsVersion),
            ("client_cert", "cn") => Ok(Self::ClientCertCn),
            ("client_cert", "subject") => Ok(Self::ClientCertSubject),
            ("client_cert", "san") => Ok(Self::ClientCertSan),
            ("header", _) => {
                let name = named("header")?;
                HeaderName::from_bytes(name.as_bytes()).map(Self::Header).map_err(|_| format!("`{name}` is not a header name"))
            }
            ("cookie", _) => named("cookie").map(Self::Cookie),
            ("query", _) => named("parameter").map(Self::Query),
            ("claim", _) => named("claim")?.parse().map(Self::Claim),
            ("version", "") => Ok(Self::Version),
            _ => Err(match meant(kind, name) {
                Some(meant) => format!("`{text}` is not a selector: did you mean `{meant}`?"),
                None => {
                    let forms: Vec<&str> = FORMS.iter().map(|(form, _)| *form).collect();
                    let (last, others) = forms.split_last().expect("there are some");
                    format!("`{text}` is not a selector: {} or {last}", others.join(", "))
                }
            }),
        }
    }
}

/// The selector that somebody meant by another word for its kind.
fn meant(kind: &str, name: &str) -> Option<String> {
    let kind = kind.to_ascii_lowercase().replace(['-', ' '], "_");
    let known = match (kind.strip_suffix('s').unwrap_or(&kind), name) {
        ("ip" | "client_ip" | "clientip" | "remote_addr" | "addres" | "client", "" | "ip") => "client_ip",
        ("device", "") => "device",
        ("route", "") => "route",
        ("method", "") => "method",
        ("host" | "hostname" | "authority" | "domain", "") => "host",
        ("path" | "uri" | "url", "") => "path",
        ("jwt" | "token", "") => "claim.sub",
        ("header" | "http", name) if !name.is_empty() => return Some(format!("header.{name}")),
        ("cookie", name) if !name.is_empty() => return Some(format!("cookie.{name}")),
        ("query" | "querie" | "param" | "parameter" | "arg", name) if !name.is_empty() => return Some(format!("query.{name}")),
        ("claim" | "jwt" | "token", name) if !name.is_empty() => return Some(format!("claim.{name}")),
        _ => return None,
    };
    Some(known.to_owned())
}

impl FromStr for ClaimPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("claim.") {
            return Err(format!(
                "`{text}` is looked for within the token: write `{path}`; a claim of the name `claim` is quoted: \"claim\".{path}"
            ));
        }
        let mut names = Vec::new();
        let mut rest = text;
        loop {
            let (name, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or_else(|| format!("`{text}`: a quote is not closed"))?,
                None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
            };
            if name.is_empty() {
                return Err(format!("`{text}` is not the path of a claim: a name is empty"));
            }
            names.push(name.to_owned());
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None if after.is_empty() => return Ok(Self(names.into())),
                None => return Err(format!("`{text}` is not the path of a claim: a dot must follow the quoted name")),
            }
        }
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let dot = if index > 0 { "." } else { "" };
            // What reads it takes a bare `claim` at the beginning for the selector's.
            let quoted = name.contains('.') || index == 0 && name == "claim" && self.0.len() > 1;
            if quoted { write!(f, "{dot}\"{name}\"")? } else { write!(f, "{dot}{name}")? }
        }
        Ok(())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Route => f.write_str("route"),
            Self::Device => f.write_str("device"),
            Self::Method => f.write_str("method"),
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::Scheme => f.write_str("scheme"),
            Self::TlsSni => f.write_str("tls.sni"),
            Self::TlsVersion => f.write_str("tls.version"),
            Self::ClientCertCn => f.write_str("client_cert.cn"),
            Self::ClientCertSubject => f.write_str("client_cert.subject"),
            Self::ClientCertSan => f.write_str("client_cert.san"),
            Self::Version => f.write_str("version"),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Cookie(name) => write!(f, "cookie.{name}"),
            Self::Query(name) => write!(f, "query.{name}"),
            Self::Claim(path) => write!(f, "claim.{path}"),
        }
    }
}

macro_rules! as_text {
    ($($form:ty: $name:literal, $what:literal);*) => {$(
        impl<'de> serde::Deserialize<'de> for $form {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl serde::Serialize for $form {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl JsonSchema for $form {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "description": $what})
            }
        }
    )*};
}
as_text!(
    Selector: "Selector", "A fact of the request: client_ip, route, device, method, host, path, scheme, tls.sni, tls.version, client_cert.cn, client_cert.subject, client_cert.san, version, header.NAME, cookie.NAME, query.NAME, claim.PATH.";
    ClaimPath: "ClaimPath", "A claim's dotted path in the token; a name with dots is quoted."
);

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use http::HeaderValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::filter::{Identity, Tls};

    fn facts(claims: Value) -> Facts {
        let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
        facts.route = "shop".into();
        facts.identity = Some(Arc::new(Identity::new(claims.as_object().cloned().expect("an object"))));
        facts
    }

    fn find(selector: &str, head: &RequestHeader, facts: &Facts) -> Option<String> {
        selector.parse::<Selector>().expect("a selector").find(head, facts).map(|found| String::from_utf8_lossy(&found).into_owned())
    }

    #[test]
    fn finds_what_it_names() {
        let mut head = RequestHeader::build("GET", b"/a?x=1&tenant=a%20b+c&tenant=no", None).expect("a head");
        head.append_header("Host", "Shop.Example:8080").expect("a header");
        head.append_header("X-Api-Key", "k1").expect("a header");
        head.append_header("Cookie", "a=1; sid=\"s 1\"").expect("a header");
        let mut facts = facts(json!({"sub": "u1", "realm": {"roles": ["a", "b"]}, "https://x/roles": 7, "deep": {}}));

        let client = ClientCertificate {
            cn: ["alice".into()].into(),
            subject: "CN=alice".into(),
            san: ["spiffe://shop/alice".into(), "alice.example".into()].into(),
        };
        facts.tls = Some(Arc::new(Tls { version: "1.3", sni: Some("shop.example".into()), client: Some(client) }));
        facts.variant = Some(HeaderValue::from_static("v2.5"));

        for (selector, value) in [
            ("client_ip", Some("127.0.0.1")),
            ("route", Some("shop")),
            ("device", None),
            ("method", Some("GET")),
            ("host", Some("shop.example")),
            ("path", Some("/a")),
            ("header.x-api-key", Some("k1")),
            ("header.absent", None),
            ("cookie.sid", Some("s 1")),
            ("cookie.SID", None),
            ("query.tenant", Some("a b c")),
            ("query.none", None),
            ("claim.sub", Some("u1")),
            ("claim.realm.roles", Some("a,b")),
            (r#"claim."https://x/roles""#, Some("7")),
            ("scheme", Some("https")),
            ("tls.sni", Some("shop.example")),
            ("tls.version", Some("1.3")),
            ("client_cert.cn", Some("alice")),
            ("client_cert.subject", Some("CN=alice")),
            ("client_cert.san", Some("spiffe://shop/alice,alice.example")),
            ("version", Some("v2.5")),
            ("claim.deep", None),
            ("claim.sub.more", None),
        ] {
            assert_eq!(find(selector, &head, &facts).as_deref(), value, "{selector}");
        }
    }

    #[test]
    fn a_host_has_one_form_wherever_it_is_named() {
        let facts = facts(json!({}));
        for (host, found) in [
            ("a.example", Some("a.example")),
            ("A.example.:443", Some("a.example")),
            ("[2001:DB8::0:1]:80", Some("[2001:db8::1]")),
            ("[::1]", Some("[::1]")),
            ("192.0.2.1:80", Some("192.0.2.1")),
        ] {
            let mut named = RequestHeader::build("GET", b"/", None).expect("a head");
            named.append_header("Host", host).expect("a header");
            let target = RequestHeader::from(http::Request::get(format!("http://{host}/")).body(()).expect("a request").into_parts().0);

            assert_eq!(find("host", &named, &facts).as_deref(), found, "{host}");
            assert_eq!(find("host", &target, &facts).as_deref(), found, "{host}");
        }
        let none = RequestHeader::build("GET", b"/", None).expect("a head");
        assert_eq!(find("host", &none, &facts), None, "HTTP/1.0 may name none");
    }

    #[test]
    fn what_is_beyond_ascii_is_found_byte_by_byte() {
        let mut head = RequestHeader::build("GET", b"/?k=%FC&name=J%C3%BC&%FC=no", None).expect("a head");
        head.append_header("X-Api-Key", HeaderValue::from_bytes(b"schl\xfcssel").expect("a value")).expect("a header");
        head.append_header("Cookie", HeaderValue::from_bytes(b"name=J\xfcrgen; sid=2; n=\xe4").expect("a value")).expect("a header");
        let facts = facts(json!({"n": ["J\u{fc}rgen", 12]}));
        let found = |selector: &str| selector.parse::<Selector>().expect("a selector").find(&head, &facts).map(Cow::into_owned);

        for (selector, value) in [
            ("header.X-Api-Key", &b"schl\xfcssel"[..]),
            ("cookie.name", b"J\xfcrgen"),
            ("cookie.sid", b"2"),
            ("cookie.n", b"\xe4"),
            ("query.k", b"\xfc"),
            ("query.name", "J\u{fc}".as_bytes()),
            ("claim.n", "J\u{fc}rgen,12".as_bytes()),
        ] {
            assert_eq!(found(selector).as_deref(), Some(value), "{selector}");
        }
    }

    #[test]
    fn prints_as_it_is_written() {
        for text in [
            "client_ip",
            "host",
            "scheme",
            "tls.sni",
            "tls.version",
            "client_cert.cn",
            "client_cert.subject",
            "client_cert.san",
            "version",
            "header.x-a",
            "cookie.Sid",
            "query.q.r",
            "claim.a.b",
            r#"claim."a.b".c"#,
        ] {
            assert_eq!(text.parse::<Selector>().expect("a selector").to_string(), text);
        }
        for text in ["", "clientip", "client_ip.x", "header", "header.a b", "cookie.", "claim.a..b", r#"claim."a"#, r#"claim."a"b"#] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
