//! One token: its signature, then its claims. Every way in which it can be bad is a [`Reason`].
//!
//! Of the header only `alg`, `typ`, `kid` and `crit` are read: keys that a token brings along or points to (`jwk`, `jku`, `x5c`, `x5u`) do not
//! exist here, and `kid` is compared with the names of keys that are there already.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SecureRandom;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip128::SipHasher24;

use super::config::{Algorithm, Expected};
use super::keys::Keys;
use super::reason::Reason;
use crate::words::claims::{Claim, Claims};

/// More than any issuer sends, less than would make verifying a weapon.
pub const LONGEST: usize = 16 * 1024;

/// Verifies a compact JWS (RFC 7515, section 7.1) of an allowed algorithm and type, and gives its payload.
pub fn payload(token: &str, keys: &Keys, allowed: &[Algorithm], types: &Expected) -> Result<Vec<u8>, Reason> {
    if token.len() > LONGEST {
        return Err(Reason::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Reason::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(Reason::Malformed)?;
    if payload.contains('.') || signature.is_empty() {
        return Err(Reason::Malformed);
    }
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::Malformed);
    let header = Claims::read(&decoded(header)?).ok_or(Reason::Malformed)?;
    let payload = decoded(payload)?;
    let signature = (signature, &*decoded(signature)?);

    let name = header.get("alg").and_then(Claim::text).ok_or(Reason::Malformed)?;
    let algorithm = *allowed.iter().find(|algorithm| algorithm.name() == name).ok_or(Reason::Algorithm)?;
    // No extension is understood, so all that must be understood is not (RFC 7515, section 4.1.11; RFC 7797).
    if header.get("crit").is_some() || header.get("b64").is_some() {
        return Err(Reason::Critical);
    }
    if let Some(kind) = header.get("typ")
        && !is_of(kind.text().ok_or(Reason::Malformed)?, types)
    {
        return Err(Reason::TokenType);
    }
    let kid = match header.get("kid") {
        None => None,
        Some(kid) => Some(kid.text().ok_or(Reason::Malformed)?),
    };
    if !keys.knows(kid) {
        return Err(Reason::UnknownKey);
    }
    let mut tried = false;
    for key in keys.candidates(algorithm, kid) {
        tried = true;
        if key.verifies(algorithm, message.as_bytes(), signature) {
            return Ok(payload);
        }
    }
    Err(if tried { Reason::Signature } else { Reason::KeyType })
}

/// Whether a token of this type will do: media types, in any case and with `application/` understood (RFC 7515, section 4.1.9).
fn is_of(kind: &str, types: &Expected) -> bool {
    const UNDERSTOOD: &str = "application/";
    let bare = |kind: &str| {
        let (start, rest) = kind.split_at_checked(UNDERSTOOD.len()).unwrap_or_default();
        let rest = if start.eq_ignore_ascii_case(UNDERSTOOD) && !rest.contains('/') { rest } else { kind };
        rest.to_ascii_lowercase()
    };
    match types {
        Expected::Any => true,
        Expected::OneOf(names) => names.iter().any(|name| bare(name) == bare(kind)),
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::HS256 => Self::HS256,
            Algorithm::HS384 => Self::HS384,
            Algorithm::HS512 => Self::HS512,
            Algorithm::RS256 => Self::RS256,
            Algorithm::RS384 => Self::RS384,
            Algorithm::RS512 => Self::RS512,
            Algorithm::PS256 => Self::PS256,
            Algorithm::PS384 => Self::PS384,
            Algorithm::PS512 => Self::PS512,
            Algorithm::ES256 => Self::ES256,
            Algorithm::ES384 => Self::ES384,
            Algorithm::EdDSA => Self::EdDSA,
        }
    }
}

/// What a token's claims must be.
pub struct Rules {
    /// `iss`.
    pub issuer: Expected,
    /// `aud`.
    pub audience: Expected,
    /// By how many seconds clocks may differ.
    pub leeway: f64,
}

/// Claims that were found good.
pub struct Checked {
    /// All of them.
    pub all: Claims,
    /// When they end, leeway included, in seconds since 1970.
    pub until: f64,
}

impl Rules {
    /// Checks a payload (RFC 7519, section 4.1) at this time, in seconds since 1970.
    pub fn check(&self, payload: &[u8], now: f64) -> Result<Checked, Reason> {
        let all = Claims::read(payload).ok_or(Reason::Claims)?;
        let issuer = text(&all, "iss")?;
        if self.issuer != Expected::Any && !issuer.is_some_and(|issuer| self.issuer.takes(issuer)) {
            return Err(Reason::Issuer);
        }
        if !self.is_for_us(&all)? {
            return Err(Reason::Audience);
        }
        text(&all, "sub")?;
        let until = date(&all, "exp")?.ok_or(Reason::NoExpiry)? + self.leeway;
        if now >= until {
            return Err(Reason::Expired);
        }
        if date(&all, "nbf")?.is_some_and(|from| now + self.leeway < from) {
            return Err(Reason::NotYetValid);
        }
        date(&all, "iat")?;
        Ok(Checked { all, until })
    }

    fn is_for_us(&self, claims: &Claims) -> Result<bool, Reason> {
        match claims.get("aud") {
            None => Ok(self.audience == Expected::Any),
            Some(Claim::Text(audience)) => Ok(self.audience.takes(audience)),
            Some(Claim::List(list)) => {
                let names = list.iter().map(Claim::text).collect::<Option<Vec<_>>>().ok_or(Reason::ClaimType)?;
                Ok(self.audience == Expected::Any || names.iter().any(|audience| self.audience.takes(audience)))
            }
            Some(_) => Err(Reason::ClaimType),
        }
    }
}

fn text<'c>(claims: &'c Claims, name: &str) -> Result<Option<&'c str>, Reason> {
    claims.get(name).map(|value| value.text().ok_or(Reason::ClaimType)).transpose()
}

/// A NumericDate: a number, never a text that looks like one.
fn date(claims: &Claims, name: &str) -> Result<Option<f64>, Reason> {
    let number = |value: &Claim| value.number().filter(|number| number.is_finite() && *number >= 0.0).ok_or(Reason::ClaimType);
    claims.get(name).map(number).transpose()
}

/// Secrets of this process, made once: what is keyed with them can be recognised by nobody else.
pub struct ProcessKeys {
    tokens: SipHasher24,
    subjects: hmac::Key,
}

impl ProcessKeys {
    /// The one pair there is.
    pub fn get() -> &'static Self {
        static KEYS: std::sync::LazyLock<ProcessKeys> = std::sync::LazyLock::new(|| {
            let random = aws_lc_rs::rand::SystemRandom::new();
            const NEVER: &str = "the system's source of randomness never fails once it is open";
            let mut key = [0; 16];
            random.fill(&mut key).expect(NEVER);
            let subjects = hmac::Key::generate(hmac::HMAC_SHA256, &random).expect(NEVER);
            ProcessKeys { tokens: SipHasher24::new_with_key(&key), subjects }
        });
        &KEYS
    }

    /// The name under which a token is remembered: SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012), a pseudorandom function. Who does
    /// not know the key finds no second token of the same name but by trying 2^128 of them on this process.
    pub fn token(&self, token: &str) -> u128 {
        self.tokens.hash(token.as_bytes()).as_u128()
    }

    /// What logs show in place of a subject: the same for the same one until the process ends.
    pub fn subject(&self, subject: &str) -> Box<str> {
        let tag = hmac::sign(&self.subjects, subject.as_bytes());
        URL_SAFE_NO_PAD.encode(&tag.as_ref()[..12]).into()
    }
}
