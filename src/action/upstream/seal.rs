//! Texts under the gateway's signature, for cookies: who holds one cannot make another, nor use one for what it was not made for.
//!
//! The signature is HMAC-SHA-256 (RFC 2104) in base64url, over what the text is for and the text itself.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The bytes that a key must have at least: of fewer, every one could be tried.
const SHORTEST: usize = 16;

/// Signs and verifies under one key.
pub(crate) struct Seal(hmac::Key);

impl Seal {
    /// Under this key.
    pub(crate) fn new(secret: &[u8]) -> Result<Self, String> {
        if secret.len() < SHORTEST {
            return Err(format!("the key of a signed cookie has {} bytes, and needs {SHORTEST} at least", secret.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The text with its signature behind a dot.
    pub(super) fn put(&self, purpose: &str, text: &str) -> String {
        let tag = hmac::sign(&self.0, &whole(purpose, text.as_bytes()));
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// The text, where it is one that was signed for this purpose under this key.
    pub(super) fn open<'s>(&self, purpose: &str, sealed: &'s [u8]) -> Option<&'s str> {
        let dot = sealed.iter().rposition(|byte| *byte == b'.')?;
        let (text, tag) = (&sealed[..dot], URL_SAFE_NO_PAD.decode(&sealed[dot + 1..]).ok()?);
        hmac::verify(&self.0, &whole(purpose, text), &tag).ok()?;
        std::str::from_utf8(text).ok()
    }

    /// A name for this under the key, which says nothing of it to anybody else.
    pub(super) fn name(&self, purpose: &str, of: &str) -> String {
        let tag = hmac::sign(&self.0, &whole(purpose, of.as_bytes()));
        tag.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What is signed. No purpose holds the byte between.
fn whole(purpose: &str, text: &[u8]) -> Vec<u8> {
    [purpose.as_bytes(), &[0], text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &str) -> Seal {
        Seal::new(key.as_bytes()).expect("a key")
    }

    #[test]
    fn what_was_signed_opens_for_its_purpose_and_under_its_key_alone() {
        let ours = seal("0123456789abcdef");
        let sealed = ours.put("visitor", "a.b");

        assert_eq!(ours.open("visitor", sealed.as_bytes()), Some("a.b"));
        assert_eq!(ours.open("write", sealed.as_bytes()), None);
        assert_eq!(seal("0123456789abcdeF").open("visitor", sealed.as_bytes()), None);
        assert!(Seal::new(b"too short").is_err());
    }

    #[test]
    fn every_changed_byte_and_every_shorter_text_is_refused() {
        let ours = seal("0123456789abcdef");
        let sealed = ours.put("visitor", "7.1").into_bytes();

        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(ours.open("visitor", &forged), None, "byte {at}");
            assert_eq!(ours.open("visitor", &sealed[..at]), None, "the first {at} bytes");
        }
        for none in [&b""[..], b".", b"7.1", b"7.1.", b"\xff.\xff"] {
            assert_eq!(ours.open("visitor", none), None);
        }
    }
}
