//! A first token of each algorithm, before those of clients come: what the first one costs, such as the entropy that the process gathers (50 ms),
//! is paid for at start.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::config::{Algorithm, Expected};
use super::keys::Keys;
use super::reason::Reason;
use super::token::{ProcessKeys, payload};
use crate::filter::pseudonym::Pseudonyms;

/// Keys that nobody has, one a type: the generators of the curves (SEC 2, section 2; RFC 8032, section 5.1), and a modulus of ones.
const KEYS: [&str; 3] = [
    r#"{"kty":"EC","crv":"P-256","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY","y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}"#,
    r#"{"kty":"EC","crv":"P-384","x":"qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3","y":"NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f"}"#,
    r#"{"kty":"OKP","crv":"Ed25519","x":"WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY"}"#,
];

/// Verifies one token of each of these, unless that was done before.
pub(super) fn up(algorithms: impl Iterator<Item = Algorithm>) {
    static DONE: AtomicU32 = AtomicU32::new(0);
    ProcessKeys::get();
    Pseudonyms::of_this_process().of("");
    for algorithm in algorithms {
        let bit = 1 << algorithm as u32;
        if DONE.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            verify(algorithm);
        }
    }
}

/// Looks at a signature as at any other, to find that it is none.
fn verify(algorithm: Algorithm) -> Option<Reason> {
    let keys = match algorithm.secret_length() {
        0 => {
            let modulus = URL_SAFE_NO_PAD.encode([0xff; 256]);
            let rsa = json!({"kty": "RSA", "n": modulus, "e": "AQAB"}).to_string();
            Keys::from_jwks(format!(r#"{{"keys":[{},{rsa}]}}"#, KEYS.join(",")).as_bytes()).ok()?
        }
        length => Keys::from_secret(&vec![0; length]),
    };
    let length = match algorithm {
        Algorithm::ES256 | Algorithm::EdDSA => 64,
        Algorithm::ES384 => 96,
        _ if algorithm.secret_length() > 0 => algorithm.secret_length(),
        _ => 256,
    };
    // In both of its halves a number in range: whoever finds it out of range looks no further.
    let mut signature = vec![0; length];
    (signature[length / 2 - 1], signature[length - 1]) = (1, 1);
    let header = json!({"alg": algorithm.name()}).to_string();
    let [header, claims, signature] = [header.as_bytes(), b"{}", &signature].map(|part| URL_SAFE_NO_PAD.encode(part));
    payload(&format!("{header}.{claims}.{signature}"), &keys, &[algorithm], &Expected::Any).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_every_algorithm_gets_as_far_as_its_signature() {
        use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};
        for algorithm in [HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA] {
            assert_eq!(verify(algorithm), Some(Reason::Signature), "{algorithm:?}");
        }
    }
}
