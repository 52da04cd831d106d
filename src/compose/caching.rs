//! What an answer made of several may say about being kept: the strictest of what they say (RFC 9111).

use frontgate_filters::words::fields;
use http::header::{AGE, CACHE_CONTROL, HOST, VARY, VIA};
use http::{HeaderName, HeaderValue};

use crate::compose::Headers;
use crate::request_id::X_REQUEST_ID;
use crate::telemetry::trace::{TRACEPARENT, TRACESTATE};

/// What answers say together.
#[derive(Debug, Default)]
pub(super) struct Caching {
    said: Option<Said>,
    /// One says nothing, so that of all only what forbids something can be said.
    is_silent: bool,
    /// One depends on what the gateway itself says of who asks, by which shared caches cannot tell requests apart.
    is_private: bool,
}

/// What one answer says, or all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    no_store: bool,
    private: bool,
    no_cache: bool,
    must_revalidate: bool,
    proxy_revalidate: bool,
    no_transform: bool,
    public: bool,
    immutable: bool,
    /// Seconds for which it is fresh.
    max_age: Option<u64>,
    /// Likewise in a shared cache, where that is said apart.
    shared: Option<u64>,
    while_revalidate: Option<u64>,
    if_error: Option<u64>,
}

impl Caching {
    /// Adds what an answer with these headers says.
    pub(super) fn add(&mut self, headers: &Headers) {
        // What a call's own headers are made of is known without it, and what else is in no call's head is the same for all requests.
        let by_name = |name: &[u8]| HeaderName::from_bytes(name).is_ok_and(|name| is_of_asker(&name));
        self.is_private |= headers.list(&VARY).any(by_name);
        let Some(one) = Said::read(headers) else {
            self.is_silent = true;
            return;
        };
        self.said = Some(self.said.map_or(one, |said| said.with(one)));
    }

    /// What the whole says. `is_private`: it depends on something by which shared caches cannot tell requests apart.
    pub(super) fn header(&self, is_private: bool) -> Option<HeaderValue> {
        if self.said.is_none() && !self.is_private {
            return None;
        }
        let mut said = self.said.unwrap_or_default();
        if said.no_store {
            return Some(HeaderValue::from_static("no-store"));
        }
        if self.is_silent {
            said = said.forbidden();
            if said == Said::default() && !self.is_private {
                return None;
            }
        }
        said.private |= is_private || self.is_private;
        let mut words: Vec<String> = Vec::new();
        let flags = [
            ("private", said.private),
            ("public", said.public && !said.private),
            ("no-cache", said.no_cache),
            ("must-revalidate", said.must_revalidate),
            ("proxy-revalidate", said.proxy_revalidate),
            ("no-transform", said.no_transform),
            ("immutable", said.immutable),
        ];
        words.extend(flags.iter().filter(|(_, is_set)| *is_set).map(|(word, _)| (*word).to_owned()));
        let seconds = [
            ("max-age", said.max_age),
            ("s-maxage", said.shared.filter(|_| !said.private && said.shared != said.max_age)),
            ("stale-while-revalidate", said.while_revalidate),
            ("stale-if-error", said.if_error),
        ];
        words.extend(seconds.iter().filter_map(|(word, seconds)| seconds.map(|seconds| format!("{word}={seconds}"))));
        if words.is_empty() { None } else { HeaderValue::from_str(&words.join(", ")).ok() }
    }
}

impl Said {
    fn read(headers: &Headers) -> Option<Self> {
        let lines = headers.values(&CACHE_CONTROL);
        if lines.is_empty() {
            return None;
        }
        let mut said = Self { no_store: headers.list(&VARY).any(|name| name == b"*"), ..Self::default() };
        let age = fields::same_number(headers.list(&AGE)).unwrap_or(0);
        for member in lines.into_iter().flat_map(fields::members) {
            let text = String::from_utf8_lossy(member).to_ascii_lowercase();
            let (name, value) =
                text.split_once('=').map_or((text.trim(), ""), |(name, value)| (name.trim(), value.trim().trim_matches('"')));
            // What cannot be read is over at once.
            let seconds = || Some(value.parse::<u64>().unwrap_or(0));
            let least = |known: Option<u64>| known.into_iter().chain(seconds()).min();
            match name {
                "no-store" => said.no_store = true,
                "private" => said.private = true,
                "no-cache" => said.no_cache = true,
                "must-revalidate" => said.must_revalidate = true,
                "proxy-revalidate" => said.proxy_revalidate = true,
                "no-transform" => said.no_transform = true,
                "public" => said.public = true,
                "immutable" => said.immutable = true,
                "max-age" => said.max_age = least(said.max_age),
                "s-maxage" => said.shared = least(said.shared),
                "stale-while-revalidate" => said.while_revalidate = least(said.while_revalidate),
                "stale-if-error" => said.if_error = least(said.if_error),
                _ => {}
            }
        }
        let left = |seconds: u64| seconds.saturating_sub(age);
        said.shared = said.shared.or(said.max_age).map(left);
        said.max_age = said.max_age.map(left);
        Some(said)
    }

