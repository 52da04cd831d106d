//! What was typed, taken apart as a client would send it.

use frontgate_filters::grpc;
use http::{Method, Version};
use pingora_http::RequestHeader;

use crate::door::wire::{HeadLimits, HeadScan, Refusal, check_head};

/// A request as a client would send it.
pub(super) struct Typed<'t> {
    method: &'t str,
    target: &'t str,
    version: Version,
    headers: Vec<(&'t str, &'t str)>,
}

impl<'t> Typed<'t> {
    /// Where the URL names a host and no header does, the client would send it as one; without either it speaks HTTP/1.0, which need not
    /// name one.
    pub(super) fn read(method: &'t str, url: &'t str, headers: &'t [String]) -> Result<Self, String> {
        let mut typed = Self { method, target: url, version: Version::HTTP_11, headers: Vec::new() };
        for header in headers {
            let (name, value) = header.split_once(':').ok_or_else(|| format!("`{header}` is not a header: write `Name: value`"))?;
            typed.headers.push((name.trim(), value.trim()));
        }
        let names_host = typed.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        match rest {
            None if !url.starts_with('/') && url != "*" => return Err(format!("`{url}` is neither an http URL nor a path")),
            None if !names_host => typed.version = Version::HTTP_10,
            Some(rest) if !names_host => {
                let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                typed.headers.insert(0, ("Host", authority));
                if target.starts_with('/') {
                    typed.target = target;
                }
            }
            _ => {}
        }
        Ok(typed)
    }

    /// The head as Pingora's parser would make it.
    pub(super) fn head(&self) -> Result<RequestHeader, String> {
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| format!("`{}` is not a method", self.method))?;
        let mut head = RequestHeader::build(method, self.target.as_bytes(), None).map_err(|_| format!("`{}` is not a URL", self.target))?;
        head.set_version(if self.is_grpc() { Version::HTTP_2 } else { self.version });
        if self.is_grpc() && self.version == Version::HTTP_10 {
            return Err(format!("a gRPC call names a host: write a URL instead of `{}`", self.target));
        }
        for (name, value) in &self.headers {
            head.append_header((*name).to_owned(), *value).map_err(|_| format!("`{name}: {value}` is not a header"))?;
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
    pub(super) fn check(&self, limits: HeadLimits) -> Result<(), Refusal> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let wire = format!("{} {} {:?}\r\n{headers}\r\n", self.method, self.target, self.version);
        HeadScan::default().find(wire.as_bytes(), limits)?;
        check_head(wire.as_bytes(), limits).map(drop)
    }
}
