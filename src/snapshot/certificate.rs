//! What upstreams are told of a client that has shown a certificate: `cert_headers`, compiled.

use std::borrow::Cow;

use bytes::Bytes;
use frontgate_filters::filter::Facts;
use frontgate_filters::words::selector::Selector;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode, utf8_percent_encode};
use pingora_http::RequestHeader;

use crate::config::model::Config;

/// What is encoded of a text: what no header can hold, and what tells that something is encoded.
const TEXT: &AsciiSet = &CONTROLS.add(b'%');
/// The same in a list, whose members a comma would part.
const MEMBER: &AsciiSet = &TEXT.add(b',');
/// A space at either end.
const EDGE: &AsciiSet = &CONTROLS.add(b' ');

/// Headers with the fact of a certificate that each holds.
#[derive(Debug, Default)]
pub(crate) struct CertificateHeaders(Box<[(Bytes, Selector)]>);

impl CertificateHeaders {
    /// Those of all listeners; a header stands for one fact, which was checked.
    pub(crate) fn new(config: &Config) -> Self {
        let mut headers: Vec<(Bytes, Selector)> = Vec::new();
        for (name, fact) in config.server.cert_headers() {
            if headers.iter().all(|(other, _)| !other.eq_ignore_ascii_case(name.as_bytes())) {
                headers.push((Bytes::from(name.to_owned()), fact.value.clone()));
            }
        }
        Self(headers.into())
    }

    /// Their names, which no client may send.
    pub(crate) fn names(&self) -> impl Iterator<Item = HeaderName> {
        self.0.iter().filter_map(|(name, _)| HeaderName::from_bytes(name).ok())
    }

    /// Tells the upstream of a request's client. What its certificate does not say is not sent.
    pub(crate) fn tell(&self, head: &mut RequestHeader, facts: &Facts) {
        let Some(shown) = facts.tls.as_ref().and_then(|tls| tls.client.as_ref()) else { return };
        for (name, fact) in &self.0 {
            let value = match fact {
                Selector::ClientCertCn => members(&shown.cn),
                Selector::ClientCertSan => members(&shown.san),
                _ => utf8_percent_encode(&shown.subject, TEXT).to_string(),
            };
            if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(edges(value)))
                && !value.is_empty()
            {
                head.insert_header(name.clone(), value).expect("the name was checked with the configuration");
            }
        }
    }
}

fn members(names: &[Box<str>]) -> String {
    let encoded: Vec<Cow<'_, str>> = names.iter().map(|name| utf8_percent_encode(name, MEMBER).into()).collect();
    encoded.join(",")
}

/// A space at either end would be taken for none.
fn edges(text: String) -> String {
    let trimmed = text.trim_matches(' ');
    if trimmed.len() == text.len() {
        return text;
    }
    let encode = |spaces: &str| percent_encode(spaces.as_bytes(), EDGE).to_string();
    let start = text.len() - text.trim_start_matches(' ').len();
    format!("{}{trimmed}{}", encode(&text[..start]), encode(&text[start + trimmed.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_can_look_like_another_one_or_like_several() {
        let names = |names: &[&str]| members(&names.iter().map(|name| Box::from(*name)).collect::<Vec<_>>());

        assert_eq!(names(&["alice smith"]), "alice smith");
        assert_eq!(names(&["a,b", "c%2cd", "J\u{f6}rg\r\nX: y"]), "a%2Cb,c%252cd,J%C3%B6rg%0D%0AX: y");
        assert_eq!(names(&[]), "");
        assert_eq!(edges("  a b ".to_owned()), "%20%20a b%20");
        assert_eq!(edges("  ".to_owned()), "%20%20");
    }
}
