//! What was typed, taken apart as a client would send it.

use std::borrow::Cow;

use frontgate_filters::grpc;
use http::{Method, Version};
use pingora_http::RequestHeader;

use crate::door::wire::{HeadLimits, HeadScan, Refusal, check_head};
use crate::router::host_of;

/// A request as a client would send it.
pub(crate) struct Typed<'t> {
    method: &'t str,
    target: Cow<'t, str>,
    version: Version,
    headers: Vec<(&'t str, &'t str)>,
    /// Whether it comes over TLS, and the host and the port that are connected to; nothing where a path says none of it.
    origin: Option<Origin<'t>>,
}

/// What a URL says before its path.
struct Origin<'t> {
    tls: bool,
    authority: &'t str,
}

/// The schemes, with whether they mean TLS. A WebSocket begins as a request.
const SCHEMES: [(&str, bool); 4] = [("http://", false), ("https://", true), ("ws://", false), ("wss://", true)];

impl<'t> Typed<'t> {
    /// Where the URL names a host and no header does, the client would send it as one; without either it speaks HTTP/1.0, which need not
    /// name one.
    pub(crate) fn read(method: &'t str, url: &'t str, headers: &'t [String]) -> Result<Self, String> {
        let mut typed = Self { method, target: Cow::Borrowed(url), version: Version::HTTP_11, headers: Vec::new(), origin: None };
        for header in headers {
            let (name, value) =
                header.split_once(':').ok_or_else(|| format!("`{}` is not a header: write `Name: value`", short(header)))?;
            typed.headers.push((name.trim(), value.trim()));
        }
        let names_host = typed.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let rest = SCHEMES.iter().find_map(|(scheme, tls)| Some((url.strip_prefix(scheme)?, scheme, *tls)));
        match rest {
            None if !url.starts_with('/') && url != "*" => return Err(format!("`{}` is neither an http URL nor a path", short(url))),
            None if !names_host => typed.version = Version::HTTP_10,
            None => {}
            Some((rest, scheme, tls)) => {
                let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                typed.origin = Some(Origin { tls, authority });
                if !names_host {
                    typed.headers.insert(0, ("Host", authority));
                    if target.starts_with('/') {
                        typed.target = Cow::Borrowed(target);
                        return Ok(typed);
                    }
                }
                if scheme.starts_with("ws") {
                    // No client sends such a URL: it sends an http URL, or a path.
                    typed.target = Cow::Owned(format!("{}://{rest}", if tls { "https" } else { "http" }));
                }
            }
        }
        Ok(typed)
    }

    /// Whether it comes over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.tls)
    }

    /// The name that is asked for in TLS (SNI): the URL's host, unless that is an address (RFC 6066, section 3).
    pub(crate) fn server_name(&self) -> Option<Box<str>> {
        let origin = self.origin.as_ref().filter(|origin| origin.tls)?;
        let host = host_of(origin.authority).ok()?;
        let is_address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        (!is_address).then(|| (*host).into())
    }

    /// The port that is connected to in clear text, where the URL says so.
    pub(crate) fn clear_port(&self) -> Option<u16> {
        let origin = self.origin.as_ref().filter(|origin| !origin.tls)?;
        let (_, port) = origin.authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')).unwrap_or(("", "80"));
        port.parse().ok()
    }

    /// The head as Pingora's parser would make it. Of more headers than any configuration takes only the first are there: [`Self::check`] refuses
    /// them.
    pub(crate) fn head(&self) -> Result<RequestHeader, String> {
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| format!("`{}` is not a method", short(self.method)))?;
        let mut head =
            RequestHeader::build(method, self.target.as_bytes(), None).map_err(|_| format!("`{}` is not a URL", short(&self.target)))?;
        head.set_version(if self.is_grpc() { Version::HTTP_2 } else { self.version });
        if self.is_grpc() && self.version == Version::HTTP_10 {
            return Err(format!("a gRPC call names a host: write a URL instead of `{}`", short(&self.target)));
        }
        for (name, value) in self.headers.iter().take(MOST) {
            head.append_header((*name).to_owned(), *value)
                .map_err(|_| format!("`{}` is not a header", short(&format!("{name}: {value}"))))?;
        }
        Ok(head)
    }

    /// Whether it is a gRPC call, which no client sends over anything but HTTP/2.
    fn is_grpc(&self) -> bool {
        let is_one = |(name, value): &(&str, &str)| {
            name.eq_ignore_ascii_case("content-type") && grpc::wire_of(value.as_bytes()) == Some(grpc::Wire::Plain)
        };
        self.method == "POST" && self.headers.iter().any(is_one)
    }

    /// The strict reading that every request on the wire meets.
    pub(crate) fn check(&self, limits: HeadLimits) -> Result<(), Refusal> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let wire = format!("{} {} {:?}\r\n{headers}\r\n", self.method, self.target, self.version);
        HeadScan::default().find(wire.as_bytes(), limits)?;
        check_head(wire.as_bytes(), limits).map(drop)
    }
}

/// So many headers no request has that is taken, whatever the limits are.
const MOST: usize = 1_000;

/// As much of what was typed as fits a message.
pub(super) fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}
