//! What is chosen by name and by facts, and who may.

use std::process::Command;

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use serde_json::json;

use super::{ask, named, nobody, text, who};
use crate::harness::{Gateway, Origin, until, yaml};

const BY_NAME: &str = "canary:
  - {version: v2, upstream: next, match: {header.X-BFF-Version: v2}}
  - {version: v3, upstream: third, share: 100%, match: {header.X-BFF-Version: [v3, v3.1]}}";
const TRUSTED: &str = "trusted_proxies: [127.0.0.0/8]";

#[test]
fn a_trusted_proxy_chooses_by_name_and_no_other_client_does() {
    let (stable, next, third) = (named("stable"), named("next"), named("third"));
    let start = |server: &str, more: &str| {
        Gateway::start(&text(stable.address, next.address, third.address, server, &format!("{BY_NAME}\n{more}")))
    };
    let named = |version: &str| format!("X-BFF-Version: {version}\r\n");

    for (server, more) in [(TRUSTED, ""), ("", "canary_options: {client_may_choose: true}")] {
        let gateway = start(server, more);
        for (version, answers) in [("v2", "next"), ("v3", "third"), ("v3.1", "third"), ("stable", "stable"), ("v4", "third"), ("", "third")]
        {
            assert_eq!(who(gateway.address, &named(version)), answers, "{version} {server}{more}");
        }
        assert_eq!(next.last().header("x-bff-version"), ["v2"]);
        assert_eq!(stable.last().header("x-bff-version"), ["stable"]);
        assert_eq!(third.last().header("x-bff-version"), ["v3"], "what was chosen, not what was asked for");
    }
    let gateway = start("", "");
    for version in ["v2", "stable"] {
        assert_eq!(who(gateway.address, &named(version)), "third", "{version}");
    }
    assert_eq!(who(gateway.address, "X_BFF_Version: v2\r\n"), "third");
    assert_eq!(third.last().header("x_bff_version"), [""; 0]);
    // Elsewhere it is removed, too, though some route lets clients choose.
    let gateway = start("", "canary_options: {client_may_choose: true}");
    ask(gateway.address, "GET /others/next", &named("v2"));
    assert_eq!(next.last().header("x-bff-version"), [""; 0]);
}

