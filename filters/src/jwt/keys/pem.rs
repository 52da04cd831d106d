//! Public keys in PEM (RFC 7468): just enough DER to tell what a key is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::DecodingKey;

use super::{Check, Key, Kind, rsa};

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const NAME: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// Every key of the text.
pub(super) fn keys(text: &str) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----").ok_or("a PEM header is not closed")?;
        let (body, after) = after.split_once(&format!("-----END {label}-----")).ok_or("a PEM block is not closed")?;
        rest = after;
        let der = STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).map_err(|_| "a PEM block is not base64")?;
        let key = match label {
            "PUBLIC KEY" => subject_key(&der),
            "RSA PUBLIC KEY" => rsa_key(&der),
            "CERTIFICATE" => return Err("it holds a certificate: give the public key in it".to_owned()),
            label if label.contains("PRIVATE") => {
                return Err("it holds a private key, which has no place here: give the public one".to_owned());
            }
            _ => return Err("it holds something else than public keys".to_owned()),
        };
        keys.push(key?);
    }
    if keys.is_empty() { Err("it holds no public key in PEM".to_owned()) } else { Ok(keys) }
}

/// SubjectPublicKeyInfo (RFC 5280, section 4.1).
fn subject_key(der: &[u8]) -> Result<Key, &'static str> {
    const UNREADABLE: &str = "a public key cannot be read";
    let mut outer = Der(der).open(SEQUENCE).ok_or(UNREADABLE)?;
    let mut algorithm = outer.open(SEQUENCE).ok_or(UNREADABLE)?;
    let name = algorithm.open(NAME).ok_or(UNREADABLE)?.0;
    // The first byte counts unused bits, of which there are none.
    let bits = outer.open(BITS).and_then(|bits| bits.0.strip_prefix(&[0])).ok_or(UNREADABLE)?;
    let point = |kind, length| {
        let uncompressed = bits.len() == length && bits[0] == 4;
        if uncompressed {
            Ok(named(kind, Check::Other(DecodingKey::from_ec_der(bits))))
        } else {
            Err("a point is not in uncompressed form")
        }
    };
    match (name, algorithm.open(NAME).map(|curve| curve.0)) {
        (RSA, _) => rsa_key(bits),
        (EC, Some(P256)) => point(Kind::P256, 65),
        (EC, Some(P384)) => point(Kind::P384, 97),
        (ED25519, _) if bits.len() == 32 => Ok(named(Kind::Ed25519, Check::Other(DecodingKey::from_ed_der(bits)))),
        _ => Err("a public key is of a type that is not known here"),
    }
}

/// RSAPublicKey (RFC 8017, appendix A.1.1).
fn rsa_key(der: &[u8]) -> Result<Key, &'static str> {
    let mut outer = Der(der).open(SEQUENCE).ok_or("an RSA key cannot be read")?;
    let (n, e) = outer.open(INTEGER).zip(outer.open(INTEGER)).ok_or("an RSA key cannot be read")?;
    rsa::key(n.0, e.0).map(|key| named(Kind::Rsa, Check::Rsa(key))).map_err(|_| "an RSA key is too short, too long or known to be weak")
}

fn named(kind: Kind, check: Check) -> Key {
    Key { kid: None, algorithm: None, kind, check }
}

/// What is left to read.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The content of the next element, where it has this tag; what follows is left.
    fn open(&mut self, tag: u8) -> Option<Der<'d>> {
        let (&[found, first], rest) = self.0.split_first_chunk::<2>()?;
        if found != tag {
            return None;
        }
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
            0x82 => rest.split_first_chunk::<2>().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Der(content))
    }
}
