//! RSA keys, refused where they are known to be weak.

use aws_lc_rs::signature::{
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};

use crate::jwt::config::Algorithm;

const ALGORITHMS: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::RS256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::RS384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::RS512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::PS256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::PS384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::PS512, &RSA_PSS_2048_8192_SHA512),
];

/// A public key, parsed once for each algorithm: to parse it for each token costs a sixth of a check.
pub(super) struct RsaKey(Box<[(Algorithm, ParsedPublicKey)]>);

impl RsaKey {
    /// Whether this is the message's signature (RFC 7518, sections 3.3 and 3.5).
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|(own, key)| *own == algorithm && key.verify_sig(message, signature).is_ok())
    }
}

/// A key from modulus and exponent, big-endian. The error says why it is no good.
pub(super) fn key(n: &[u8], e: &[u8]) -> Result<RsaKey, &'static str> {
    let (n, e) = (trimmed(n), trimmed(e));
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err("its modulus has not between 2048 and 8192 bits");
    }
    if e.last().is_none_or(|byte| byte % 2 == 0) || e == [1] || e.len() > 8 {
        return Err("its exponent is not one that verifies safely");
    }
    if is_roca(n) {
        return Err("its modulus comes from a generator whose keys can be factored (CVE-2017-15361)");
    }
    let parsed = ALGORITHMS.iter().map(|(algorithm, parameters)| {
        let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
        key.map(|key| (*algorithm, key)).map_err(|_| "its modulus and exponent are no key")
    });
    Ok(RsaKey(parsed.collect::<Result<_, _>>()?))
}

fn trimmed(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

/// Moduli of the flawed generator are powers of 65537 modulo every small prime; a sound one is so by chance once in 2^27.
fn is_roca(n: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131,
        137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|&prime| {
        let rest = n.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let powers = std::iter::successors(Some(1), |power| Some(power * (65537 % prime) % prime));
        powers.take(prime as usize).any(|power| power == rest)
    })
}
