//! Keys that verify: what each is good for, and which of them a token may be tried with.
//!
//! A key never verifies for an algorithm that its type does not fit, so a public key can never stand in for a secret. A set has a
//! generation that no other set of this process has; whatever was verified under one generation says nothing under the next.

mod pem;
mod rsa;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;

use rsa::RsaKey;

use super::config::Algorithm;
use crate::filter::document::{self, Document};
use crate::words::claims::{Claim, Claims};

/// The most keys of a set: a token that names no key is tried with all that fit.
const MOST_KEYS: usize = 64;

/// One key.
pub struct Key {
    kid: Option<Box<str>>,
    /// The only algorithm it is for, where it says so.
    algorithm: Option<Algorithm>,
    kind: Kind,
    check: Check,
}

/// What looks at signatures.
enum Check {
    Rsa(RsaKey),
    Other(DecodingKey),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Of this many bytes.
    Secret(usize),
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Keys that were had together.
pub struct Keys {
    keys: Box<[Key]>,
    generation: u64,
    fingerprint: [u8; 32],
}

impl Key {
    /// A shared secret. It fits the algorithms whose hash is no longer than it.
    pub fn secret(kid: Option<&str>, algorithm: Option<Algorithm>, secret: &[u8]) -> Self {
        let check = Check::Other(DecodingKey::from_secret(secret));
        Self { kid: kid.map(Box::from), algorithm, kind: Kind::Secret(secret.len()), check }
    }

    /// Whether this is the message's signature; in base64url and as the bytes that this stands for.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], (text, signature): (&str, &[u8])) -> bool {
        #[cfg(test)]
        super::tests::VERIFICATIONS.with(|count| count.set(count.get() + 1));
        match &self.check {
            Check::Rsa(key) => key.verifies(algorithm, message, signature),
            Check::Other(key) => jsonwebtoken::crypto::verify(text, message, key, algorithm.into()).unwrap_or(false),
        }
    }

    /// Whether it may verify this algorithm's signatures.
    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let type_fits = match self.kind {
            Kind::Secret(length) => algorithm.secret_length() > 0 && length >= algorithm.secret_length(),
            Kind::Rsa => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Kind::P256 => algorithm == ES256,
            Kind::P384 => algorithm == ES384,
            Kind::Ed25519 => algorithm == EdDSA,
        };
        type_fits && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Reads a JWK (RFC 7517, section 4) that verifies with a public key. The error says why it is passed over.
    fn from_jwk(jwk: &Claims) -> Result<Self, &'static str> {
        let text = |name: &str| jwk.get(name).and_then(Claim::text);
        let bytes = |name: &str| text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        if jwk.get("use").is_some_and(|usage| usage.text() != Some("sig")) {
            return Err("it is not for signatures");
        }
        if let Some(operations) = jwk.get("key_ops")
            && !operations.list().is_some_and(|list| list.iter().any(|operation| operation.text() == Some("verify")))
        {
            return Err("it is not for verifying");
        }
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(name.text().and_then(Algorithm::of).ok_or("its algorithm is not known here")?),
        };
        let (kind, check) = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => {
                let (n, e) = (bytes("n").ok_or("its modulus is missing")?, bytes("e").ok_or("its exponent is missing")?);
                (Kind::Rsa, Check::Rsa(rsa::key(&n, &e)?))
            }
            (Some("EC"), Some(curve @ ("P-256" | "P-384"))) => {
                let (kind, length) = if curve == "P-256" { (Kind::P256, 32) } else { (Kind::P384, 48) };
                let (x, y) = (bytes("x").ok_or("its x is missing")?, bytes("y").ok_or("its y is missing")?);
                if x.len() != length || y.len() != length {
                    return Err("its point is not one of its curve");
                }
                (kind, Check::Other(DecodingKey::from_ec_der(&[&[4], &x[..], &y[..]].concat())))
            }
            (Some("OKP"), Some("Ed25519")) => {
                let x = bytes("x").filter(|x| x.len() == 32).ok_or("its point is not one of its curve")?;
                (Kind::Ed25519, Check::Other(DecodingKey::from_ed_der(&x)))
            }
            (Some("oct"), _) => return Err("it is a secret, which has no place among public keys"),
            _ => return Err("its type is not known here"),
        };
        let kid = match jwk.get("kid") {
            None => None,
            Some(kid) => Some(kid.text().ok_or("its `kid` is not text")?.into()),
        };
        let key = Self { kid, algorithm, kind, check };
        if algorithm.is_some_and(|algorithm| !key.fits(algorithm)) {
            return Err("its type does not fit its algorithm");
        }
        Ok(key)
    }
}

