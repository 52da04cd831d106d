//! Who may ask: tokens and their keys, roles, preflights, headers that say who somebody is.

mod key_sets;

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use serde_json::{Value, json};

use crate::harness::{Gateway, Origin, Reply, exchange, load, until, yaml};
use key_sets::Provider;

fn issuer(kid: &str) -> Issuer {
    Issuer::fresh(kid, Algorithm::ES256).unwrap()
}

fn claims(roles: &[&str]) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({"iss": "https://id/", "aud": "shop", "sub": "u-1", "exp": now + 600, "roles": roles})
}

fn ask(address: SocketAddr, line: &str, headers: &str) -> Reply {
    exchange(address, format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n").as_bytes()).unwrap()
}

fn get(address: SocketAddr, token: &str) -> Reply {
    ask(address, "GET /x", &format!("Authorization: Bearer {token}\r\n"))
}

/// A file that goes with the test.
struct Kept(std::path::PathBuf);

impl Kept {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("frontgate-auth-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    /// As `keys` of a `jwt`.
    fn keys(&self) -> String {
        format!("keys: {{jwks: {{file: \"{}\"}}}}", self.0.display())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An open route, one that asks for a token, one for a role, one with CORS and one without; `jwt` are the keys and further options of the
/// `jwt`.
fn text(origin: SocketAddr, jwt: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          login:
            jwt:
              issuer: https://id/
              audience: shop
              algorithms: [ES256]
              $JWT
          admins:
            rbac:
              claim: roles
              any_of: [admin]
          web:
            cors: {origins: [https://shop.example], methods: [GET, PUT], credentials: true}
        routes:
          - {name: open, path: /open/**, upstream: main}
          - {name: closed, path: /**, upstream: main, filters: [login]}
          - {name: admin, path: /admin/**, upstream: main, filters: [login, admins]}
          - {name: web, path: /web, methods: [GET], upstream: main, filters: [web, login]}
          - {name: plain, path: /plain, methods: [GET], upstream: main, filters: [login]}
        ",
        &[("$ORIGIN", &origin), ("$JWT", &jwt)],
    )
}

#[test]
fn a_token_opens_what_its_roles_allow_and_says_who_asks() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let file = Kept::new("roles.json", &issuer.jwks());
    let gateway = Gateway::start(&text(
        origin.address,
        &format!("{}\nclaim_headers: {{X-User-Id: claim.sub, X-User-Roles: claim.roles}}", file.keys()),
    ));
    let token = |roles: &[&str]| format!("Authorization: Bearer {}\r\n", issuer.token(&claims(roles)));

    let reply = ask(gateway.address, "GET /x", "");
    reply.is_problem(401);
    assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"frontgate\""));
    ask(gateway.address, "GET /x", "Authorization: Bearer a.b.c\r\n").is_problem(401);
    let reply = ask(gateway.address, "GET /x", &format!("{}Authorization: Basic dTpw\r\n", token(&["user"])));
    reply.is_problem(400);
    assert!(reply.header("www-authenticate").unwrap().contains("invalid_request"));
    assert!(origin.received().is_empty());

    assert_eq!(ask(gateway.address, "GET /x", &token(&["user", "eu"])).status, 200);
    assert_eq!(origin.last().header("x-user-id"), ["u-1"]);
    assert_eq!(origin.last().header("x-user-roles"), ["user,eu"]);

    let reply = ask(gateway.address, "GET /admin/x", &token(&["user"]));
    reply.is_problem(403);
    assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"frontgate\", error=\"insufficient_scope\""));
    ask(gateway.address, "GET /admin//x/../%79", &token(&["Admin"])).is_problem(403);
    ask(gateway.address, "GET /admin/x", "").is_problem(401);
    assert_eq!(ask(gateway.address, "GET /admin/x", &token(&["user", "admin"])).status, 200);

    for (series, count) in [
        (r#"frontgate_auth_decisions_total{decision="allow",filter="login",reason="valid"}"#, 4.0),
        (r#"frontgate_auth_decisions_total{decision="deny",filter="login",reason="no_token"}"#, 2.0),
        (r#"frontgate_auth_decisions_total{decision="deny",filter="login",reason="malformed"}"#, 1.0),
        (r#"frontgate_auth_decisions_total{decision="deny",filter="login",reason="bad_request"}"#, 1.0),
        (r#"frontgate_auth_decisions_total{decision="deny",filter="admins",reason="any_of"}"#, 2.0),
        (r#"frontgate_auth_decisions_total{decision="allow",filter="admins",reason="granted"}"#, 1.0),
    ] {
        gateway.comes_to(series, count);
    }
}

#[test]
fn identity_headers_of_clients_reach_no_route() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let file = Kept::new("strip.json", &issuer.jwks());
    let gateway =
        Gateway::start(&text(origin.address, &format!("{}\nclaim_headers: {{X-User-Id: claim.sub, X_Org: claim.org}}", file.keys())));
    let forged = "X-User-Id: root\r\nx-user-id: root\r\nX_User_Id: root\r\nx-user_id: root\r\nX-USER-ID: root\r\nX-Org: root\r\nx_org: root\r\nX-User-Idx: kept\r\n";

    assert_eq!(ask(gateway.address, "GET /open/x", forged).status, 200);
    let seen = origin.last();
    assert!(!seen.head.contains("root"), "{}", seen.head);
    assert_eq!(seen.header("x-user-idx"), ["kept"]);

    let token = format!("{forged}Authorization: Bearer {}\r\n", issuer.token(&claims(&[])));
    assert_eq!(ask(gateway.address, "GET /x", &token).status, 200);
    let seen = origin.last();
    assert!(!seen.head.contains("root"), "{}", seen.head);
    assert_eq!(seen.header("x-user-id"), ["u-1"]);
}

#[test]
fn the_upstream_is_not_sent_the_token_where_it_is_not_to_have_it() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let file = Kept::new("forward.json", &issuer.jwks());
    let gateway =
        Gateway::start(&text(origin.address, &format!("{}\nforward_token: false\nfrom: [header.Authorization, cookie.sid]", file.keys())));
    let token = issuer.token(&claims(&[]));

    assert_eq!(ask(gateway.address, "GET /x", &format!("Cookie: a=1; sid={token}\r\nAuthorization: Bearer {token}\r\n")).status, 200);

    assert!(!origin.last().head.contains(&token));
    assert_eq!(origin.last().header("cookie"), ["a=1"]);
}

#[test]
fn a_preflight_needs_no_token_and_its_route_is_the_one_it_asks_about() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let file = Kept::new("cors.json", &issuer.jwks());
    let gateway = Gateway::start(&text(origin.address, &file.keys()));
    let preflight = |method: &str| format!("Origin: https://shop.example\r\nAccess-Control-Request-Method: {method}\r\n");

    let reply = ask(gateway.address, "OPTIONS /web", &preflight("GET"));
    assert_eq!(reply.status, 204, "{}", reply.head);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("GET, PUT"));
    assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));

    let reply = ask(gateway.address, "GET /web", "Origin: https://shop.example\r\n");
    reply.is_problem(401);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(reply.header("vary"), Some("Origin"));
    let reply = ask(gateway.address, "GET /web", "Origin: https://evil.example\r\n");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (401, None));

    // A method that the path does not have, a route without cors, and OPTIONS that asks nothing.
    assert_eq!(ask(gateway.address, "OPTIONS /web", &preflight("PUT")).status, 405);
    assert_eq!(ask(gateway.address, "OPTIONS /plain", &preflight("GET")).status, 405);
    assert_eq!(ask(gateway.address, "OPTIONS /web", "Origin: https://shop.example\r\n").status, 405);
    assert!(origin.received().is_empty());
}

#[test]
fn a_reload_reads_key_files_again_and_ends_what_the_old_key_verified() {
    let (origin, old, new) = (Origin::json("{}"), issuer("k1"), issuer("k1"));
    let file = Kept::new("reload.json", &old.jwks());
    let text = text(origin.address, &file.keys());
    let gateway = Gateway::start(&text);
    let (before, after) = (old.token(&claims(&[])), new.token(&claims(&[])));
    assert_eq!((get(gateway.address, &before).status, get(gateway.address, &after).status), (200, 401));

    std::fs::write(&file.0, "{}").unwrap();
    let error = gateway.running.reload(load(&text)).unwrap_err();
    assert!(error.contains("login") && error.contains("keys"), "{error}");
    assert_eq!(get(gateway.address, &before).status, 200);

    std::fs::write(&file.0, new.jwks()).unwrap();
    gateway.running.reload(load(&text)).unwrap();
    assert_eq!((get(gateway.address, &before).status, get(gateway.address, &after).status), (401, 200));
}

#[test]
fn a_token_of_another_type_opens_nothing() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let file = Kept::new("types.json", &issuer.jwks());
    let status = |more: &str, typ: &str| {
        let gateway = Gateway::start(&text(origin.address, &format!("{}{more}", file.keys())));
        let header = format!(r#"{{"alg":"ES256","kid":"k1","typ":"{typ}"}}"#);
        let reply = get(gateway.address, &issuer.sign(&header, claims(&[]).to_string().as_bytes()));
        assert_eq!(
            gateway.metric(r#"frontgate_auth_decisions_total{decision="deny",filter="login",reason="token_type"}"#) > 0.0,
            reply.status != 200
        );
        reply.status
    };

    assert_eq!((status("", "at+jwt"), status("", "logout+jwt")), (200, 401));
    assert_eq!((status("\ntyp: logout+jwt", "logout+jwt"), status("\ntyp: [logout+jwt]", "JWT")), (200, 401));
    assert_eq!(status("\ntyp: any", "logout+jwt"), 200);
}

#[test]
fn observing_filters_refuse_nobody() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let file = Kept::new("observe.json", &issuer.jwks());
    let text = text(origin.address, &format!("{}\nmode: observe\nclaim_headers: {{X-User-Id: claim.sub}}", file.keys()));
    let gateway = Gateway::start(&text.replace("any_of: [admin]", "any_of: [admin]\n      mode: observe"));

    assert_eq!(ask(gateway.address, "GET /admin/x", "").status, 200);
    assert_eq!(get(gateway.address, &issuer.token(&claims(&[]))).status, 200);

    assert!(origin.last().header("x-user-id").is_empty());
    gateway.comes_to(r#"frontgate_auth_decisions_total{decision="deny",filter="login",reason="no_token"}"#, 1.0);
}

/// `frontgate explain` on this configuration: what it prints.
fn explain(config: &Kept, arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_frontgate"))
        .args(["explain", "-c"])
        .arg(&config.0)
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn explain_takes_claims_in_place_of_a_token_and_fetches_nothing() {
    let provider = Provider::start(issuer("k1").jwks());
    let jwt = format!("{}\nclaim_headers: {{X-User-Id: claim.sub}}", provider.keys(""));
    let config = Kept::new("explain.yaml", &text("127.0.0.1:9".parse().unwrap(), &jwt));

    let told = explain(&config, &["GET", "/admin/x", "--claims", r#"{"sub": "u-1", "roles": ["admin"]}"#]);
    for words in ["in place of a token", "X-User-Id from sub", "roles grants it", "upstream  main"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let told = explain(&config, &["GET", "/admin/x", "--claims", r#"{"roles": "user"}"#]);
    assert!(told.contains("roles holds none of any_of: admin") && told.contains("answers   403"), "{told}");
    let told = explain(&config, &["GET", "/admin/x"]);
    assert!(told.contains("no_token") && told.contains("answers   401"), "{told}");
    let told = explain(&config, &["GET", "/x", "-H", "Authorization: Bearer a.b.c"]);
    assert!(told.contains("not fetched offline") && told.contains("answers   503"), "{told}");
    let told = explain(&config, &["OPTIONS", "/web", "-H", "Origin: https://shop.example", "-H", "Access-Control-Request-Method: GET"]);
    assert!(told.contains("preflight") && told.contains("answers   204"), "{told}");
    let told = explain(&config, &["GET", "/x", "--claims", "[1]"]);
    assert!(told.contains("not a JSON object"), "{told}");
    assert_eq!(provider.fetches(), 0);
}

#[test]
fn the_log_says_why_and_names_nobody() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let (file, log) = (Kept::new("log.json", &issuer.jwks()), Kept::new("log.txt", ""));
    let text = text(origin.address, &file.keys());
    let to = format!("access_log: {{to: {{file: \"{}\"}}}}", log.0.display());
    let gateway = Gateway::start(&text.replace("access_log: \"off\"", &to));
    let (good, mut late) = (issuer.token(&claims(&["user"])), claims(&[]));
    late["exp"] = 1.into();
    let late = issuer.token(&late);

    // A line is written once its answer is out, by whichever thread served it.
    let logged = |count| until("a line", || std::fs::read_to_string(&log.0).unwrap().lines().count() == count);
    assert_eq!(get(gateway.address, &good).status, 200);
    logged(1);
    assert_eq!(get(gateway.address, &late).status, 401);
    logged(2);
    assert_eq!(ask(gateway.address, "GET /admin/x", &format!("Authorization: Bearer {good}\r\n")).status, 403);
    logged(3);
    let text = std::fs::read_to_string(&log.0).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[1]["reason"], "expired");
    assert_eq!(lines[2]["reason"], "any_of");
    assert!(lines[0]["sub"].as_str().is_some_and(|sub| sub.len() == 16) && lines[0]["sub"] == lines[2]["sub"], "{text}");
    assert!(!text.contains("\"u-1\"") && !text.contains(&good) && !text.contains(&late), "{text}");
}
