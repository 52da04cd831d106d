use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

fn forge(header: &Value, claims: &Value, signature: &str) -> String {
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", encoded(header), encoded(claims))
}

/// Signs with a secret, as one does who takes a public key for it.
fn hmac(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = forge(header, claims, "");
    let message = message.trim_end_matches('.');
    let algorithm = match header["alg"].as_str() {
        Some("HS384") => jsonwebtoken::Algorithm::HS384,
        Some("HS512") => jsonwebtoken::Algorithm::HS512,
        _ => jsonwebtoken::Algorithm::HS256,
    };
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    format!("{message}.{}", jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).expect("a signature"))
}

#[track_caller]
fn refused(filter: &Jwt, token: &str, word: &str, attack: &str) {
    let outcome = bearer(filter, token);
    assert_eq!((outcome.status(), outcome.facts.reason), (401, word), "{attack}: {token}");
    assert!(outcome.facts.identity.is_none());
}

#[test]
fn no_algorithm_is_no_algorithm_in_any_spelling() {
    let filter = filter(all_keys(), "{}");
    for name in ["none", "None", "NONE", "nOnE", "none ", " none", "", "null", "NoNe\u{0}", "es256", "ES256 ", "HS256", "ES512", "RS1"] {
        for signature in ["", "AA", "eyJhbGciOiJub25lIn0"] {
            let token = forge(&json!({"alg": name, "kid": "es"}), &good(), signature);
            refused(&filter, &token, if signature.is_empty() { "malformed" } else { "algorithm" }, name);
        }
    }
    for header in [json!({}), json!({"alg": null}), json!({"alg": ["none"]}), json!({"alg": 0}), json!({"alg": {"ES256": 1}})] {
        refused(&filter, &forge(&header, &good(), "AA"), "malformed", "an algorithm that is no text");
    }
}

#[test]
fn a_public_key_never_stands_in_for_a_secret() {
    let jwk = RS256.jwk();
    let n = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().expect("a modulus")).expect("base64");
    let e = URL_SAFE_NO_PAD.decode(jwk["e"].as_str().expect("an exponent")).expect("base64");
    let integer = |bytes: &[u8]| {
        let mut body = vec![0];
        body.extend_from_slice(bytes);
        [&[2, 0x82][..], &(body.len() as u16).to_be_bytes(), &body].concat()
    };
    let sequence = |body: &[u8]| [&[0x30, 0x82][..], &(body.len() as u16).to_be_bytes(), body].concat();
    let pkcs1 = sequence(&[integer(&n), integer(&e)].concat());
    let algorithm = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    let mut bits = vec![0];
    bits.extend_from_slice(&pkcs1);
    let bits = [&[3, 0x82][..], &(bits.len() as u16).to_be_bytes(), &bits].concat();
    let spki = sequence(&[&algorithm[..], &bits].concat());
    let pem = |label: &str, der: &[u8], line: usize, end: &str| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = text.as_bytes().chunks(line).map(|chunk| std::str::from_utf8(chunk).expect("ASCII")).collect();
        format!("-----BEGIN {label}-----{end}{}{end}-----END {label}-----{end}", lines.join(end)).into_bytes()
    };
    let mut secrets = vec![n.clone(), e, pkcs1.clone(), spki.clone(), jwk.to_string().into_bytes(), RS256.jwks().into_bytes(), Vec::new()];
    secrets.push(jwk["n"].as_str().expect("a modulus").as_bytes().to_vec());
    for (label, der) in [("PUBLIC KEY", &spki), ("RSA PUBLIC KEY", &pkcs1)] {
        for end in ["\n", "\r\n"] {
            let text = pem(label, der, 64, end);
            secrets.push(text.trim_ascii_end().to_vec());
            secrets.push(text);
            secrets.push(pem(label, der, 10_000, end));
        }
        secrets.push(STANDARD.encode(der).into_bytes());
        secrets.push(URL_SAFE_NO_PAD.encode(der).into_bytes());
    }
    let pem_keys = Keys::from_pem(std::str::from_utf8(&pem("PUBLIC KEY", &spki, 64, "\n")).expect("text")).expect("keys");
    let from_pem = filter(pem_keys, r#"{"algorithms": ["RS256"]}"#);
    assert_eq!(bearer(&from_pem, &RS256.token(&good())).status(), 200);
    let from_set = filter(all_keys(), "{}");
    // As if somebody had allowed it: the types of the keys still refuse.
    let mut careless = filter(all_keys(), "{}");
    careless.algorithms = Box::new([Algorithm::HS256, Algorithm::HS384, Algorithm::HS512, Algorithm::RS256]);

    for secret in &secrets {
        for name in ["HS256", "HS384", "HS512"] {
            let token = hmac(&json!({"alg": name, "kid": "rs"}), &good(), secret);
            refused(&from_pem, &token, "algorithm", "RS to HS");
            refused(&from_set, &token, "algorithm", "RS to HS");
            refused(&careless, &token, "key_type", "RS to HS");
        }
    }
}

