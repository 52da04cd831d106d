use super::*;

#[test]
fn a_good_token_says_who_is_asking() {
    let filter = filter(all_keys(), r#"{"claim_headers": {"X-User-Id": "claim.sub", "X-Roles": "claim.roles", "X-None": "claim.none"}}"#);

    for issuer in [&ES256, &RS256, &EDDSA] {
        let outcome = bearer(&filter, &issuer.token(&good()));

        assert_eq!(outcome.status(), 200, "{}", outcome.facts.reason);
        let identity = outcome.facts.identity.expect("an identity");
        assert_eq!(identity.claims.get("sub").and_then(Claim::text), Some("u-1"));
        assert!(identity.sub_hash().len() == 16 && !identity.sub_hash().contains("u-1"));
        assert_eq!(outcome.head.headers["x-user-id"], "u-1");
        assert_eq!(outcome.head.headers["x-roles"], "user,admin");
        assert!(!outcome.head.headers.contains_key("x-none"));
        assert!(outcome.head.headers.contains_key("authorization"));
    }
}

#[test]
fn every_refusal_has_its_status_its_challenge_and_its_word() {
    let filter = filter(all_keys(), "{}");
    let token = |claims: Value| format!("Bearer {}", ES256.token(&claims));
    let cases = [
        (vec![], 401, "no_token", r#"Bearer realm="frontgate""#),
        (vec!["Basic dTpw".to_owned()], 401, "no_token", r#"Bearer realm="frontgate""#),
        (vec!["Bearer".to_owned()], 400, "bad_request", "invalid_request"),
        (vec!["Bearer  ".to_owned()], 400, "bad_request", "invalid_request"),
        (vec!["Bearer a b".to_owned()], 400, "bad_request", "invalid_request"),
        (vec![token(good()), token(good())], 400, "bad_request", "invalid_request"),
        (vec![token(good()), "Basic dTpw".to_owned()], 400, "bad_request", "invalid_request"),
        (vec!["Bearer abc".to_owned()], 401, "malformed", "invalid_token"),
        (vec![token(with("exp", json!(NOW - 31)))], 401, "expired", "expired"),
        (vec![token(with("exp", json!(NOW - 30)))], 401, "expired", "expired"),
        (vec![token(with("nbf", json!(NOW + 31)))], 401, "not_yet_valid", "invalid_token"),
        (vec![token(without("exp"))], 401, "no_expiry", "invalid_token"),
        (vec![token(with("iss", json!("https://id")))], 401, "issuer", "invalid_token"),
        (vec![token(without("iss"))], 401, "issuer", "invalid_token"),
        (vec![token(with("aud", json!("Shop")))], 401, "audience", "invalid_token"),
        (vec![token(with("aud", json!(["x", "y"])))], 401, "audience", "invalid_token"),
        (vec![token(without("aud"))], 401, "audience", "invalid_token"),
        (vec![token(with("aud", json!({"shop": 1})))], 401, "claim_type", "invalid_token"),
        (vec![token(with("sub", json!(7)))], 401, "claim_type", "invalid_token"),
        (vec![format!("Bearer {}", "a".repeat(LONGEST + 1))], 401, "too_long", "invalid_token"),
    ];
    for (headers, status, word, challenge) in cases {
        let headers: Vec<_> = headers.iter().map(|value| ("Authorization", value.as_str())).collect();

        let outcome = ask(&filter, &headers);

        let shown = headers.iter().map(|(_, value)| value.get(..60).unwrap_or(value)).collect::<Vec<_>>();
        assert_eq!((outcome.status(), outcome.facts.reason), (status, word), "{shown:?}");
        assert!(outcome.challenge().contains(challenge), "{shown:?}: {}", outcome.challenge());
        assert!(outcome.facts.identity.is_none());
    }
}

#[test]
fn times_and_audiences_within_their_bounds_pass() {
    let filter = filter(all_keys(), "{}");
    for claims in [
        with("exp", json!(NOW - 29)),
        with("exp", json!(NOW as f64 + 0.5)),
        with("exp", json!(1e300)),
        with("nbf", json!(NOW + 30)),
        with("aud", json!(["x", "other"])),
        with("iat", json!(NOW + 900)),
    ] {
        assert_eq!(bearer(&filter, &ES256.token(&claims)).status(), 200, "{claims}");
    }
}

#[test]
fn a_key_of_any_issuer_takes_any_where_any_is_written() {
    let filter = filter(all_keys(), r#"{"issuer": "any", "audience": "any"}"#);
    let mut claims = without("iss");
    claims.as_object_mut().expect("an object").remove("aud");

    assert_eq!(bearer(&filter, &ES256.token(&claims)).status(), 200);
    assert_eq!(bearer(&filter, &ES256.token(&with("iss", json!(1)))).facts.reason, "claim_type");
}

#[test]
fn a_token_may_come_in_a_header_or_a_cookie_and_in_one_place_once() {
    let filter = filter(all_keys(), r#"{"from": ["header.Authorization", "header.X-Token", "cookie.sid"], "forward_token": false}"#);
    let token = ES256.token(&good());
    let cookie = format!("a=1; sid={token}; b=2");

    assert_eq!(ask(&filter, &[("X-Token", &token)]).status(), 200);
    assert_eq!(ask(&filter, &[("Authorization", "Basic dTpw"), ("X-Token", &token)]).status(), 200);
    assert_eq!(ask(&filter, &[("X-Token", &token), ("X-Token", &token)]).status(), 400);
    let twice = format!("sid={token}; sid=evil");
    assert_eq!(ask(&filter, &[("Cookie", &twice)]).status(), 400);
    assert_eq!(ask(&filter, &[("Cookie", "sid=")]).status(), 401);
    assert_eq!(ask(&filter, &[("Cookie", "sid=\"a b\"")]).status(), 400);

    let outcome = ask(&filter, &[("Cookie", &cookie), ("X-Token", "x"), ("Authorization", &format!("bEARER {token}"))]);
    assert_eq!(outcome.status(), 200);
    assert_eq!(outcome.head.headers["cookie"], "a=1; b=2");
    assert!(!outcome.head.headers.contains_key("x-token") && !outcome.head.headers.contains_key("authorization"));
    let outcome = ask(&filter, &[("Cookie", &format!("sid={token}")), ("Authorization", "Basic dTpw")]);
    assert!(!outcome.head.headers.contains_key("cookie"));
    assert_eq!(outcome.head.headers["authorization"], "Basic dTpw");
}

#[test]
fn where_it_is_optional_none_passes_and_a_bad_one_does_not() {
    let filter = filter(all_keys(), r#"{"optional": true}"#);

    let outcome = ask(&filter, &[]);
    assert!(outcome.status() == 200 && outcome.facts.identity.is_none());
    assert_eq!(ask(&filter, &[("Authorization", "Basic dTpw")]).status(), 200);
    assert_eq!(bearer(&filter, "a.b.c").status(), 401);
    assert_eq!(bearer(&filter, &ES256.token(&with("exp", json!(1)))).status(), 401);
}

#[test]
fn a_claim_that_a_header_cannot_hold_refuses_the_token() {
    let filter = filter(all_keys(), r#"{"claim_headers": {"X-Name": "claim.name"}}"#);
    for (claim, header) in [
        (json!("Doe, J."), Some(Some("Doe, J."))),
        (json!(["a", "b c", 7]), Some(Some("a,b c,7"))),
        (json!(true), Some(Some("true"))),
        (json!([]), Some(Some(""))),
        (Value::Null, Some(None)),
        (json!("a\r\nX-Admin: 1"), None),
        (json!("M\u{fc}ller"), None),
        (json!("a\u{0}"), None),
        (json!(" a"), None),
        (json!(["user,admin"]), None),
        (json!(["a", ""]), None),
        (json!([["a"]]), None),
        (json!({"a": 1}), None),
    ] {
        let outcome = bearer(&filter, &ES256.token(&with("name", claim.clone())));

        match header {
            Some(value) => {
                assert_eq!(outcome.status(), 200, "{claim}");
                assert_eq!(outcome.head.headers.get("x-name").map(HeaderValue::as_bytes), value.map(str::as_bytes), "{claim}");
            }
            None => assert_eq!((outcome.status(), outcome.facts.reason), (401, "claim_header"), "{claim}"),
        }
    }
}

#[test]
fn the_upstream_is_told_a_number_as_it_was_signed() {
    let filter = filter(all_keys(), r#"{"claim_headers": {"X-Account": "claim.account", "X-All": "claim.all"}}"#);
    for digits in ["9007199254740993", "123456789012345678901234", "123456789012345678901235", "-0", "1.50", "1E+2"] {
        let payload = good().to_string().replacen('{', &format!(r#"{{"account":{digits},"all":[{digits},1],"#), 1);

        let outcome = bearer(&filter, &ES256.sign(r#"{"alg":"ES256","kid":"es"}"#, payload.as_bytes()));

        assert_eq!(outcome.status(), 200, "{digits}: {}", outcome.facts.reason);
        assert_eq!(outcome.head.headers["x-account"], digits);
        assert_eq!(outcome.head.headers["x-all"], format!("{digits},1"));
    }
}

#[test]
fn a_key_set_may_begin_with_a_byte_order_mark() {
    let filter = filter(Keys::from_jwks(format!("\u{feff}{}", all_jwks()).as_bytes()).expect("keys"), "{}");

    assert_eq!(bearer(&filter, &ES256.token(&good())).status(), 200);
    assert!(Keys::from_jwks(format!("\u{feff}\u{feff}{}", all_jwks()).as_bytes()).is_err());
}

#[test]
fn decisions_are_counted_by_their_reason() {
    let filter = filter(all_keys(), "{}");

    bearer(&filter, &ES256.token(&good()));
    bearer(&filter, "a.b.c");

    assert_eq!(filter.counts.valid.get(), 1);
    assert_eq!(filter.counts.denied[Reason::Malformed as usize].get(), 1);
}

#[test]
fn keys_that_were_never_had_are_asked_for_and_then_missed() {
    let mut filter = filter(all_keys(), "{}");
    let shelf = Shelf::default();
    let asked = shelf.asked.clone();
    filter.keys = from_shelf(shelf);

    let outcome = bearer(&filter, &ES256.token(&good()));

    assert_eq!((outcome.status(), outcome.facts.reason), (503, "no_keys"));
    assert_eq!(*asked.lock().expect("a lock"), 2);
    assert_eq!(ask(&filter, &[]).status(), 401);
}

#[test]
fn an_unknown_key_has_the_set_fetched_and_nothing_else_does() {
    let mut filter = filter(all_keys(), "{}");
    let shelf = Shelf::default();
    *shelf.current.lock().expect("a lock") = Some(Arc::new(Document::new(RS256.jwks())));
    *shelf.next.lock().expect("a lock") = vec![Arc::new(Document::new(all_jwks()))];
    let asked = shelf.asked.clone();
    filter.keys = from_shelf(shelf);

    assert_eq!(bearer(&filter, &RS256.token(&good())).status(), 200);
    assert_eq!(bearer(&filter, &RS256.token(&with("exp", json!(1)))).status(), 401);
    assert_eq!(*asked.lock().expect("a lock"), 0);
    assert_eq!(bearer(&filter, &ES256.token(&good())).status(), 200);
    assert_eq!(*asked.lock().expect("a lock"), 1);
}

#[test]
fn claims_that_are_assumed_stand_for_a_token() {
    let filter = filter(all_keys(), r#"{"claim_headers": {"X-User-Id": "claim.sub"}}"#);
    let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
    facts.assumed = Some(Arc::new(Identity::new(json!({"sub": "u-9"}).as_object().cloned().expect("an object"))));
    let mut reasons = Vec::new();

    let verdict = {
        let mut request = Request::new(&mut head, &mut facts, Instant::now()).explained(&mut reasons);
        now(settle(filter.request(&mut request)))
    };

    assert!(verdict.is_none());
    assert_eq!(head.headers["x-user-id"], "u-9");
    assert!(reasons[0].contains("in place of a token"), "{reasons:?}");
    assert!(facts.identity.is_some());
}