    /// What holds beside an answer that says nothing: what forbids something, and nothing that allows it.
    fn forbidden(self) -> Self {
        Self { public: false, immutable: false, max_age: None, shared: None, while_revalidate: None, if_error: None, ..self }
    }

    fn with(self, other: Self) -> Self {
        let least = |one: Option<u64>, other: Option<u64>| Some(one?.min(other?));
        Self {
            no_store: self.no_store || other.no_store,
            private: self.private || other.private,
            no_cache: self.no_cache || other.no_cache,
            must_revalidate: self.must_revalidate || other.must_revalidate,
            proxy_revalidate: self.proxy_revalidate || other.proxy_revalidate,
            no_transform: self.no_transform || other.no_transform,
            public: self.public && other.public,
            immutable: self.immutable && other.immutable,
            max_age: least(self.max_age, other.max_age),
            shared: least(self.shared, other.shared),
            while_revalidate: least(self.while_revalidate, other.while_revalidate),
            if_error: least(self.if_error, other.if_error),
        }
    }
}

/// Whether a call says under this name who asks or through which hops, which is not the same for two requests that look the same to a cache.
fn is_of_asker(name: &HeaderName) -> bool {
    let is_forwarded = name.as_str().starts_with("x-forwarded-") || matches!(name.as_str(), "x-real-ip" | "forwarded");
    is_forwarded || matches!(*name, VIA | HOST) || [X_REQUEST_ID, TRACEPARENT, TRACESTATE].contains(name)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn together(answers: &[Option<&str>], is_private: bool) -> Option<String> {
        let mut caching = Caching::default();
        for answer in answers {
            let mut headers = HeaderMap::new();
            for line in answer.iter().flat_map(|answer| answer.split('\n')) {
                let (name, value) = line.split_once(": ").unwrap_or(("cache-control", line));
                headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value.parse().expect("a value"));
            }
            caching.add(&headers.into());
        }
        caching.header(is_private).map(|value| fields::text(&value).expect("text").to_owned())
    }

    #[test]
    fn the_strictest_holds() {
        for (answers, expected) in [
            (&[][..], None),
            (&[Some("public, max-age=60")], Some("public, max-age=60")),
            (&[Some("public, max-age=60"), Some("max-age=5")], Some("max-age=5")),
            (&[Some("max-age=60"), Some("Private"), Some("no-cache")], Some("private, no-cache")),
            (&[Some("max-age=60"), Some("no-store")], Some("no-store")),
            (&[None, Some("no-store")], Some("no-store")),
            (&[Some("max-age=60"), None], None),
            (&[Some("private, no-cache, max-age=60"), None], Some("private, no-cache")),
            (&[None, Some("public, immutable, s-maxage=60, stale-if-error=5"), Some("No-Cache")], Some("no-cache")),
            (&[None, Some("private=\"x\", public")], Some("private")),
            (&[Some("public, max-age=60\nvary: Accept-Language, X-Real-IP")], Some("private, max-age=60")),
            (&[Some("public, max-age=60\nvary: x-forwarded-for"), Some("max-age=9")], Some("private, max-age=9")),
            (&[Some("max-age=60"), Some("vary: Traceparent")], Some("private")),
            (&[Some("public, max-age=60\nvary: Accept-Encoding, Accept, Origin")], Some("public, max-age=60")),
            (&[Some("max-age=60, s-maxage=600"), Some("max-age=100")], Some("max-age=60, s-maxage=100")),
            (&[Some("s-maxage=600"), Some("max-age=100")], Some("s-maxage=100")),
            (&[Some("max-age=60\nage: 50"), Some("max-age=\"20\"")], Some("max-age=10")),
            (&[Some("max-age=x")], Some("max-age=0")),
            (&[Some("max-age=60\nvary: *")], Some("no-store")),
            (
                &[Some("max-age=9, immutable, stale-if-error=5"), Some("immutable, max-age=9, stale-if-error=3")],
                Some("immutable, max-age=9, stale-if-error=3"),
            ),
            (&[Some("max-age=9, must-revalidate"), Some("private=\"set-cookie\", max-age=8")], Some("private, must-revalidate, max-age=8")),
            (&[Some("x")], None),
        ] {
            assert_eq!(together(answers, false).as_deref(), expected, "{answers:?}");
        }
        assert_eq!(together(&[Some("public, max-age=9, s-maxage=10")], true).as_deref(), Some("private, max-age=9"));
    }
}
