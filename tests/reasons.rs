use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use serde_json::{Value, json};

use crate::harness::origin::response;
use crate::harness::{Gateway, Log, Origin, exchange};

const PLAIN: &str = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:0"}]
upstreams:
  main: {endpoints: ["$ORIGIN"]}
routes:
  - {name: all, path: "/**", upstream: main}
telemetry: {access_log: "off"}
"#;

/// Serves these requests one after the other and gives back their lines of the access log.
fn lines_of(name: &str, configuration: &str, origin: &Origin, requests: &[&str]) -> Vec<Value> {
    lines_with(name, configuration, origin, requests, |_| {})
}

/// The same; what is to happen before the request of this number does.
fn lines_with(name: &str, configuration: &str, origin: &Origin, requests: &[&str], before: impl Fn(usize)) -> Vec<Value> {
    let log = Log::new(name);
    let gateway = Gateway::start(&log.of(&configuration.replace("$ORIGIN", &origin.address.to_string())));
    let mut lines = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        before(number);
        exchange(gateway.address, request.as_bytes()).unwrap();
        lines = log.wait_for(number + 1);
    }
    lines
}

/// What a line says of why it is as it is.
fn told(line: &Value) -> [&str; 3] {
    ["path", "reason", "flags"].map(|field| line.get(field).and_then(Value::as_str).unwrap_or("-"))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

#[test]
fn what_answered_in_the_upstreams_place_is_told() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let origin = Origin::start(move |_, stream| {
        let status = if failing.load(Ordering::SeqCst) { "503 Busy" } else { "200 OK" };
        stream.write_all(response(status, "", "x").as_bytes()).is_ok()
    });
    let other = Origin::json("{}");
    let breaker = |rest: &str| format!("circuit_breaker: {{min_requests: 1, consecutive: 1, open_for: 60s, {rest}}}");
    let configuration = PLAIN.replace("upstreams:\n", &format!("upstreams:\n  other: {{endpoints: [\"{}\"]}}\n", other.address)).replace(
        "telemetry:",
        &format!(
            "
  - {{name: old, path: /old, redirect: {{to: /new}}}}
  - {{name: fixed, path: /fixed, respond: {{status: 204}}}}
  - {{name: web, path: /web, upstream: main, filters: [{{cors: {{origins: [https://a.example], methods: [GET]}}}}]}}
  - {{name: kept, path: /kept, upstream: main, filters: [{{{}}}]}}
  - {{name: other, path: /other, upstream: main, filters: [{{{}}}]}}
  - {{name: words, path: /words, upstream: main, filters: [{{{}}}]}}
  - {{name: bare, path: /bare, upstream: main, filters: [{{{}}}]}}
telemetry:",
            breaker("fallback: [{cached: {max_age: 10m}}]"),
            breaker("fallback: [{upstream: other}]"),
            breaker("fallback: [{respond: {status: 200}}]"),
            breaker("fallback: []"),
        ),
    );
    let preflight =
        "OPTIONS /web HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: GET\r\nConnection: close\r\n\r\n";
    let star = "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let paths = ["/kept", "/other", "/words", "/bare"];
    let (first, again): (Vec<String>, Vec<String>) =
        (paths.map(get).to_vec(), [paths, paths].concat().iter().map(|path| get(path)).collect());

    let plain = lines_of("reasons", &configuration, &origin, &[&get("/old"), &get("/fixed"), preflight, star, &get("/kept")]);
    let requests: Vec<&str> = first.iter().chain(&again).map(String::as_str).collect();
    let lines = lines_with("fallbacks", &configuration, &origin, &requests, |number| fails.store(number >= 4, Ordering::SeqCst));

    let plain: Vec<_> = plain.iter().map(told).collect();
    assert_eq!(
        plain,
        [["/old", "redirect", "-"], ["/fixed", "respond", "-"], ["/web", "preflight", "-"], ["*", "options", "-"], ["/kept", "-", "-"]]
    );
    let lines: Vec<_> = lines.iter().map(told).collect();
    assert_eq!(lines[..4], paths.map(|path| [path, "-", "-"]));
    assert_eq!(
        lines[4..8],
        [["/kept", "fallback_cached", "-"], ["/other", "fallback_upstream", "-"], ["/words", "fallback_respond", "-"], ["/bare", "-", "-"]]
    );
    assert_eq!(
        lines[8..],
        [
            ["/kept", "fallback_cached", "UO"],
            ["/other", "fallback_upstream", "UO"],
            ["/words", "fallback_respond", "UO"],
            ["/bare", "circuit_open", "UO"]
        ]
    );
}

#[test]
fn what_speaks_another_protocol_is_refused_as_what_it_is() {
    let origin = Origin::json("{}");
    let requests = [
        ("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "proxy_header"),
        ("\r\n\r\n\0\r\nQUIT\n!\u{11}\0\u{c}GET / HTTP/1.1\r\nHost: a\r\n\r\n", "proxy_header"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2_preface"),
        // Without a line end, so that nothing is waited for.
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}", "tls"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", "bad_request"),
    ];

    let lines = lines_of("openings", PLAIN, &origin, &requests.map(|(request, _)| request));

    let told: Vec<_> = lines.iter().map(|line| (line["status"].as_u64(), line["reason"].as_str())).collect();
    assert_eq!(told, requests.map(|(_, reason)| (Some(400), Some(reason))));
}

#[test]
fn who_was_limited_and_who_was_there_is_the_same_after_a_restart() {
    let origin = Origin::json("{}");
    let issuer = Issuer::fresh("k1", Algorithm::ES256).unwrap();
    let folder = std::env::temp_dir().join(format!("frontgate-test-{}-who", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name).display().to_string()
    };
    let (keys, hash_key) = (write("keys.json", &issuer.jwks()), write("log.key", &"k".repeat(32)));
    let configuration = PLAIN
        .replace("telemetry: {", &format!("telemetry: {{hash_key: {{file: {hash_key}}}, "))
        .replace("path: \"/**\", upstream: main}", "path: \"/**\", upstream: main, filters: [login, by_plan, by_client]}")
        .replace(
            "routes:",
            &format!(
                "filters:
  login: {{jwt: {{issuer: any, audience: any, algorithms: [ES256], keys: {{jwks: {{file: {keys}}}}}, optional: true}}}}
  by_plan:
    rate_limit: {{key: [claim.sub, route], tier: claim.plan, rates: {{free: {{rate: 1/h, burst: 1}}, pro: 9/h}}, otherwise: free, on_missing_key: allow}}
  by_client: {{rate_limit: {{key: client_ip, rate: 3/h}}}}
routes:"
            ),
        );
    let token = issuer.token(&json!({"sub": "user 4711", "plan": "free", "exp": 9_999_999_999_u64}));
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    let requests = [&*request, &request, &get("/"), &get("/"), &get("/")];

    let before = lines_of("who-before", &configuration, &origin, &requests);
    let after = lines_of("who-after", &configuration, &origin, &requests);

    let sub = before[0]["sub"].as_str().unwrap();
    assert!(sub.len() == 16 && !sub.contains("4711"), "{sub}");
    assert_eq!((&before[0]["tier"], before[0].get("limit_key")), (&json!("free"), None));
    let limited = json!({"status": 429, "limit": "by_plan", "limit_key": format!("{sub},all"), "tier": "free", "flags": "RL"});
    limited.as_object().unwrap().iter().for_each(|(name, value)| assert_eq!(before[1][name], *value, "{name}"));
    assert_eq!((&before[4]["limit"], &before[4]["limit_key"]), (&json!("by_client"), &json!("127.0.0.1")));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!([before.get("sub"), before.get("limit_key")], [after.get("sub"), after.get("limit_key")]);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_device_is_told_wherever_anything_asks_for_it() {
    let origin = Origin::json("{}");
    let configuration = PLAIN.replace("path: \"/**\"", "path: \"/a/**\", methods: [GET]").replace(
        "telemetry:",
        "  - {name: slim, path: /slim, upstream: main, filters: [{trim: {profiles: {mobile: {drop: [x]}}}}]}\ntelemetry:",
    );
    let ask = |line: &str| format!("{line} HTTP/1.1\r\nHost: a\r\nUser-Agent: iPhone; Mobile\r\nConnection: close\r\n\r\n");

    let lines = lines_of("device", &configuration, &origin, &[&ask("GET /a/x"), &ask("POST /a/x"), &ask("GET /none"), &ask("GET /slim")]);

    let statuses: Vec<_> = lines.iter().map(|line| (line["status"].as_u64().unwrap(), line["device"].as_str().unwrap_or("-"))).collect();
    assert_eq!(statuses, [(200, "mobile"), (405, "mobile"), (404, "mobile"), (200, "mobile")]);
}
