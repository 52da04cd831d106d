//! Names in place of what logs must not show: keyed hashes, the same for the same value for as long as the key is the same.
//!
//! A name is the first 96 bits of HMAC-SHA-256 (RFC 2104) in base64url: who has the key finds the name of a value, and nobody finds the value of
//! a name.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::document::generation;

/// How long a name is.
const NAME: usize = 16;

/// Gives names under one key.
pub struct Pseudonyms {
    key: hmac::Key,
    generation: u64,
}

/// One part of what a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// What logs may show as it is: addresses, and words of the configuration.
    Plain(Box<str>),
    /// What they show the name of.
    Named(Box<[u8]>),
}

impl Pseudonyms {
    /// The bytes that a key must have at least: of fewer, every one could be tried.
    pub const SHORTEST: usize = 16;

    /// Names under a key of this process, which nobody else can give.
    pub fn of_this_process() -> Arc<Self> {
        static OWN: LazyLock<Arc<Pseudonyms>> = LazyLock::new(|| {
            let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new());
            Arc::new(Pseudonyms::new(key.expect("the system's source of randomness never fails once it is open")))
        });
        OWN.clone()
    }

    /// Names under this key: the same wherever it is used.
    pub fn keyed(secret: &[u8]) -> Result<Self, String> {
        if secret.len() < Self::SHORTEST {
            return Err(format!("the key of hashes has {} bytes, and needs {} at least", secret.len(), Self::SHORTEST));
        }
        Ok(Self::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    fn new(key: hmac::Key) -> Self {
        Self { key, generation: generation() }
    }

    /// The name of a value.
    pub fn of(&self, value: impl AsRef<[u8]>) -> Box<str> {
        let mut name = String::with_capacity(NAME);
        self.put(value.as_ref(), &mut name);
        name.into()
    }

    fn put(&self, value: &[u8], out: &mut String) {
        URL_SAFE_NO_PAD.encode_string(&hmac::sign(&self.key, value).as_ref()[..12], out);
    }

    /// What logs show in place of a limit's key: of an address alone, which most limits count by, the very text that is there.
    pub fn of_parts<'p>(&self, parts: &'p [Part]) -> Cow<'p, str> {
        if let [Part::Plain(text)] = parts {
            return Cow::Borrowed(text);
        }
        let length = |part: &Part| match part {
            Part::Plain(text) => text.len(),
            Part::Named(_) => NAME,
        };
        let mut shown = String::with_capacity(parts.iter().map(|part| length(part) + 1).sum());
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                shown.push(',');
            }
            match part {
                Part::Plain(text) => shown.push_str(text),
                Part::Named(value) => self.put(value, &mut shown),
            }
        }
        Cow::Owned(shown)
    }

    /// Whether both give the same names.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.of("") == other.of("")
    }

    /// No others of this process have it.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_beginning_of_the_keyed_hash() {
        // RFC 4231, test case 6: a key of 131 bytes.
        let names = Pseudonyms::keyed(&[0xaa; 131]).expect("a key");
        let tag = [0x60, 0xe4, 0x31, 0x59, 0x1e, 0xe0, 0xb6, 0x7f, 0x0d, 0x8a, 0x26, 0xaa];

        assert_eq!(*names.of("Test Using Larger Than Block-Size Key - Hash Key First"), *URL_SAFE_NO_PAD.encode(tag));
    }

    #[test]
    fn names_differ_by_key_and_agree_under_the_same() {
        let [one, same, other] =
            ["0123456789abcdef", "0123456789abcdef", "0123456789abcdeF"].map(|key| Pseudonyms::keyed(key.as_bytes()).expect("a key"));

        assert!(one.agrees_with(&same) && !one.agrees_with(&other));
        assert_ne!(one.generation(), same.generation());
        assert_eq!(one.of("user-1"), same.of("user-1"));
        assert_ne!(one.of("user-1"), other.of("user-1"));
        assert!(Pseudonyms::keyed(b"too short").is_err());
    }

    #[test]
    fn an_address_is_shown_and_everything_else_is_named() {
        let names = Pseudonyms::keyed(b"0123456789abcdef").expect("a key");

        let parts = [Part::Named(b"user-1"[..].into()), Part::Plain("192.0.2.1".into())];
        let shown = names.of_parts(&parts);

        assert_eq!(shown, format!("{},192.0.2.1", names.of("user-1")));
        assert!(matches!(names.of_parts(&[Part::Plain("192.0.2.1".into())]), Cow::Borrowed("192.0.2.1")));
        assert_eq!((names.of_parts(&[Part::Named(b"user-1"[..].into())]).as_ref(), names.of("user-1").len()), (&*names.of("user-1"), NAME));
        assert_eq!(names.of_parts(&[]), "");
    }
}
