//! Tokens for load tests: `cargo run --release --example tokens -- KEY.der COUNT ROLE` signs COUNT tokens with RS256, one a line,
//! valid for a day.
//!
//! With `time` in place of the count it verifies one token over and over and prints the microseconds that one takes.

use std::io::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

const ROUNDS: u32 = 2000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [key, count, role] = &arguments[..] else { panic!("three arguments: the key's file, how many or `time`, the role") };
    let key = EncodingKey::from_rsa_der(&std::fs::read(key).expect("the private key, PKCS #1 in DER"));
    let sign = |number: usize| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
        let claims = json!({
            "iss": "https://id.shop.example/", "aud": "shop-bff", "sub": format!("user-{number}"), "roles": [role],
            "plan": (["free", "plus", "partner"][number % 3]), "iat": now, "exp": now + 86_400,
        });
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).expect("a token")
    };
    let mut out = std::io::stdout().lock();
    if count == "time" {
        let public = std::fs::read(arguments[0].replace(".der", ".pub.der")).expect("the public key beside the private one");
        let public = DecodingKey::from_rsa_der(&public);
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&["shop-bff"]);
        let token = sign(0);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            jsonwebtoken::decode::<Value>(&token, &public, &validation).expect("a good token");
        }
        writeln!(out, "{:.2}", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)).expect("standard output");
        return;
    }
    for number in 0..count.parse().expect("a number") {
        writeln!(out, "{}", sign(number)).expect("standard output");
    }
}
