use super::*;

#[test]
fn a_token_is_verified_once_until_its_end() {
    let mut filter = filter(all_keys(), "{}");
    let token = ES256.token(&good());

    let first = bearer(&filter, &token).facts.identity.expect("an identity");
    let second = bearer(&filter, &token).facts.identity.expect("an identity");

    assert!(Arc::ptr_eq(&first, &second));
    filter.clock = || UNIX_EPOCH + Duration::from_secs(NOW + 629);
    assert_eq!(bearer(&filter, &token).status(), 200);
    filter.clock = || UNIX_EPOCH + Duration::from_secs(NOW + 630);
    assert_eq!(bearer(&filter, &token).facts.reason, "expired");
}

#[test]
fn a_key_that_was_taken_out_ends_what_it_verified_at_once() {
    let mut filter = filter(all_keys(), "{}");
    let token = ES256.token(&good());
    assert_eq!(bearer(&filter, &token).status(), 200);

    filter.keys = Supply::Held(Arc::new(Keys::from_jwks(RS256.jwks().as_bytes()).expect("keys")));
    assert_eq!(bearer(&filter, &token).facts.reason, "unknown_key");

    // Another key under the same name.
    let other = Issuer::fresh("es", Algorithm::ES256).expect("a key");
    filter.keys = Supply::Held(Arc::new(Keys::from_jwks(other.jwks().as_bytes()).expect("keys")));
    assert_eq!(bearer(&filter, &token).facts.reason, "signature");

    filter.keys = Supply::Held(Arc::new(all_keys()));
    assert_eq!(bearer(&filter, &token).status(), 200);
}

#[test]
fn a_changed_signature_is_another_token() {
    let filter = filter(all_keys(), "{}");
    let token = ES256.token(&good());
    assert_eq!(bearer(&filter, &token).status(), 200);

    let (message, _) = token.rsplit_once('.').expect("a signature");
    assert_eq!(bearer(&filter, &format!("{message}.AAAA")).status(), 401);
}

#[test]
fn bad_tokens_are_not_remembered_and_good_ones_only_up_to_a_bound() {
    let filter = filter(all_keys(), "{}");
    for number in 0..500 {
        let header = json!({"alg": "ES256", "kid": format!("random-{number}")});
        bearer(&filter, &ES256.sign(&header.to_string(), b"{}"));
    }
    assert_eq!(filter.verified.len(), 0);

    let padding = "x".repeat(9000);
    for number in 0..1500 {
        let mut claims = with("jti", json!(number));
        claims["padding"] = padding.as_str().into();
        assert_eq!(bearer(&filter, &EDDSA.token(&claims)).status(), 200);
    }
    assert!(filter.verified.weight() <= 64 << 20, "{}", filter.verified.weight());
    assert!(filter.verified.len() < 1200, "{}", filter.verified.len());
}

#[test]
fn a_key_set_from_elsewhere_is_read_once_for_each_of_its_versions() {
    let shelf = Shelf::default();
    let current = shelf.current.clone();
    let publish = |document: Option<Document>| *current.lock().expect("a lock") = document.map(Arc::new);
    let supply = from_shelf(shelf);
    assert!(supply.keys().is_none());

    publish(Some(Document::new(all_jwks())));
    let first = supply.keys().expect("keys");
    assert!(Arc::ptr_eq(&first, &supply.keys().expect("keys")));

    publish(Some(Document::new(RS256.jwks())));
    let second = supply.keys().expect("keys");
    assert!(second.generation() != first.generation() && (first.len(), second.len()) == (3, 1));

    publish(None);
    assert!(supply.keys().is_none(), "too old to serve");
}

/// The state goes on over a reload where neither options nor keys changed.
#[test]
fn a_reload_keeps_what_was_verified_only_under_the_same_keys() {
    let file = std::env::temp_dir().join(format!("frontgate-jwt-{}.json", std::process::id()));
    let config: Config = serde_json::from_value(json!({"issuer": "https://id/", "audience": "shop", "algorithms": ["ES256"],
        "keys": {"jwks": {"file": file}}}))
    .expect("options");
    let metrics = metrics();
    let outside = Nowhere::default();
    let build = |previous: Option<&Arc<dyn Filter>>| {
        let mut filter = Jwt::build(&config, &Build { name: "login", metrics: &metrics, outside: &outside, previous }).expect("a filter");
        filter.clock = || UNIX_EPOCH + Duration::from_secs(NOW);
        filter
    };
    std::fs::write(&file, ES256.jwks()).expect("a file");
    let token = ES256.token(&good());
    let first = build(None);
    assert_eq!(bearer(&first, &token).status(), 200);
    let first: Arc<dyn Filter> = Arc::new(first);

    let second = build(Some(&first));
    assert_eq!(second.verified.len(), 1);
    assert_eq!(bearer(&second, &token).status(), 200);
    let second: Arc<dyn Filter> = Arc::new(second);

    std::fs::write(&file, Issuer::fresh("es", Algorithm::ES256).expect("a key").jwks()).expect("a file");
    let third = build(Some(&second));
    assert_eq!(third.verified.len(), 0);
    assert_eq!(bearer(&third, &token).status(), 401);
    let _ = std::fs::remove_file(&file);
}

/// What a request then takes is measured by `benches/jwt.rs`, and its allocations by the gateway's budget.
#[test]
fn the_signature_of_a_token_seen_before_is_not_verified_again() {
    let filter = filter(all_keys(), r#"{"claim_headers": {"X-User-Id": "claim.sub"}}"#);
    let tokens = [RS256.token(&good()), ES256.token(&good())];
    let before = VERIFICATIONS.get();

    for _ in 0..1_000 {
        for token in &tokens {
            assert_eq!(bearer(&filter, token).status(), 200);
        }
    }

    assert_eq!(VERIFICATIONS.get() - before, 2);
}
