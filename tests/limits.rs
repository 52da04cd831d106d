use std::io::{Read, Write};
use std::time::Instant;

use frontgate::config;
use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use serde_json::{Value, json};

use crate::harness::origin::response;
use crate::harness::{Gate, Gateway, Origin, Reply, exchange, get, load, raw, until, yaml};

/// All values of a header, as they stand in the head.
fn values(reply: &Reply, name: &str) -> Vec<String> {
    let lines = reply.head.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
}

/// Asserts that a header has exactly these members, in any order. `t=20` is a time to wait, which gets less while a test takes its time.
#[track_caller]
fn members(reply: &Reply, name: &str, began: Instant, expected: &[&str]) {
    let parts = |member: &str| match member.rsplit_once(";t=") {
        Some((rest, time)) => (rest.to_owned(), time.parse::<u64>().ok()),
        None => (member.to_owned(), None),
    };
    let late = began.elapsed().as_secs() + 1;
    let mut found: Vec<_> = values(reply, name).iter().map(|member| parts(member)).collect();
    let mut wanted: Vec<_> = expected.iter().map(|member| parts(member)).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for ((found, left), (wanted, most)) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted);
        let agree = match (left, most) {
            (Some(left), Some(most)) => left <= most && left + late > *most,
            (left, most) => left == most,
        };
        assert!(agree, "{found}: {left:?}, expected {most:?} after {:?}", began.elapsed());
    }
}

