//! One request's line in the access log, as a JSON object.
//!
//! Whatever a client sent, the line is valid JSON without a control character, and no field outgrows its bound.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::json::{address, millis, number, shorten, text, word};
use super::{Flag, timestamp};

/// The facts of one request, borrowed until they are written. What is `None` is left out of the line.
#[derive(Clone, Debug)]
pub(crate) struct Line<'a> {
    /// When the request was complete.
    pub ts: SystemTime,
    /// The `X-Request-ID` given to the request or taken from it.
    pub request_id: &'a str,
    /// The W3C trace id, in hex.
    pub trace_id: Option<&'a str>,
    /// The client, as far as trusted proxies tell.
    pub client_ip: Option<IpAddr>,
    /// The load balancer that connected for the client and said so by the PROXY protocol.
    pub proxy_ip: Option<IpAddr>,
    /// The method as it was sent.
    pub method: &'a str,
    /// The authority as it was sent.
    pub host: Option<&'a [u8]>,
    /// The path in its normal form, or as it was sent where it has none; a query is cut off, as it may hold secrets.
    pub path: &'a [u8],
    /// The route's name, `_none` when none matched.
    pub route: &'a str,
    /// The status that the client got; absent where it got no answer.
    pub status: Option<u16>,
    /// Why the gateway itself answered: the word of the filter that refused (its page has them), else the `code` of the problem document, or
    /// what kind of answer it was; or what else became of the request.
    pub reason: Option<&'a str>,
    /// The size of the request's body.
    pub bytes_in: u64,
    /// The size of the response's body as sent.
    pub bytes_out: u64,
    /// From the request's first byte to the response's last.
    pub duration: Duration,
    /// The part of that time which was the gateway's own.
    pub overhead: Duration,
    /// The upstream's name.
    pub upstream: Option<&'a str>,
    /// The upstream's own status.
    pub upstream_status: Option<u16>,
    /// The endpoint that answered, or the last one tried.
    pub endpoint: Option<&'a str>,
    /// How many times an endpoint was tried.
    pub attempts: Option<u32>,
    /// The class of the client's device.
    pub device: Option<&'a str>,
    /// The version of the backend that answered.
    pub version: Option<&'a str>,
    /// The keyed hash of the caller's subject, never the subject.
    pub sub: Option<&'a str>,
    /// The rate limit that refused.
    pub limit: Option<&'a str>,
    /// Whom it counted the request for: an address, or the keyed hash of anything else.
    pub limit_key: Option<&'a str>,
    /// The tier that a rate limit chose.
    pub tier: Option<&'a str>,
    /// The circuit's state.
    pub circuit: Option<&'a str>,
    /// What the client speaks: `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`; `websocket` once that is what it speaks.
    pub protocol: Option<&'a str>,
    /// The version of TLS; absent in clear text.
    pub tls_version: Option<&'a str>,
    /// The name that the client asked for in TLS.
    pub sni: Option<&'a [u8]>,
    /// The subject of the client's certificate.
    pub client_cert: Option<&'a [u8]>,
    /// What the client was told came of its gRPC call, as a number.
    pub grpc_status: Option<u16>,
    /// How many calls were made to put the answer together. Those of a saga are nobody's request: `frontgate saga show` tells them.
    pub calls: Option<u32>,
    /// The calls that are missing in it, each with its cause in parentheses, with commas between them; of a request that failed with a call, that
    /// one first. Of a graph also the first fields that are null since a service answered what they cannot have.
    pub missing: Option<&'a str>,
    /// The name of the GraphQL operation, its first 64 bytes.
    pub operation: Option<&'a str>,
    /// The saga that stands behind it.
    pub saga: Option<&'a str>,
    /// The client's `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// What went wrong.
    pub flag: Option<Flag>,
}