#[test]
fn answers_that_are_kept_say_that_a_header_chooses() {
    let (stable, next, third) = (named("stable"), named("next"), named("third"));
    let private = Origin::start(|_, stream| {
        use std::io::Write;
        let answer = crate::harness::origin::response("200 OK", "Cache-Control: private\r\nX-BFF-Version: forged\r\n", "{}");
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = Gateway::start(&text(stable.address, private.address, third.address, TRUSTED, BY_NAME));

    let kept = ask(gateway.address, "GET /x", "");
    assert_eq!((kept.header("vary"), kept.header("x-bff-version")), (Some("x-bff-version"), Some("v3")), "{}", kept.head);
    let private = ask(gateway.address, "GET /x", "X-BFF-Version: v2\r\n");
    assert_eq!((private.header("vary"), private.header("x-bff-version")), (None, Some("v2")), "{}", private.head);
    assert_eq!(ask(gateway.address, "POST /x", "Content-Length: 0\r\n").header("vary"), None);
    assert_eq!(next.received().len(), 0);
}

#[test]
fn a_version_that_is_asked_for_by_name_does_not_give_way() {
    let (stable, third) = (named("stable"), named("third"));
    let route = BY_NAME.replace("share: 100%, ", "share: 0%, ");
    let configured = text(stable.address, nobody(), third.address, TRUSTED, &route);
    let gateway = Gateway::start(&configured);
    assert_eq!(ask(gateway.address, "GET /x", "X-BFF-Version: v2\r\n").status, 502, "nobody listens");
    until("the count", || gateway.metric("frontgate_canary_requests_total{route=\"shop\",version=\"v2\",code=\"502\"}") == 1.0);
    assert_eq!(gateway.metric("frontgate_canary_spilled_total{route=\"shop\",version=\"v2\"}"), 0.0);

    let unhealthy = configured.replace("next: {endpoints", "next: {panic: false, health: {tcp: true, start: unhealthy}, endpoints");
    let gateway = Gateway::start(&unhealthy);
    let refused = ask(gateway.address, "GET /x", "X-BFF-Version: v2\r\n");
    assert_eq!(refused.is_problem(503).header("x-bff-version"), Some("v2"), "{}", refused.head);
    assert_eq!(stable.received().len(), 0);
    assert_eq!(gateway.metric("frontgate_canary_spilled_total{route=\"shop\",version=\"v2\"}"), 0.0);
}

/// Names before facts, facts before shares; claims of a token that a filter verifies on the way.
#[test]
fn claims_devices_and_cookies_choose_after_the_filters_that_find_them() {
    let (stable, next, third) = (named("stable"), named("next"), named("third"));
    let issuer = Issuer::fresh("k1", Algorithm::ES256).unwrap();
    let folder = std::env::temp_dir().join(format!("frontgate-canary-{}-keys", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("keys.json"), issuer.jwks()).unwrap();
    let configured = yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
        upstreams:
          stable: {endpoints: [$STABLE]}
          next: {endpoints: [$NEXT]}
          third: {endpoints: [$THIRD]}
        filters:
          login:
            jwt:
              issuer: https://id/
              audience: shop
              algorithms: [ES256]
              optional: true
              keys: {jwks: {file: \"$KEYS\"}}
              claim_headers: {X-User-Tier: claim.tier}
          per_version: {rate_limit: {key: [version, claim.sub], rate: 1000/s}}
          guard: {circuit_breaker: {consecutive: 1, open_for: 10m, max_open_for: 10m}}
        routes:
          - name: shop
            path: /**
            upstream: stable
            filters: [login, per_version, guard]
            canary:
              - {version: v2, upstream: next, match: {claim.beta: \"true\", device: [mobile, tablet]}}
              - {version: v3, upstream: third, share: 100%, by: claim.sub}
              - {version: v5, upstream: third, match: {header.X-User-Tier: gold}}
              - {version: v4, upstream: next, match: {cookie.beta: \"1\"}}
            canary_options: {client_may_choose: true}
        ",
        &[
            ("$STABLE", &stable.address),
            ("$NEXT", &next.address),
            ("$THIRD", &third.address),
            ("$KEYS", &folder.join("keys.json").display()),
        ],
    );
    let gateway = Gateway::start(&configured);
    let token = |claims: serde_json::Value| {
        let mut all = json!({"iss": "https://id/", "aud": "shop", "sub": "u-1", "exp": 4_000_000_000_u64});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        format!("Authorization: Bearer {}\r\n", issuer.token(&all))
    };
    let phone = "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148\r\n";
    let version = |headers: &str| ask(gateway.address, "GET /x", headers).header("x-bff-version").map(str::to_owned);

    assert_eq!(version(&(token(json!({"beta": true})) + phone)).as_deref(), Some("v2"));
    assert_eq!(version(&token(json!({"beta": true}))).as_deref(), Some("v3"), "no phone, so the share draws");
    assert_eq!(version(&(token(json!({"beta": "no"})) + phone)).as_deref(), Some("v3"));
    assert_eq!(version("Cookie: beta=1\r\n").as_deref(), Some("v4"), "what clients may say goes before shares");
    assert_eq!(version(&(token(json!({"beta": true})) + phone + "Cookie: beta=1\r\n")).as_deref(), Some("v4"), "and before facts");
    assert_eq!(version("Cookie: beta=stable\r\n").as_deref(), Some("stable"));
    // A header that the gateway itself sets is a fact that nobody else can say.
    assert_eq!(version(&token(json!({"tier": "gold"}))).as_deref(), Some("v5"));
    assert_eq!(third.last().header("x-user-tier"), ["gold"]);
    assert_eq!(version("X-User-Tier: gold\r\nCookie: beta=2\r\n").as_deref(), Some("v3"), "the share");
    assert_eq!(third.last().header("x-user-tier"), [""; 0]);
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn an_explanation_says_which_version_and_why() {
    let (stable, next, third) = (named("stable"), named("next"), named("third"));
    let folder = std::env::temp_dir().join(format!("frontgate-canary-{}-explain", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let configured = text(stable.address, next.address, third.address, TRUSTED, &format!("{BY_NAME}\nfilters: [slim, guard]"));
    std::fs::write(folder.join("frontgate.yaml"), configured).unwrap();
    let explain = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let output = command.args(["explain", "-c"]).arg(folder.join("frontgate.yaml")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };

    let by_name = explain(&["GET", "http://a.example/x", "-H", "X-BFF-Version: v2", "--from", "127.0.0.1"]);
    assert!(by_name.contains("chooses   version `v2`: `header.x-bff-version` asks for it\n"), "{by_name}");
    assert!(by_name.contains("upstream  next\n") && by_name.contains("the circuit of `next`"), "{by_name}");
    let by_share = explain(&["GET", "http://a.example/x"]);
    assert!(by_share.contains("chooses   version `v3`: its share draws it by `client_ip`\n"), "{by_share}");
    let json: serde_json::Value = serde_json::from_str(&explain(&["GET", "http://a.example/x", "--json"])).unwrap();
    assert_eq!(json["choices"], json!(["version `v3`: its share draws it by `client_ip`"]));
    let _ = std::fs::remove_dir_all(&folder);
}