/// One route under these filters, each written in full.
fn limited(origin: &Origin, filters: &str, list: &str) -> String {
    yaml(
        "
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          $DEFINED
        routes:
          - name: all
            path: /**
            upstream: main
            filters: [$LIST]
        ",
        &[("$ORIGIN", &origin.address), ("$DEFINED", &filters), ("$LIST", &list)],
    )
}

#[test]
fn over_the_limit_is_429_with_the_time_to_wait_and_every_answer_says_what_is_left() {
    let answer = response("200 OK", "RateLimit: \"theirs\";r=5;t=9\r\nRateLimit-Policy: \"theirs\";q=9;w=9\r\n", "{}");
    let origin = Origin::start(move |_, stream| stream.write_all(answer.as_bytes()).is_ok());
    let filters = "stamp: {version_header: {value: v1}}\nper_client: {rate_limit: {key: client_ip, rate: 4/h, burst: 2}}";
    let gateway = Gateway::start(&limited(&origin, filters, "stamp, per_client"));

    let began = Instant::now();
    let replies: Vec<Reply> = (0..3).map(|_| get(gateway.address, "/")).collect();

    assert_eq!(replies[0].status, 200);
    members(&replies[0], "ratelimit", began, &["\"theirs\";r=5;t=9", "\"per_client\";r=1;t=900"]);
    assert_eq!(values(&replies[0], "ratelimit-policy"), ["\"theirs\";q=9;w=9", "\"per_client\";q=2;w=1800"]);
    members(&replies[1], "ratelimit", began, &["\"theirs\";r=5;t=9", "\"per_client\";r=0;t=900"]);
    let refused = replies[2].is_problem(429);
    assert_eq!(refused.json()["code"], "rate_limited");
    let wait = refused.header("retry-after").unwrap();
    members(refused, "ratelimit", began, &["\"per_client\";r=0;t=900"]);
    assert_eq!(values(refused, "ratelimit"), [format!("\"per_client\";r=0;t={wait}")]);
    assert_eq!(values(refused, "ratelimit-policy"), ["\"per_client\";q=2;w=1800"]);
    assert_eq!(refused.header("x-bff-version"), Some("v1"));
    assert_eq!(origin.received().len(), 2);
    let count = |decision| {
        gateway.metric(&format!("frontgate_rate_limit_decisions_total{{decision=\"{decision}\",filter=\"per_client\",tier=\"_none\"}}"))
    };
    assert_eq!((count("allowed"), count("limited")), (2.0, 1.0));
}

#[test]
fn limits_run_in_order_and_the_first_refusal_ends() {
    let origin = Origin::json("{}");
    let filters = "wide: {rate_limit: {key: client_ip, rate: 3/h}}\nnarrow: {rate_limit: {key: [route, client_ip], rate: 1/h}}";
    let gateway = Gateway::start(&limited(&origin, filters, "wide, narrow"));

    let began = Instant::now();
    let replies: Vec<Reply> = (0..4).map(|_| get(gateway.address, "/")).collect();

    members(&replies[0], "ratelimit", began, &["\"narrow\";r=0;t=3600", "\"wide\";r=2;t=2400"]);
    members(replies[1].is_problem(429), "ratelimit", began, &["\"narrow\";r=0;t=3600", "\"wide\";r=1;t=1200"]);
    let wait: u64 = replies[2].is_problem(429).header("retry-after").unwrap().parse().unwrap();
    assert!(wait <= 3600 && wait + began.elapsed().as_secs() + 1 > 3600, "{wait}");
    members(replies[3].is_problem(429), "ratelimit", began, &["\"wide\";r=0;t=1200"]);
}

#[test]
fn a_place_in_flight_comes_back_when_the_client_leaves() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |_, stream| {
        gate.pass();
        stream.write_all(response("200 OK", "", "{}").as_bytes()).is_ok()
    });
    let filter = "per_client: {rate_limit: {key: client_ip, concurrency: 1, rate: 10000/s}}";
    let gateway = Gateway::start(&limited(&origin, filter, "per_client"));
    let mut first = raw(gateway.address);
    first.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the first request", || !origin.received().is_empty());

    let refused = get(gateway.address, "/");
    refused.is_problem(429);
    assert_eq!((refused.json()["code"].as_str(), refused.header("retry-after")), (Some("too_many_at_once"), Some("1")));

    drop(first);
    held.open();
    until("a free place", || get(gateway.address, "/").status == 200);
    until("every place free", || gateway.running.requests() == 0);
    assert_eq!(get(gateway.address, "/").status, 200);
}

#[test]
fn a_place_in_flight_is_held_to_the_answers_last_byte() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |request, stream| {
        if request.line().contains("/slow") {
            // So much that the gateway does not wait for more before it sends.
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 200004\r\n\r\n").unwrap();
            stream.write_all(&[b'a'; 200_000]).unwrap();
            gate.pass();
            return stream.write_all(b"bbbb").is_ok();
        }
        stream.write_all(response("200 OK", "", "{}").as_bytes()).is_ok()
    });
    let gateway = Gateway::start(&limited(&origin, "per_client: {rate_limit: {key: client_ip, concurrency: 1}}", "per_client"));
    let mut first = raw(gateway.address);
    first.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut begun = [0; 12];
    first.read_exact(&mut begun).unwrap();

    assert_eq!(get(gateway.address, "/").status, 429);

    held.open();
    let mut rest = String::new();
    first.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("abbbb"));
    until("a free place", || get(gateway.address, "/").status == 200);
}

#[test]
fn an_observing_limit_counts_and_changes_nothing() {
    let origin = Origin::json("{}");
    let filter = "trial: {rate_limit: {key: client_ip, rate: 1/h, concurrency: 9, mode: observe}}";
    let gateway = Gateway::start(&limited(&origin, filter, "trial"));

    let replies: Vec<Reply> = (0..3).map(|_| get(gateway.address, "/")).collect();

    for reply in &replies {
        assert_eq!((reply.status, reply.header("ratelimit")), (200, None), "{}", reply.head);
    }
    let limited = "frontgate_rate_limit_decisions_total{decision=\"limited\",filter=\"trial\",tier=\"_none\"}";
    gateway.comes_to(limited, 2.0);
}

#[test]
fn what_was_spent_stays_spent_across_a_reload_that_leaves_the_limit_alone() {
    let origin = Origin::json("{}");
    let text = limited(&origin, "per_client: {rate_limit: {key: client_ip, rate: 2/h}}", "per_client");
    let gateway = Gateway::start(&text);
    assert_eq!(get(gateway.address, "/").status, 200);

    let elsewhere = text.replace("    upstream: main\n", "    upstream: main\n    timeout: 7s\n");
    gateway.running.reload(load(&elsewhere)).unwrap();
    assert_eq!(get(gateway.address, "/").status, 200);
    assert_eq!(get(gateway.address, "/").status, 429);

    gateway.running.reload(load(&text.replace("2/h", "3/h"))).unwrap();
    assert_eq!(get(gateway.address, "/").status, 200, "another limit begins anew");
}

#[test]
fn mistakes_in_a_limit_are_told_with_their_places() {
    let origin = Origin::json("{}");
    let text = yaml(
        "
        version: 1
        server: {listeners: [{address: 127.0.0.1:0}]}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          a:
            rate_limit: {key: client_ip, rate: 30/m, exact: false}
          b:
            rate_limit:
              key: claim.sub
              tier: claim.plan
              rates: {free: {rate: 1/s, burst: 0}}
              otherwise: fre
          c:
            rate_limit: {key: [], rate: 5}
        routes:
          - {name: all, path: /**, upstream: main, filters: [a, b, c]}
        ",
        &[("$ORIGIN", &origin.address)],
    );
    let Err(problems) = config::load_text("test.yaml", &text) else { panic!("it was taken") };
    let told = problems.render(false);
    for part in ["a rate of 30/m with a burst of 30 cannot be estimated", "a whole number above 0", "`5` is not a rate"] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    let fixed = text.replace("burst: 0", "burst: 1").replace("rate: 5}", "rate: 5/s}");
    let Err(problems) = config::load_text("test.yaml", &fixed) else { panic!("it was taken") };
    let told = problems.render(false);
    for part in ["there is no tier `fre`", "test.yaml:13:", "the key has no parts", "one of `free`"] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

#[test]
fn a_verified_claim_chooses_the_tier_and_the_log_names_the_limit_that_refused() {
    let origin = Origin::json("{}");
    let issuer = Issuer::fresh("k1", Algorithm::ES256).unwrap();
    let place = |name: &str| std::env::temp_dir().join(format!("frontgate-limits-{}-{name}", std::process::id()));
    let (keys, log) = (place("keys.json"), place("access.log"));
    std::fs::write(&keys, issuer.jwks()).unwrap();
    let text = yaml(
        "
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          login:
            jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {file: $KEYS}}, optional: true}
          per_tier:
            rate_limit: {key: claim.sub, tier: claim.plan, rates: {free: 1/h, plus: {rate: 6/h, burst: 2}}, otherwise: free}
        routes:
          - {name: all, path: /**, upstream: main, filters: [login, per_tier]}
        telemetry:
          access_log: {to: {file: $LOG}}
        ",
        &[("$ORIGIN", &origin.address), ("$KEYS", &keys.display()), ("$LOG", &log.display())],
    );
    let gateway = Gateway::start(&text);
    let ask = |claims: &Value| {
        let token = issuer.token(claims);
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        exchange(gateway.address, request.as_bytes()).unwrap()
    };
    let user = |sub: &str, plan: &str| json!({"sub": sub, "plan": plan, "exp": 9_999_999_999_u64});
    let began = Instant::now();
    let tells = |reply: &Reply, status: u16, left: &str, policy: &str| {
        assert_eq!(reply.status, status, "{}", reply.head);
        members(reply, "ratelimit", began, &[&format!("\"per_tier\";{left}")]);
        assert_eq!(values(reply, "ratelimit-policy"), [format!("\"per_tier\";{policy}")]);
    };

    tells(&ask(&user("ann", "plus")), 200, "r=1;t=600", "q=2;w=1200");
    tells(&ask(&user("ann", "plus")), 200, "r=0;t=600", "q=2;w=1200");
    let refused = ask(&user("ann", "plus"));
    tells(refused.is_problem(429), 429, "r=0;t=600", "q=2;w=1200");
    assert_eq!(values(&refused, "ratelimit"), [format!("\"per_tier\";r=0;t={}", refused.header("retry-after").unwrap())]);
    // Another user, another plan of the same user, and a plan that there is not: each has its own account.
    assert_eq!(ask(&user("bob", "plus")).status, 200);
    tells(&ask(&user("ann", "free")), 200, "r=0;t=3600", "q=1;w=3600");
    assert_eq!(ask(&user("eve", "gold")).status, 200);
    assert_eq!(ask(&user("eve", "gold")).status, 429);
    // Whoever nobody has vouched for counts by the address, in the tier for all others.
    assert_eq!(get(gateway.address, "/").status, 200);
    assert_eq!(get(gateway.address, "/").status, 429);

    let count = |tier: &str, decision: &str| {
        gateway.metric(&format!("frontgate_rate_limit_decisions_total{{decision=\"{decision}\",filter=\"per_tier\",tier=\"{tier}\"}}"))
    };
    let counts = [("plus", "allowed"), ("plus", "limited"), ("free", "allowed"), ("free", "limited")].map(|(tier, what)| count(tier, what));
    assert_eq!(counts, [3.0, 1.0, 3.0, 2.0]);
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    until("nine lines in the log", || lines().len() == 9);
    for line in lines() {
        let limited = line["status"] == 429;
        assert_eq!(line["limit"], if limited { json!("per_tier") } else { Value::Null }, "{line}");
        assert_eq!(line["flags"], if limited { json!("RL") } else { Value::Null }, "{line}");
        assert_eq!(line["reason"] == "rate_limited", limited, "{line}");
    }
    let _ = (std::fs::remove_file(&keys), std::fs::remove_file(&log));
}

#[test]
fn keys_of_any_bytes_are_keys_and_each_its_own() {
    let origin = Origin::json("{}");
    let filters = "
by_cookie: {rate_limit: {key: cookie.sid, rate: 1/h, on_missing_key: reject}}
by_key: {rate_limit: {key: header.X-Api-Key, rate: 1/h, on_missing_key: reject}}";
    let gateway = |list: &str| Gateway::start(&limited(&origin, filters, list));
    let ask = |gateway: &Gateway, line: &[u8]| {
        exchange(gateway.address, &[b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", line, b"\r\n\r\n"].concat()).unwrap().status
    };

    let by_cookie = gateway("by_cookie");
    let cookies: [(&[u8], u16); 5] = [
        (b"Cookie: name=J\xfcrgen; sid=2", 200),
        (b"Cookie: sid=2;; \xe4", 429),
        (b"Cookie: sid=\xfc", 200),
        (b"Cookie: sid=\xe4", 200),
        (b"Cookie: name=J\xfcrgen", 403),
    ];
    for (line, status) in cookies {
        assert_eq!(ask(&by_cookie, line), status, "{}", line.escape_ascii());
    }
    let by_key = gateway("by_key");
    let keys: [(&[u8], u16); 4] = [
        (b"X-Api-Key: schl\xfcssel", 200),
        (b"X-Api-Key: schl\xe4ssel", 200),
        ("X-Api-Key: schl\u{fc}ssel".as_bytes(), 200),
        (b"X-Api-Key: schl\xfcssel", 429),
    ];
    for (line, status) in keys {
        assert_eq!(ask(&by_key, line), status, "{}", line.escape_ascii());
    }
}