#[test]
fn a_key_verifies_only_what_its_type_can() {
    let filter = filter(all_keys(), r#"{"algorithms": ["ES256", "RS256", "PS256", "EdDSA", "ES384"]}"#);
    for (header, issuer) in [
        (json!({"alg": "ES256", "kid": "rs"}), &RS256),
        (json!({"alg": "EdDSA", "kid": "es"}), &ES256),
        (json!({"alg": "ES384", "kid": "es"}), &ES256),
        // The key's own `alg` says RS256.
        (json!({"alg": "PS256", "kid": "rs"}), &RS256),
    ] {
        refused(&filter, &issuer.sign(&header.to_string(), good().to_string().as_bytes()), "key_type", "another type");
    }
    refused(&filter, &ES256.sign(r#"{"alg": "RS256", "kid": "rs"}"#, good().to_string().as_bytes()), "signature", "another key");
}

#[test]
fn psychic_signatures_are_none() {
    let filter = filter(all_keys(), "{}");
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&order[at * 2..at * 2 + 2], 16).expect("hexadecimal")).collect();
    for (r, s) in [(vec![0; 32], vec![0; 32]), (order.clone(), order.clone()), (vec![0; 32], order.clone()), (order, vec![0; 32])] {
        let token = forge(&json!({"alg": "ES256", "kid": "es"}), &good(), &URL_SAFE_NO_PAD.encode([r, s].concat()));
        refused(&filter, &token, "signature", "r and s of zero");
    }
    // The ASN.1 form of the same.
    let token = forge(&json!({"alg": "ES256", "kid": "es"}), &good(), &URL_SAFE_NO_PAD.encode([0x30, 6, 2, 1, 0, 2, 1, 0]));
    refused(&filter, &token, "signature", "zero in ASN.1");
}

#[test]
fn a_kid_is_compared_and_nothing_else() {
    let filter = filter(all_keys(), "{}");
    for kid in ["../../../../dev/null", "/dev/null", "es\u{0}", "ES", "es ", "' OR 1=1 --", "$(id)", "http://evil/key", "", "..%2f"] {
        let token = ES256.sign(&json!({"alg": "ES256", "kid": kid}).to_string(), good().to_string().as_bytes());
        refused(&filter, &token, "unknown_key", kid);
        refused(&filter, &hmac(&json!({"alg": "HS256", "kid": kid}), &good(), b""), "algorithm", kid);
    }
    for kid in [json!(1), json!(["es"]), json!(null), json!({"es": 1})] {
        let token = ES256.sign(&json!({"alg": "ES256", "kid": kid}).to_string(), good().to_string().as_bytes());
        refused(&filter, &token, "malformed", "a kid that is no text");
    }
}

#[test]
fn keys_that_a_token_brings_along_are_not_looked_at() {
    let filter = filter(all_keys(), "{}");
    let evil = Issuer::fresh("es", Algorithm::ES256).expect("a key");
    for (name, value) in [
        ("jwk", evil.jwk()),
        ("jku", json!("http://127.0.0.1:1/keys")),
        ("x5u", json!("http://127.0.0.1:1/cert")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "es"});
        header[name] = value.clone();
        refused(&filter, &evil.sign(&header.to_string(), good().to_string().as_bytes()), "signature", name);
        header.as_object_mut().expect("an object").remove("kid");
        refused(&filter, &evil.sign(&header.to_string(), good().to_string().as_bytes()), "signature", name);
    }
}