impl Line<'_> {
    /// A line of which only the time is known yet: texts are empty, numbers 0, the rest absent.
    pub(crate) fn at(ts: SystemTime) -> Self {
        Self {
            ts,
            request_id: "",
            trace_id: None,
            client_ip: None,
            proxy_ip: None,
            method: "",
            host: None,
            path: b"",
            route: "",
            status: None,
            reason: None,
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::ZERO,
            overhead: Duration::ZERO,
            upstream: None,
            upstream_status: None,
            endpoint: None,
            attempts: None,
            device: None,
            version: None,
            sub: None,
            limit: None,
            limit_key: None,
            tier: None,
            circuit: None,
            protocol: None,
            tls_version: None,
            sni: None,
            client_cert: None,
            grpc_status: None,
            calls: None,
            missing: None,
            operation: None,
            saga: None,
            user_agent: None,
            flag: None,
        }
    }

    /// The same with what clients choose cut shorter, for where many are kept.
    pub(crate) fn short(&self) -> Self {
        Self {
            path: shorten(self.path, 512),
            user_agent: self.user_agent.map(|text| shorten(text, 128)),
            client_cert: self.client_cert.map(|text| shorten(text, 128)),
            sni: self.sni.map(|text| shorten(text, 128)),
            host: self.host.map(|text| shorten(text, 128)),
            ..self.clone()
        }
    }

    /// Appends the object to `out`, without the end of the line.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"ts\":\"");
        timestamp::write(out, self.ts);
        out.push(b'"');
        word(out, "request_id", Some(self.request_id));
        word(out, "trace_id", self.trace_id);
        address(out, "client_ip", self.client_ip);
        address(out, "proxy_ip", self.proxy_ip);
        word(out, "method", Some(self.method));
        text(out, "host", self.host, HOST);
        let path = self.path.split(|&byte| byte == b'?').next().unwrap_or_default();
        text(out, "path", Some(path), PATH);
        word(out, "route", Some(self.route));
        number(out, "status", self.status);
        word(out, "reason", self.reason);
        number(out, "bytes_in", Some(self.bytes_in));
        number(out, "bytes_out", Some(self.bytes_out));
        millis(out, "duration_ms", self.duration);
        millis(out, "overhead_ms", self.overhead);
        word(out, "upstream", self.upstream);
        number(out, "upstream_status", self.upstream_status);
        word(out, "endpoint", self.endpoint);
        number(out, "attempts", self.attempts);
        word(out, "device", self.device);
        word(out, "version", self.version);
        word(out, "sub", self.sub);
        word(out, "limit", self.limit);
        word(out, "limit_key", self.limit_key);
        word(out, "tier", self.tier);
        word(out, "circuit", self.circuit);
        word(out, "protocol", self.protocol);
        word(out, "tls_version", self.tls_version);
        text(out, "sni", self.sni, HOST);
        text(out, "client_cert", self.client_cert, CERTIFICATE);
        number(out, "grpc_status", self.grpc_status);
        number(out, "calls", self.calls);
        word(out, "missing", self.missing);
        word(out, "operation", self.operation);
        word(out, "saga", self.saga);
        text(out, "user_agent", self.user_agent, USER_AGENT);
        word(out, "flags", self.flag.map(Flag::letters));
        out.push(b'}');
    }
}

