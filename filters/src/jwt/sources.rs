//! Where a request carries its token: one place, once, in the form that belongs there.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};
use pingora_http::RequestHeader;

use super::reason::Reason;
use crate::words::fields;
use crate::words::selector::Selector;

/// The places, in order.
pub(super) struct Sources(Box<[Source]>);

enum Source {
    /// `Authorization: Bearer …` (RFC 6750, section 2.1).
    Bearer,
    /// The whole value of a header.
    Header(HeaderName),
    Cookie(Box<str>),
}

impl Sources {
    pub(super) fn new<'s>(selectors: impl Iterator<Item = &'s Selector>) -> Self {
        let source = |selector: &Selector| match selector {
            Selector::Header(AUTHORIZATION) => Some(Source::Bearer),
            Selector::Header(name) => Some(Source::Header(name.clone())),
            Selector::Cookie(name) => Some(Source::Cookie(name.as_str().into())),
            _ => None,
        };
        Self(selectors.filter_map(source).collect())
    }

    /// The token of the first place that has one. A place that holds two has none to trust.
    pub(super) fn token<'r>(&self, head: &'r RequestHeader) -> Result<Option<&'r str>, Reason> {
        for source in &self.0 {
            if let Some(token) = source.token(head)? {
                return Ok(Some(token));
            }
        }
        Ok(None)
    }

    /// Takes the tokens out of every place; another scheme's Authorization stays.
    pub(super) fn remove(&self, head: &mut RequestHeader) {
        for source in &self.0 {
            match source {
                Source::Bearer => {
                    if head.headers.get(AUTHORIZATION).is_some_and(|value| fields::bearer(value.as_bytes()).is_some()) {
                        head.remove_header(&AUTHORIZATION);
                    }
                }
                Source::Header(name) => {
                    head.remove_header(name);
                }
                Source::Cookie(name) => remove_cookie(head, name),
            }
        }
    }
}

impl Source {
    fn token<'r>(&self, head: &'r RequestHeader) -> Result<Option<&'r str>, Reason> {
        match self {
            Self::Bearer => {
                let Some(value) = only(head, &AUTHORIZATION)? else { return Ok(None) };
                match fields::bearer(value) {
                    None => Ok(None),
                    Some(token) => checked(token).map(Some),
                }
            }
            Self::Header(name) => only(head, name)?.map(checked).transpose(),
            Self::Cookie(name) => {
                let mut found = fields::crumbs(&head.headers).filter_map(fields::cookie).filter(|(key, _)| *key == name.as_bytes());
                match (found.next(), found.next()) {
                    (Some(_), Some(_)) => Err(Reason::BadRequest),
                    (None | Some((_, b"")), None) | (None, Some(_)) => Ok(None),
                    (Some((_, value)), None) => checked(value).map(Some),
                }
            }
        }
    }
}

/// The value of a header that may be sent once.
fn only<'r>(head: &'r RequestHeader, name: &HeaderName) -> Result<Option<&'r [u8]>, Reason> {
    let value = fields::only(&head.headers, name).map_err(|_| Reason::BadRequest)?;
    Ok(value.map(|value| value.as_bytes()))
}

/// A token as RFC 6750, section 2.1, spells it: not empty, and of the characters of `b64token`.
fn checked(token: &[u8]) -> Result<&str, Reason> {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
    // To the end instead of to the first bad one: so many bytes at once.
    if token.is_empty() || !token.iter().fold(true, |all, byte| all & good(byte)) {
        return Err(Reason::BadRequest);
    }
    std::str::from_utf8(token).map_err(|_| Reason::BadRequest)
}

fn remove_cookie(head: &mut RequestHeader, name: &str) {
    let is_named = |crumb: &&[u8]| fields::cookie(crumb).is_some_and(|(key, _)| key == name.as_bytes());
    if !fields::crumbs(&head.headers).any(|crumb| is_named(&crumb)) {
        return;
    }
    let kept: Vec<&[u8]> = fields::crumbs(&head.headers).filter(|crumb| !is_named(crumb)).collect();
    let kept = kept.join(&b"; "[..]);
    head.remove_header(&COOKIE);
    if !kept.is_empty() {
        let value = http::HeaderValue::from_bytes(&kept).expect("parts of header values are one");
        head.insert_header(COOKIE, value).expect("a known name");
    }
}
