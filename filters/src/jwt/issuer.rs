//! An issuer of tokens with a key of its own, made when it begins: for the demo and for tests, which have no identity provider.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use serde_json::{Value, json};

use super::Algorithm;

/// A signer with a fresh key.
pub struct Issuer {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Issuer {
    /// One whose key has this name. Of the HS family there is none: what it would publish is its secret.
    pub fn fresh(kid: &str, algorithm: Algorithm) -> Result<Self, String> {
        let random = SystemRandom::new();
        let failed = |_| "no key could be made".to_owned();
        let key = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => return Err("a secret is not published".to_owned()),
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(failed)?;
                EncodingKey::from_ec_der(pair.as_ref())
            }
            Algorithm::ES384 => {
                let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).map_err(failed)?;
                EncodingKey::from_ec_der(pair.as_ref())
            }
            Algorithm::EdDSA => EncodingKey::from_ed_der(Ed25519KeyPair::generate_pkcs8v1(&random).map_err(failed)?.as_ref()),
            _ => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?;
                // The key as PKCS #1 stands behind the 26 bytes that PKCS #8 puts before it, at this size.
                EncodingKey::from_rsa_der(der.as_ref().get(26..).ok_or("no key could be made")?)
            }
        };
        Ok(Self { kid: kid.to_owned(), algorithm, key })
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm.into()).map(|jwk| json!(jwk));
        let mut jwk = jwk.unwrap_or_else(|_| json!({}));
        jwk["kid"] = self.kid.as_str().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// The key set that it would publish.
    pub fn jwks(&self) -> String {
        json!({"keys": [self.jwk()]}).to_string()
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm.name(), "typ": "JWT", "kid": self.kid}).to_string(), claims.to_string().as_bytes())
    }

    /// Whatever this header and payload say, signed.
    pub fn sign(&self, header: &str, payload: &[u8]) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm.into()).unwrap_or_default();
        format!("{message}.{signature}")
    }
}
