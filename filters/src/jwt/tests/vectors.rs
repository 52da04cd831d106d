//! Public collections: Wycheproof's JOSE vectors and the cookbook of RFC 7520, as their files say, but for the cases below.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use frontgate_test_support::vectors;

use super::super::config::Algorithm;
use super::*;

/// Called valid in their file, and refused here: the README of `jwt` says why.
const REFUSED: &[(&str, u64)] = &[
    // PS384 under a key whose `alg` is PS256.
    ("signature", 346),
    ("signature", 350),
    // ES512, which is not among the algorithms, under a key whose `alg` does not exist.
    ("signature", 347),
    ("signature", 351),
    // Characters outside of base64url.
    ("signature", 372),
    ("signature", 373),
];

/// Called invalid, and byte by byte the same as 357, which is valid: the padding that they are about got lost in their file.
const SAME_AS_357: &[(&str, u64)] = &[("signature", 367), ("signature", 370)];

const ALL: &[Algorithm] = &Algorithm::ALL;

fn collection(file: &str) -> Option<Value> {
    let text = std::fs::read(vectors(file)?).expect("a file");
    Some(serde_json::from_slice(&text).expect("JSON"))
}

/// Keys as the configuration would have them: secrets alone, or public keys alone. A mixed set loses its secrets.
fn keys(value: &Value) -> Option<Keys> {
    let list: Vec<Value> = match value.get("keys") {
        Some(list) => list.as_array()?.clone(),
        None => vec![value.clone()],
    };
    if !list.iter().all(|jwk| jwk["kty"] == "oct") {
        return Keys::from_jwks(json!({"keys": list}).to_string().as_bytes()).ok();
    }
    let kids: Vec<&Value> = list.iter().map(|jwk| &jwk["kid"]).collect();
    let doubled = |kid: &Value| kids.iter().filter(|other| **other == kid).count() > 1;
    let keys = list.iter().filter(|jwk| jwk["use"] == "sig" && !doubled(&jwk["kid"])).filter_map(|jwk| {
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(serde_json::from_value(name.clone()).ok()?),
        };
        Some(Key::secret(jwk["kid"].as_str(), algorithm, &URL_SAFE_NO_PAD.decode(jwk["k"].as_str()?).ok()?))
    });
    Some(Keys::new(keys.collect(), b""))
}

#[test]
fn wycheproof_is_answered_as_it_says() {
    let (mut good, mut bad, mut debatable, mut same) = (0, 0, 0, 0);
    for part in ["signature", "key", "crypto"] {
        let Some(file) = collection(&format!("wycheproof-jose/json_web_{part}_test.json")) else { return };
        for group in file["testGroups"].as_array().expect("groups") {
            let key = group.get("public").or_else(|| group.get("private")).expect("a key");
            let keys = keys(key);
            for test in group["tests"].as_array().expect("tests") {
                let token = test.get("jws").or_else(|| test.get("jwe")).map_or_else(String::new, |jws| match jws {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                let verified = keys.as_ref().is_some_and(|keys| payload(&token, keys, ALL, &Expected::Any).is_ok());
                let id = test["tcId"].as_u64().expect("a number");
                // Of encryption nothing is known here: every such token is refused, the good ones too.
                let is_jwe = test.get("jws").is_none() || token.split('.').count() == 5;
                if SAME_AS_357.contains(&(part, id)) {
                    let first = group["tests"].as_array().expect("tests").iter().find(|test| test["tcId"] == 357).expect("357");
                    assert_eq!(test["jws"], first["jws"]);
                    same += 1;
                    continue;
                }
                let expected = test["result"] != "invalid" && !is_jwe && !REFUSED.contains(&(part, id));
                assert_eq!(verified, expected, "{part} {id} in {}: {}", group["comment"], test["comment"]);
                match (verified, test["result"] != "invalid") {
                    (true, _) => good += 1,
                    (false, false) => bad += 1,
                    (false, true) => debatable += 1,
                }
            }
        }
    }
    eprintln!("wycheproof: {good} verified, {bad} refused as they should be, {debatable} refused by choice");
    assert_eq!(good + bad + debatable + same, 401 + 26 + 83);
}

#[test]
fn the_cookbook_verifies_in_compact_form_and_no_other() {
    let files = [
        "jws/4_1.rsa_v15_signature",
        "jws/4_2.rsa-pss_signature",
        "jws/4_3.ecdsa_signature",
        "jws/4_4.hmac-sha2_integrity_protection",
        "jws/4_5.signature_with_detached_content",
        "jws/4_6.protecting_specific_header_fields",
        "jws/4_7.protecting_content_only",
        "jws/4_8.multiple_signatures",
        "curve25519/jws",
        "rfc7797/4.2.hmac-sha2_b64_false",
        "rfc7797/hmac-sha2_b64_false",
    ];
    let mut verified = Vec::new();
    for name in files {
        let Some(file) = collection(&format!("rfc7520-cookbook/{name}.json")) else { return };
        let input = &file["input"]["key"];
        let set = if input.is_array() { json!({"keys": input}) } else { input.clone() };
        let keys = keys(&set).unwrap_or_else(|| Keys::new(Vec::new(), b""));
        if let Some(compact) = file["output"]["compact"].as_str()
            && let Ok(payload) = payload(compact, &keys, ALL, &Expected::Any)
        {
            assert_eq!(payload, file["input"]["payload"].as_str().expect("a payload").as_bytes(), "{name}");
            verified.push(name);
        }
        for form in ["json", "json_flat"] {
            if let Some(other) = file["output"].get(form) {
                assert!(payload(&other.to_string(), &keys, ALL, &Expected::Any).is_err(), "{name} {form}");
            }
        }
    }
    // ES512 is not among the algorithms; detached and b64=false tokens are refused.
    assert_eq!(
        verified,
        ["jws/4_1.rsa_v15_signature", "jws/4_2.rsa-pss_signature", "jws/4_4.hmac-sha2_integrity_protection", "curve25519/jws"]
    );
}