impl Keys {
    /// Reads a JSON Web Key Set. A key that cannot be used is passed over with a word in the log; a set without any is an error.
    pub fn from_jwks(text: &[u8]) -> Result<Self, String> {
        // Some editors put a byte order mark before what they write; it may be passed over (RFC 8259, section 8.1).
        let set = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let set = Claims::read(set).ok_or("it is not a JSON object, or has duplicate names")?;
        let list = set.get("keys").and_then(Claim::list).ok_or("it has no list `keys`")?;
        if list.len() > MOST_KEYS {
            return Err(format!("it has {} keys; the maximum is {MOST_KEYS}", list.len()));
        }
        let mut keys: Vec<Key> = Vec::new();
        let mut passed_over = Vec::new();
        for (index, jwk) in list.iter().enumerate() {
            match jwk.object().ok_or("it is not an object").and_then(Key::from_jwk) {
                Ok(key) => keys.push(key),
                Err(why) => passed_over.push(format!("key {index}: {why}")),
            }
        }
        // Which of two was meant cannot be known.
        let doubled: Vec<Box<str>> = (keys.iter().enumerate())
            .filter(|(index, key)| key.kid.is_some() && keys[..*index].iter().any(|other| other.kid == key.kid))
            .filter_map(|(_, key)| key.kid.clone())
            .collect();
        if !doubled.is_empty() {
            keys.retain(|key| !key.kid.as_ref().is_some_and(|kid| doubled.contains(kid)));
            passed_over.push("keys that share their `kid`".to_owned());
        }
        if keys.is_empty() {
            passed_over.insert(0, "it has no key that can be used".to_owned());
            return Err(passed_over.join("; "));
        }
        if !passed_over.is_empty() {
            log::debug!("a key set is used without {}", passed_over.join("; "));
        }
        Ok(Self::new(keys, text))
    }

    /// Reads a document that holds a JSON Web Key Set: its generation is theirs.
    pub fn from_document(document: &Document) -> Result<Self, String> {
        Ok(Self { generation: document.generation(), ..Self::from_jwks(document.bytes())? })
    }

    /// Reads public keys in PEM, one or more: `PUBLIC KEY` (RFC 5280) or `RSA PUBLIC KEY` (RFC 8017).
    pub fn from_pem(text: &str) -> Result<Self, String> {
        Ok(Self::new(pem::keys(text)?, text.as_bytes()))
    }

    /// A shared secret alone.
    pub fn from_secret(secret: &[u8]) -> Self {
        Self::new(vec![Key::secret(None, None, secret)], secret)
    }

    /// These keys, which were read from this text.
    pub fn new(keys: Vec<Key>, text: &[u8]) -> Self {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, text).as_ref());
        Self { keys: keys.into(), generation: document::generation(), fingerprint }
    }

    /// No other set of this process has it, but for one that was read from the same document.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether both were read from the same text.
    pub fn same_as(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a set without keys cannot be made from a text.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys to try a token with. A key without a name of its own, as from PEM, is tried whatever the token names.
    pub(super) fn candidates(&self, algorithm: Algorithm, kid: Option<&str>) -> impl Iterator<Item = &Key> {
        self.keys
            .iter()
            .filter(move |key| key.fits(algorithm) && key.kid.as_deref().is_none_or(|known| kid.is_none_or(|wanted| known == wanted)))
    }

    /// Whether the token's key is one of these, as far as its name tells.
    pub(super) fn knows(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|wanted| self.keys.iter().any(|key| key.kid.as_deref().is_none_or(|known| known == wanted)))
    }
}
