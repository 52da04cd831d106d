//! The cookie of `sticky`: whose browser this is, for those of whom nothing else is known.
//!
//! It holds a random name, until when it counts, and, where a `match` asks for it, the version that the visitor was given last; all of it under
//! the gateway's signature. One that is forged, changed or out of date is as none. The name is what the visitor is drawn by, so that raising a
//! share adds visitors as it adds users.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use frontgate_filters::words::fields;
use http::HeaderValue;
use pingora_http::RequestHeader;

use crate::action::upstream::seal::Seal;

/// Reads and writes the cookie.
pub(super) struct Visitors {
    cookie: Box<str>,
    seal: Seal,
    ttl: Duration,
    /// Whether it says which version the visitor was given last.
    pub(super) tells_version: bool,
}

/// A visitor.
pub(super) struct Visitor {
    /// A random name.
    pub(super) name: String,
    /// The version that he was given last, where the cookie says so.
    pub(super) version: Option<String>,
    /// Until when the cookie counts, in seconds since 1970; 0 for one who has none yet.
    until: u64,
}

/// Random bytes in a name.
const NAME: usize = 16;

impl Visitors {
    /// Those with a cookie of this name.
    pub(super) fn new(cookie: &str, seal: Seal, ttl: Duration, tells_version: bool) -> Self {
        Self { cookie: cookie.into(), seal, ttl, tells_version }
    }

    /// Who has sent a request at this time, in seconds since 1970; none where nobody has a cookie that counts.
    pub(super) fn find(&self, head: &RequestHeader, now: u64) -> Option<Visitor> {
        let named = fields::crumbs(&head.headers).filter_map(fields::cookie).filter(|(name, _)| *name == self.cookie.as_bytes());
        named.filter_map(|(_, value)| self.read(value)).find(|visitor| now < visitor.until)
    }

    fn read(&self, sealed: &[u8]) -> Option<Visitor> {
        let mut parts = self.seal.open(&self.purpose(), sealed)?.split('.');
        let (name, until, version) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let version = String::from_utf8(URL_SAFE_NO_PAD.decode(version).ok()?).ok()?;
        Some(Visitor { name: name.to_owned(), version: Some(version).filter(|version| !version.is_empty()), until })
    }

    /// One whom nobody has seen before.
    pub(super) fn new_one() -> Visitor {
        let mut name = [0; NAME];
        // Without randomness everybody is the same visitor: as good as no cookie, and it guards nothing.
        let _ = aws_lc_rs::rand::fill(&mut name);
        Visitor { name: URL_SAFE_NO_PAD.encode(name), version: None, until: 0 }
    }

    /// The cookie that a visitor is to have who was given this version; none where the one that he has will do.
    pub(super) fn cookie(&self, visitor: &Visitor, version: &str, now: u64, secure: bool) -> Option<HeaderValue> {
        let version = if self.tells_version { version } else { "" };
        let is_fresh = visitor.until.saturating_sub(now) > self.ttl.as_secs() / 2;
        if is_fresh && visitor.version.as_deref().unwrap_or_default() == version {
            return None;
        }
        let until = now.saturating_add(self.ttl.as_secs());
        let text = format!("{}.{until}.{}", visitor.name, URL_SAFE_NO_PAD.encode(version));
        Some(set_cookie(&self.cookie, &self.seal.put(&self.purpose(), &text), self.ttl.as_secs(), secure))
    }

    fn purpose(&self) -> String {
        format!("visitor {}", self.cookie)
    }
}

/// A cookie for the whole host, which no script reads.
pub(crate) fn set_cookie(name: &str, value: &str, seconds: u64, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    HeaderValue::try_from(format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"))
        .expect("a token, and letters, digits and signs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitors(tells_version: bool) -> Visitors {
        Visitors::new("fg_v", Seal::new(b"0123456789abcdef").expect("a key"), Duration::from_secs(100), tells_version)
    }

    fn with(cookies: &str) -> RequestHeader {
        let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
        head.append_header("Cookie", cookies).expect("a header");
        head
    }

    fn value(cookie: &HeaderValue) -> String {
        let text = fields::text(cookie).expect("text");
        text.split(';').next().expect("a pair").to_owned()
    }

    #[test]
    fn a_visitor_is_known_again_until_the_cookie_is_out_of_date() {
        let visitors = visitors(false);
        let new = Visitors::new_one();
        let cookie = visitors.cookie(&new, "v2", 1_000, true).expect("a cookie");

        let found = |now| visitors.find(&with(&format!("a=1; {}", value(&cookie))), now).map(|visitor| visitor.name);

        assert_eq!(found(1_000), Some(new.name.clone()));
        assert_eq!(found(1_099), Some(new.name.clone()));
        assert_eq!(found(1_100), None);
        assert!(fields::text(&cookie).expect("text").ends_with("; Path=/; Max-Age=100; HttpOnly; SameSite=Lax; Secure"), "{cookie:?}");
        assert_ne!(Visitors::new_one().name, new.name);
    }

    #[test]
    fn forged_cookies_are_as_none_and_a_good_one_beside_them_counts() {
        let visitors = visitors(false);
        let cookie = value(&visitors.cookie(&Visitors::new_one(), "v2", 1_000, false).expect("a cookie"));

        for forged in [
            "fg_v=alice",
            "fg_v=",
            "fg_v=a.9999.",
            "fg_v=a.9999..AAAA",
            &cookie.replace("fg_v=", "fg_v=x"),
            &cookie.replace("fg_v", "fg_w"),
        ] {
            assert!(visitors.find(&with(forged), 1_000).is_none(), "{forged}");
            assert!(visitors.find(&with(&format!("{forged}; {cookie}")), 1_000).is_some(), "{forged}");
        }
        let other = Visitors::new("fg_w", Seal::new(b"0123456789abcdef").expect("a key"), Duration::from_secs(100), false);
        assert!(other.find(&with(&cookie.replace("fg_v=", "fg_w=")), 1_000).is_none(), "a cookie counts under its own name");
    }

    #[test]
    fn a_cookie_is_set_anew_when_half_of_its_time_is_over_or_its_version_is_another() {
        for tells in [false, true] {
            let visitors = visitors(tells);
            let cookie = value(&visitors.cookie(&Visitors::new_one(), "v2", 1_000, false).expect("a cookie"));
            let visitor = |now| visitors.find(&with(&cookie), now).expect("a visitor");

            assert!(visitors.cookie(&visitor(1_049), "v2", 1_049, false).is_none());
            assert!(visitors.cookie(&visitor(1_050), "v2", 1_050, false).is_some());
            assert_eq!(visitors.cookie(&visitor(1_001), "v3", 1_001, false).is_some(), tells);
            assert_eq!(visitor(1_001).version.as_deref(), tells.then_some("v2"));
        }
    }
}
