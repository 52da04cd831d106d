//! What is shown is the configuration, with every default, and nothing that is secret.

use serde_json::json;

use super::*;
use crate::config::{load_sources, load_text};

fn loaded(text: &str) -> Loaded {
    load_text("dir/a.yaml", text).unwrap_or_else(|problems| panic!("{}\n{text}", problems.render(false)))
}

/// The smallest configuration with this beside it.
fn with(rest: &str) -> String {
    format!("version: 1\nserver: {{listeners: [{{address: 127.0.0.1:0}}]}}\n{rest}")
}

#[test]
fn what_is_shown_says_the_same_when_it_is_read_again() {
    for rest in [
        "routes: [{name: a, path: /a, respond: {json: {a: null, b: [], c: \"1.0\", d: \"$${X}\", e: \"x: y #z\", f: \" \"}}}]",
        "routes: [{name: \"y\", path: \"/a/{id}\", respond: {body: \"two\\nlines \\u00e9\", headers: {X-A: \"0x1F\", X-B: \"- a\"}}}]",
        "upstreams: {m: {endpoints: [127.0.0.1:1, {address: \"[::1]:2\", weight: 3, version: \"1.0\"}], timeouts: {first_byte: adaptive}}}
routes: [{name: a, path: /**, upstream: m, filters: [{rate_limit: {key: client_ip, rates: {a: 1/s, b: {rate: 2/m, burst: 9}}, otherwise: a, tier: header.X}}]}]",
        "telemetry: {access_log: false}",
        "devices: [{tv: [a, b]}, {other: {none: [c]}}]",
    ] {
        let first = shown(&loaded(&with(rest))).to_yaml(false);
        let second = shown(&loaded(&first)).to_yaml(false);
        let commented = shown(&loaded(&first)).to_yaml(true);

        assert_eq!(second, first);
        assert_eq!(shown(&loaded(&commented)).to_yaml(false), first, "comments change nothing");
    }
}

#[test]
fn defaults_are_filled_in_and_each_value_says_where_it_comes_from() {
    let text = with(
        "upstreams:
  m:
    endpoints: [127.0.0.1:1]
filters:
  few: {rate_limit: {key: client_ip, rate: 7/s}}
routes:
  - {name: a, path: /**, upstream: m, filters: [few]}
",
    );

    let shown = shown(&loaded(&text));
    let (config, origins) = (shown.to_json(), shown.origins());

    assert_eq!(config["upstreams"]["m"]["endpoints"], json!([{"address": "127.0.0.1:1", "weight": 1}]));
    assert_eq!(config["upstreams"]["m"]["timeouts"]["connect"], "1s");
    assert_eq!((&config["upstreams"]["m"]["protocol"], &config["upstreams"]["m"]["required"]), (&json!("http1"), &json!(false)));
    assert_eq!(
        config["filters"]["few"]["rate_limit"],
        json!({"key": "client_ip", "rate": "7/s", "on_missing_key": "client_ip", "burst": 7, "exact": false, "mode": "enforce"})
    );
    for (path, origin) in [
        ("server.listeners[0].address", "a.yaml:2"),
        ("server.listeners[0].protocols[0]", "default"),
        ("upstreams.m.endpoints[0].address", "a.yaml:5"),
        ("upstreams.m.endpoints[0].weight", "default"),
        ("upstreams.m.timeouts.connect", "default"),
        ("filters.few.rate_limit.rate", "a.yaml:7"),
        ("filters.few.rate_limit.burst", "default"),
        ("routes[0].upstream", "a.yaml:9"),
    ] {
        assert_eq!(origins[path], origin, "{path}");
    }
}

#[test]
fn what_the_environment_brings_and_what_looks_like_a_secret_is_not_shown() {
    let text = with(
        "filters:
  h: {headers: {request: {set: {X-Env: \"${STAGE:-x}\", Authorization: \"Bearer abcdefgh1234\", X-Api-Key: hunter2, X-Plain: fine}}}}
  s: {version_header: {value: \"v${PATH}\"}}
routes: [{name: a, path: /**, respond: {body: \"Basic dXNlcjpwYXNzd29yZA==\"}, filters: [h, s]}]
",
    );

    let yaml = shown(&loaded(&text)).to_yaml(true);

    assert!(yaml.contains("value: \"v${PATH}\"") && yaml.contains("a.yaml:5 v${PATH}"), "{yaml}");
    assert!(yaml.contains("X-Env: x\n") && yaml.contains("X-Plain: fine"), "{yaml}");
    let path = std::env::var("PATH").expect("a path");
    for secret in ["abcdefgh1234", "hunter2", "dXNlcjpwYXNzd29yZA", &path] {
        assert!(!yaml.contains(secret), "{secret}: {yaml}");
    }
    loaded(&yaml);
}

#[test]
fn secrets_in_facts_bodies_and_addresses_are_not_shown_either() {
    let text = with(
        "upstreams: {m: {endpoints: [127.0.0.1:1], health: {path: \"/h?access_token=secret-1&x=1\"}}}
filters:
  guard: {circuit_breaker: {fallback: [{respond: {json: {token: secret-2, items: [{password: secret-3}]}}}]}}
  login: {jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {url: \"https://id.shop.example/jwks?apikey=secret-4\"}}}}
routes:
  - {name: a, path: /a, when: {header.x-api-key: secret-5, query.token: [secret-6, secret-7], cookie.session: secret-8}, respond: {json: {api_key: secret-9}}}
  - {name: b, path: /b, respond: {body: \"api_key=secret-10 password: secret-11\"}}
  - {name: c, path: /c, redirect: {to: \"https://shop.example/?secret=secret-12\"}}
  - {name: d, path: /d, upstream: m, filters: [login, guard]}
",
    );

    let yaml = shown(&loaded(&text)).to_yaml(true);

    assert!(!yaml.contains("secret-"), "{yaml}");
    for harmless in ["path: \"/h?access_token=***&x=1\"", "/jwks?apikey=***", "/?secret=***", "audience: any"] {
        assert!(yaml.contains(harmless) || yaml.contains(&harmless.replace('"', "")), "{harmless}: {yaml}");
    }
}

#[test]
fn values_of_several_files_say_which() {
    let source = |name: &str, text: &str| Source { name: format!("conf.d/{name}"), text: text.to_owned() };
    let files = vec![
        source("a.yaml", &with("routes: [{name: a, path: /a, respond: {}}]\n")),
        source("b.yaml", "routes:\n  - {name: b, path: /b, respond: {}}\n"),
    ];
    let loaded = load_sources(files, Vec::new(), &|_| None).unwrap_or_else(|problems| panic!("{}", problems.render(false)));

    let origins = shown(&loaded).origins();

    assert_eq!((&origins["routes[0].name"], &origins["routes[1].name"]), (&json!("a.yaml:3"), &json!("b.yaml:2")));
}

#[test]
fn an_aggregate_is_shown_in_its_order_with_its_nulls_and_without_credentials() {
    let text = with(
        "upstreams: {p: {endpoints: [127.0.0.1:1]}}
routes:
  - name: home
    path: /home/{id}
    aggregate:
      calls:
        user: {upstream: p, get: \"/u/{id}?key={header.X-Key}\", headers: {Authorization: \"{header.Authorization}\", X-Api-Key: hunter2}}
        cart: {upstream: p, post: /c, body: {z: null, a: [[1, {b: \"{user.id}\"}], 1.5]}, otherwise: null}
        more: {upstream: p, get: \"/m?i={each}\", each: cart.ids, batch: 5, by: id, rename: {z: y, a: b}}
      answer: {z: \"{user}\", \"...\": cart, more: \"{more}\", none: null}
",
    );

    let shown = shown(&loaded(&text));
    let yaml = shown.to_yaml(false);

    assert_eq!(super::shown(&loaded(&yaml.replace("***", "hunter2"))).to_yaml(false), yaml);
    assert!(!yaml.contains("hunter2") && yaml.contains("Authorization: \"{header.Authorization}\""), "{yaml}");
    let aggregate = &shown.to_json()["routes"][0]["aggregate"];
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&aggregate["calls"]), ["user", "cart", "more"]);
    assert_eq!(names(&aggregate["answer"]), ["z", "...", "more", "none"]);
    assert_eq!(aggregate["calls"]["cart"]["body"], json!({"z": null, "a": [[1, {"b": "{user.id}"}], 1.5]}));
    assert_eq!(aggregate["calls"]["cart"].get("otherwise"), Some(&Value::Null));
    assert_eq!((&aggregate["calls"]["user"]["expect"], &aggregate["errors"]), (&json!("200-299"), &json!("problem")));
    assert_eq!((&aggregate["calls"]["more"]["most"], &aggregate["calls"]["more"]["concurrency"]), (&json!(100), &json!(8)));
}