#[test]
fn what_must_be_understood_and_is_not_refuses_the_token() {
    let filter = filter(all_keys(), "{}");
    for header in [
        json!({"alg": "ES256", "kid": "es", "crit": ["exp"]}),
        json!({"alg": "ES256", "kid": "es", "crit": []}),
        json!({"alg": "ES256", "kid": "es", "crit": null}),
        json!({"alg": "ES256", "kid": "es", "crit": ["b64"], "b64": false}),
        json!({"alg": "ES256", "kid": "es", "b64": false}),
    ] {
        refused(&filter, &ES256.sign(&header.to_string(), good().to_string().as_bytes()), "critical_header", "crit");
    }
}

#[test]
fn names_that_stand_twice_refuse_the_token() {
    let filter = filter(all_keys(), "{}");
    let header = r#"{"alg": "ES256", "kid": "es"}"#;
    let body = good().to_string();
    for (header, payload, word) in [
        (header, body.replacen('{', r#"{"sub":"admin","#, 1), "claims"),
        (header, body.replacen('{', r#"{"s\u0075b":"admin","#, 1), "claims"),
        (header, body.replacen('{', r#"{"exp":99999999999,"#, 1), "claims"),
        (header, body.replacen('{', r#"{"deep":{"a":1,"a":2},"#, 1), "claims"),
        (r#"{"alg": "none", "alg": "ES256", "kid": "es"}"#, body.clone(), "malformed"),
        (r#"{"alg": "ES256", "kid": "es", "kid": "rs"}"#, body.clone(), "malformed"),
        (header, "[]".to_owned(), "claims"),
        (header, "\"x\"".to_owned(), "claims"),
        (header, String::new(), "claims"),
        (header, format!("{body}{body}"), "claims"),
        (r#"["ES256"]"#, body, "malformed"),
    ] {
        refused(&filter, &ES256.sign(header, payload.as_bytes()), word, header);
    }
}

#[test]
fn an_end_is_a_number() {
    let filter = filter(all_keys(), "{}");
    for exp in ["\"99999999999\"", "true", "null", "[99999999999]", "{\"n\":1}", "-1", "\"never\""] {
        let payload = good().to_string().replace(&format!("{}", NOW + 600), exp);
        refused(&filter, &ES256.sign(r#"{"alg":"ES256","kid":"es"}"#, payload.as_bytes()), "claim_type", exp);
    }
    for exp in ["1e999", "NaN", "Infinity", "0x7fffffff", "+1"] {
        let payload = good().to_string().replace(&format!("{}", NOW + 600), exp);
        refused(&filter, &ES256.sign(r#"{"alg":"ES256","kid":"es"}"#, payload.as_bytes()), "claims", exp);
    }
    for name in ["nbf", "iat"] {
        refused(&filter, &ES256.token(&with(name, json!("0"))), "claim_type", name);
    }
}

#[test]
fn a_token_that_says_it_is_something_else_is_refused() {
    let typed = |filter: &Jwt, typ: &str| {
        let header = format!(r#"{{"alg":"ES256","kid":"es"{typ}}}"#);
        let outcome = bearer(filter, &ES256.sign(&header, good().to_string().as_bytes()));
        (outcome.status(), outcome.facts.reason)
    };
    let (good, other, malformed) = ((200, ""), (401, "token_type"), (401, "malformed"));
    let usual = filter(all_keys(), "{}");
    for (typ, expected) in [
        ("", good),
        (r#","typ":"JWT""#, good),
        (r#","typ":"jwt""#, good),
        (r#","typ":"at+jwt""#, good),
        (r#","typ":"Application/AT+JWT""#, good),
        (r#","typ":"logout+jwt""#, other),
        (r#","typ":"application/logout+jwt""#, other),
        (r#","typ":"application/application/at+jwt""#, other),
        (r#","typ":"text/at+jwt""#, other),
        (r#","typ":"id_token""#, other),
        (r#","typ":"dpop+jwt""#, other),
        (r#","typ":"JWT ""#, other),
        (r#","typ":"""#, other),
        (r#","typ":null"#, malformed),
        (r#","typ":["JWT"]"#, malformed),
    ] {
        assert_eq!(typed(&usual, typ), expected, "{typ}");
    }
    let (narrow, any) = (filter(all_keys(), r#"{"typ": "application/at+jwt"}"#), filter(all_keys(), r#"{"typ": "any"}"#));
    assert_eq!((typed(&narrow, r#","typ":"at+jwt""#), typed(&narrow, r#","typ":"JWT""#)), (good, other));
    assert_eq!((typed(&any, r#","typ":"logout+jwt""#), typed(&any, r#","typ":1"#)), (good, malformed));
}

#[test]
fn only_the_compact_form_is_a_bearer_token() {
    let filter = filter(all_keys(), "{}");
    let token = ES256.token(&good());
    let parts: Vec<&str> = token.split('.').collect();
    for (text, word) in [
        (format!("{token}."), "malformed"),
        (format!(".{token}"), "malformed"),
        (format!("{}.{}", parts[0], parts[1]), "malformed"),
        (format!("{}..{}", parts[0], parts[2]), "signature"),
        (format!("{}.{}.", parts[0], parts[1]), "malformed"),
        (format!("{token}="), "malformed"),
        (format!("{}=.{}.{}", parts[0], parts[1], parts[2]), "malformed"),
        (format!("{token}.{}.{}", parts[1], parts[2]), "malformed"),
        (token.replace('.', "/"), "malformed"),
        ("..".to_owned(), "malformed"),
    ] {
        refused(&filter, &text, word, "another form");
    }
}

#[test]
fn a_short_secret_is_none() {
    for (algorithm, length) in [(Algorithm::HS256, 31), (Algorithm::HS384, 47), (Algorithm::HS512, 63)] {
        let secret = vec![7; length];
        let key = Keys::new(vec![Key::secret(None, None, &secret)], b"");
        let token = hmac(&json!({"alg": algorithm.name()}), &good(), &secret);
        assert_eq!(payload(&token, &key, &[algorithm], &Expected::Any).err(), Some(Reason::KeyType));
    }
    let good_key = Keys::from_secret(SECRET.as_bytes());
    let token = hmac(&json!({"alg": "HS256"}), &good(), SECRET.as_bytes());
    assert!(payload(&token, &good_key, &[Algorithm::HS256], &Expected::Any).is_ok());
}

#[test]
fn private_and_foreign_pem_is_refused_with_words() {
    for (text, words) in [
        ("", "no public key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "private"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "certificate"),
        ("-----BEGIN PUBLIC KEY-----\n!!!\n-----END PUBLIC KEY-----", "base64"),
        ("-----BEGIN PUBLIC KEY-----\nMAAA\n-----END PUBLIC KEY-----", "cannot be read"),
        ("-----BEGIN PUBLIC KEY-----\nMAAA", "not closed"),
    ] {
        let error = Keys::from_pem(text).err().expect("an error");
        assert!(error.contains(words), "{text}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_panics_or_passes(text in "[!-~ ]{0,200}") {
        let filter = filter(all_keys(), "{}");
        prop_assert_ne!(ask(&filter, &[("Authorization", &text)]).status(), 200);
        prop_assert_ne!(ask(&filter, &[("Authorization", &format!("Bearer {text}"))]).status(), 200);
    }

    #[test]
    fn no_change_of_a_good_token_passes(at in 0_usize..400, to in "[A-Za-z0-9_.=~+/-]") {
        let filter = filter(all_keys(), "{}");
        let token = ES256.token(&good());
        let at = at % token.len();
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != token);
        prop_assert_eq!(bearer(&filter, &changed).status(), 401);
    }

    #[test]
    fn no_payload_panics(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let filter = filter(all_keys(), "{}");
        prop_assert_eq!(bearer(&filter, &ES256.sign(r#"{"alg":"ES256","kid":"es"}"#, &payload)).status(), 401);
    }

    #[test]
    fn no_header_panics(header in "[ -~]{0,80}") {
        let filter = filter(all_keys(), "{}");
        prop_assert_eq!(bearer(&filter, &ES256.sign(&header, b"{}")).status(), 401);
    }

    #[test]
    fn no_key_set_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Keys::from_jwks(&text).is_err());
        prop_assert!(Keys::from_pem(&String::from_utf8_lossy(&text)).is_err());
    }

    #[test]
    fn no_der_panics(der in proptest::collection::vec(any::<u8>(), 0..120)) {
        let text = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", STANDARD.encode(&der));
        let _ = Keys::from_pem(&text);
    }
}