/// The longest path written, in bytes as sent.
const PATH: usize = 2_048;
/// The longest user agent written.
const USER_AGENT: usize = 512;
/// The longest subject of a certificate written.
const CERTIFICATE: usize = 512;
/// The longest host written.
const HOST: usize = 255;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::Value;

    use super::*;
    use crate::telemetry::access_log::json::WORD;

    fn parsed(line: &Line<'_>) -> Value {
        let mut out = Vec::new();
        line.write(&mut out);
        let text = String::from_utf8(out).expect("a line is UTF-8");
        assert!(!text.chars().any(char::is_control), "control character in {text:?}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn writes_every_field_in_order() {
        let line = Line {
            request_id: "r1",
            trace_id: Some("0af7"),
            client_ip: Some("2001:db8::1".parse().unwrap()),
            proxy_ip: Some("10.0.0.1".parse().unwrap()),
            method: "GET",
            host: Some(b"api.example"),
            path: b"/a?token=secret",
            route: "users",
            status: Some(503),
            reason: Some("circuit_open"),
            bytes_in: 0,
            bytes_out: u64::MAX,
            duration: Duration::from_micros(12_045),
            overhead: Duration::from_nanos(900),
            upstream: Some("users"),
            upstream_status: Some(200),
            endpoint: Some("10.0.0.1:80"),
            attempts: Some(2),
            device: Some("mobile"),
            version: Some("v2"),
            sub: Some("5f"),
            limit: Some("by_user"),
            limit_key: Some("2qBk,192.0.2.1"),
            tier: Some("free"),
            circuit: Some("open"),
            protocol: Some("HTTP/2"),
            calls: Some(3),
            missing: Some("ads, news"),
            operation: Some("Home"),
            saga: Some("0190"),
            user_agent: Some(b"curl/8"),
            flag: Some(Flag::UpstreamOverflow),
            ..Line::at(UNIX_EPOCH)
        };

        let mut out = Vec::new();
        line.write(&mut out);

        let expected = concat!(
            r#"{"ts":"1970-01-01T00:00:00.000Z","request_id":"r1","trace_id":"0af7","client_ip":"2001:db8::1","proxy_ip":"10.0.0.1","#,
            r#""method":"GET","host":"api.example","path":"/a","route":"users","status":503,"reason":"circuit_open","#,
            r#""bytes_in":0,"bytes_out":18446744073709551615,"duration_ms":12.045,"overhead_ms":0.000,"upstream":"users","#,
            r#""upstream_status":200,"endpoint":"10.0.0.1:80","attempts":2,"device":"mobile","version":"v2","sub":"5f","#,
            r#""limit":"by_user","limit_key":"2qBk,192.0.2.1","tier":"free","circuit":"open","protocol":"HTTP/2","calls":3,"missing":"ads, news","operation":"Home","saga":"0190","user_agent":"curl/8","flags":"UO"}"#,
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn leaves_out_what_is_absent() {
        let object = parsed(&Line::at(UNIX_EPOCH));

        let keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
        let always = ["ts", "request_id", "method", "path", "route", "bytes_in", "bytes_out", "duration_ms", "overhead_ms"];
        assert_eq!(keys, always);
    }

    #[test]
    fn hostile_strings_come_back_as_they_were_sent() {
        let mut random = Random(7);
        for _ in 0..20_000 {
            let (bytes, other) = (random.bytes(40), random.bytes(40));
            let word = String::from_utf8_lossy(&other).into_owned();
            let line = Line { host: Some(&bytes), user_agent: Some(&bytes), version: Some(&word), ..Line::at(UNIX_EPOCH) };

            let object = parsed(&line);

            assert_eq!(object["host"], *String::from_utf8_lossy(&bytes));
            assert_eq!(object["user_agent"], *String::from_utf8_lossy(&bytes));
            assert_eq!(object["version"], *word);
        }
    }

    #[test]
    fn long_fields_are_cut_between_characters() {
        let mut random = Random(8);
        for _ in 0..300 {
            let text = String::from_utf8_lossy(&random.bytes(9_000)).replace('?', "/") + &"é€😀".repeat(300);
            let line = Line {
                host: Some(text.as_bytes()),
                path: text.as_bytes(),
                user_agent: Some(text.as_bytes()),
                request_id: &text,
                ..Line::at(UNIX_EPOCH)
            };

            let object = parsed(&line);

            for (name, bound) in [("host", HOST), ("path", PATH), ("user_agent", USER_AGENT), ("request_id", WORD)] {
                let kept = object[name].as_str().unwrap();
                assert!(text.starts_with(kept), "{name} was altered");
                assert!((bound - 3..=bound).contains(&kept.len()), "{name}: {} bytes", kept.len());
            }
        }
        assert_eq!(shorten(&[0x80; 10], 5).len(), 5);
    }

    /// SplitMix64, and byte strings of it that favour what JSON and UTF-8 stumble over.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        }

        fn bytes(&mut self, most: u64) -> Vec<u8> {
            #[rustfmt::skip]
            const NASTY: [&[u8]; 12] = [
                b"\"", b"\\", b"\n", b"\0", b"\x1b[2J", b"\x7f", b"\xc2\x9b", b"\xe2\x80\xa8", b"\xff", b"\xf0\x9f\x98",
                b"\xed\xa0\x80", "é😀".as_bytes(),
            ];
            let mut bytes = Vec::new();
            for _ in 0..self.next() % (most + 1) {
                match self.next() % 3 {
                    0 => bytes.extend_from_slice(NASTY[self.next() as usize % NASTY.len()]),
                    1 => bytes.push(self.next() as u8),
                    _ => bytes.push(b'a' + (self.next() % 26) as u8),
                }
            }
            bytes
        }
    }
}
