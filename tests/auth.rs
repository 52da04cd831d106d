use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use frontgate_test_support::{skipped, tool};
use serde_json::{Value, json};

use crate::harness::origin::response;
use crate::harness::{Gate, Gateway, Origin, Reply, exchange, load, until, yaml};

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
        assert_eq!(gateway.metric(series), count, "{series}");
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

/// An identity provider's key set over a real socket.
struct Provider {
    origin: Origin,
    set: Arc<Mutex<String>>,
    fetches: Arc<AtomicUsize>,
    unchanged: Arc<AtomicUsize>,
    healthy: Arc<AtomicBool>,
}

impl Provider {
    fn start(set: String) -> Self {
        let set = Arc::new(Mutex::new(set));
        let (fetches, unchanged, healthy) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::new(AtomicBool::new(true)));
        let (shared, count, same, works) = (set.clone(), fetches.clone(), unchanged.clone(), healthy.clone());
        let origin = Origin::start(move |request, stream| {
            count.fetch_add(1, Ordering::SeqCst);
            let body = shared.lock().unwrap().clone();
            let etag = format!("\"{:x}\"", body.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31) ^ u64::from(byte)));
            let answer = if !works.load(Ordering::SeqCst) {
                response("500 Internal Server Error", "", "no")
            } else if request.header("if-none-match") == [etag.as_str()] {
                same.fetch_add(1, Ordering::SeqCst);
                format!("HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n")
            } else {
                response("200 OK", &format!("ETag: {etag}\r\nContent-Type: application/json\r\n"), &body)
            };
            std::io::Write::write_all(stream, answer.as_bytes()).is_ok()
        });
        Self { origin, set, fetches, unchanged, healthy }
    }

    /// As `keys` of a `jwt`; `more` are further options of the set.
    fn keys(&self, more: &str) -> String {
        format!("keys: {{jwks: {{url: http://{}/keys{more}}}}}", self.origin.address)
    }

    fn publish(&self, issuers: &[&Issuer]) {
        let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk()).collect();
        *self.set.lock().unwrap() = json!({"keys": keys}).to_string();
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

#[test]
fn a_key_set_behind_a_url_is_fetched_before_it_is_needed() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let provider = Provider::start(issuer.jwks());
    let gateway = Gateway::start(&text(origin.address, &provider.keys("")));
    let admin = gateway.running.admin().unwrap();

    until("readiness", || ask(admin, "GET /readyz", "").status == 200);
    assert_eq!(provider.fetches(), 1);
    assert_eq!(get(gateway.address, &issuer.token(&claims(&[]))).status, 200);
    assert_eq!(provider.fetches(), 1);
    assert_eq!(provider.origin.last().header("accept-encoding"), ["identity"]);
    let age = gateway.metric(r#"frontgate_jwks_age_seconds{filter="login"}"#);
    assert!(age > 0.0 && age < 20.0, "{age}");
}

#[test]
fn a_key_set_may_begin_with_a_byte_order_mark_and_is_not_taken_compressed() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let set = format!("\u{feff}{}", issuer.jwks());
    let serve = |headers: &'static str| {
        let answer = response("200 OK", headers, &set);
        Origin::start(move |_, stream| std::io::Write::write_all(stream, answer.as_bytes()).is_ok())
    };
    let (marked, packed) = (serve("Content-Encoding: Identity\r\n"), serve("Content-Encoding: gzip\r\n"));
    let status = |provider: &Origin| {
        let gateway = Gateway::start(&text(origin.address, &format!("keys: {{jwks: {{url: http://{}/}}}}", provider.address)));
        get(gateway.address, &issuer.token(&claims(&[]))).status
    };

    assert_eq!((status(&marked), status(&packed)), (200, 503));
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
fn the_first_request_waits_for_the_first_fetch() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let (set, published) = (issuer.jwks(), Gate::default());
    let gate = published.clone();
    let slow = Origin::start(move |_, stream| {
        gate.pass();
        std::io::Write::write_all(stream, response("200 OK", "", &set).as_bytes()).is_ok()
    });
    let gateway = Gateway::start(&text(origin.address, &format!("keys: {{jwks: {{url: http://{}/}}}}", slow.address)));

    assert_eq!(ask(gateway.running.admin().unwrap(), "GET /readyz", "").status, 503);
    let waiting = {
        let address = gateway.address;
        let token = issuer.token(&claims(&[]));
        std::thread::spawn(move || get(address, &token).status)
    };
    // Another request on the same thread is not held up: it is answered while the keys are still to come.
    until("the waiting request", || gateway.running.requests() == 1);
    assert_eq!(ask(gateway.address, "GET /open/x", "").status, 200);
    assert!(!waiting.is_finished());

    published.open();
    assert_eq!(waiting.join().unwrap(), 200);
}

#[test]
fn keys_that_rotate_under_load_give_no_wrong_answer() {
    let (origin, first) = (Origin::json("{}"), issuer("k0"));
    let provider = Provider::start(first.jwks());
    let gateway = Gateway::start(&text(origin.address, &provider.keys("")));
    // A token that is good now, and one that somebody else signed under the same key's name.
    let pair = |issuer: &Issuer, kid: &str| (issuer.token(&claims(&[])), self::issuer(kid).token(&claims(&[])));
    let (now, stop, asked) = (Arc::new(Mutex::new(pair(&first, "k0"))), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (now, stop, asked, address) = (now.clone(), stop.clone(), asked.clone(), gateway.address);
            std::thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let (token, forged) = now.lock().unwrap().clone();
                    let reply = get(address, &token);
                    assert_eq!(reply.status, 200, "client {number}: {}", reply.text());
                    assert_eq!(get(address, &forged).status, 401, "client {number}");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();

    let mut issuers = vec![first];
    // Each pair of tokens is used for a while before the next one takes its place.
    let used = || {
        let before = asked.load(Ordering::SeqCst);
        until("every client to ask again", || asked.load(Ordering::SeqCst) >= before + 8);
    };
    for number in 1..=8 {
        used();
        let kid = format!("k{number}");
        let next = issuer(&kid);
        let tokens = pair(&next, &kid);
        // The keys before stay for the requests under way; the new one is used the moment it is published.
        let before: Vec<&Issuer> = issuers.iter().rev().take(2).collect();
        provider.publish(&[&before[..], &[&next]].concat());
        *now.lock().unwrap() = tokens;
        issuers.push(next);
    }
    used();
    stop.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());

    assert_eq!(get(gateway.address, &issuers[7].token(&claims(&[]))).status, 200);
    assert_eq!(get(gateway.address, &issuers[5].token(&claims(&[]))).status, 401, "a key that was rotated out");
    println!("{} rounds over {} fetches", asked.load(Ordering::SeqCst), provider.fetches());
}

#[test]
fn made_up_key_names_cost_the_issuer_one_fetch_a_cooldown() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let provider = Provider::start(issuer.jwks());
    let gateway = Gateway::start(&text(origin.address, &provider.keys("")));
    assert_eq!(get(gateway.address, &issuer.token(&claims(&[]))).status, 200);
    let before = provider.fetches();
    let address = gateway.address;

    let began = Instant::now();
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let tokens: Vec<String> = (0..100)
                .map(|number| issuer.sign(&json!({"alg": "ES256", "kid": format!("x{client}-{number}")}).to_string(), b"{}"))
                .collect();
            std::thread::spawn(move || tokens.iter().for_each(|token| assert_eq!(get(address, token).status, 401)))
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());

    // The cooldown is ten seconds: one fetch, and one more for each that this took.
    let fetched = provider.fetches() - before;
    assert!((1..=1 + began.elapsed().as_secs() / 10).contains(&(fetched as u64)), "{fetched} in {:?}", began.elapsed());
    assert_eq!(provider.unchanged.load(Ordering::SeqCst), fetched, "the tag was not sent along");
    assert_eq!(get(gateway.address, &issuer.token(&claims(&[]))).status, 200);
    assert_eq!(gateway.metric(r#"frontgate_auth_decisions_total{decision="deny",filter="login",reason="unknown_key"}"#), 400.0);
}

#[test]
fn the_last_good_set_serves_while_the_provider_is_down() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let provider = Provider::start(issuer.jwks());
    let began = Instant::now();
    let gateway = Gateway::start(&text(origin.address, &provider.keys(", refresh: 1s, stale_for: 2s")));
    let token = issuer.token(&claims(&[]));
    assert_eq!(get(gateway.address, &token).status, 200);

    provider.healthy.store(false, Ordering::SeqCst);
    let down = provider.fetches();
    until("a fetch that fails", || provider.fetches() > down);
    until("the end of its time", || match get(gateway.address, &token).status {
        200 => false,
        status => status == 503,
    });
    assert!(began.elapsed() >= Duration::from_secs(3), "a set is good for `refresh` and `stale_for`: {:?}", began.elapsed());
    provider.healthy.store(true, Ordering::SeqCst);
    until("another good fetch", || get(gateway.address, &token).status == 200);
}

#[test]
fn without_any_keys_ever_it_is_503_until_there_are_some() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    for answer in ["{}", "{\"keys\": []}", "not JSON", &"x".repeat(600 * 1024)] {
        let provider = Provider::start(answer.to_owned());
        let gateway = Gateway::start(&text(origin.address, &provider.keys("")));
        let reply = get(gateway.address, &issuer.token(&claims(&[])));
        reply.is_problem(503);
        assert_eq!(reply.json()["code"], "keys_unavailable");
        // Whoever has no token is told so all the same.
        assert_eq!(ask(gateway.address, "GET /x", "").status, 401);
        assert_eq!(ask(gateway.running.admin().unwrap(), "GET /readyz", "").status, 200);
        provider.publish(&[&issuer]);
        until("keys", || get(gateway.address, &issuer.token(&claims(&[]))).status == 200);
    }
}

#[test]
fn a_set_that_a_reload_still_names_is_not_fetched_again_and_one_that_none_names_ends() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let provider = Provider::start(issuer.jwks());
    let first = text(origin.address, &provider.keys(""));
    let gateway = Gateway::start(&first);
    let token = issuer.token(&claims(&[]));
    assert_eq!(get(gateway.address, &token).status, 200);

    gateway.running.reload(load(&first.replace("audience: shop", "audience: [shop, other]"))).unwrap();
    assert_eq!(get(gateway.address, &token).status, 200);
    assert_eq!(provider.fetches(), 1);

    gateway.running.reload(load(&text(origin.address, &provider.keys(", refresh: 1s")))).unwrap();
    until("a fetch every second", || provider.fetches() > 3);
    let file = Kept::new("none.json", &issuer.jwks());
    gateway.running.reload(load(&text(origin.address, &file.keys()))).unwrap();
    assert_eq!(get(gateway.address, &token).status, 200);
    let mut last = (provider.fetches(), Instant::now());
    until("two seconds and a half without a fetch", || {
        if provider.fetches() != last.0 {
            last = (provider.fetches(), Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(2_500)
    });
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
    assert_eq!(gateway.metric(r#"frontgate_auth_decisions_total{decision="deny",filter="login",reason="no_token"}"#), 1.0);
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

/// Runs openssl; false, and the test is skipped, where it does not know this.
fn openssl(program: &std::path::Path, folder: &std::path::Path, arguments: &str) -> bool {
    let run = std::process::Command::new(program).args(arguments.split(' ')).current_dir(folder).output().unwrap();
    if !run.status.success() {
        skipped(&format!("`openssl` makes no such certificates: {arguments}"));
    }
    run.status.success()
}

/// Ends with the test.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first line that holds these words: what follows them.
fn after(lines: &mut impl Iterator<Item = std::io::Result<String>>, words: &str) -> String {
    lines.map_while(Result::ok).find_map(|line| line.split_once(words).map(|(_, rest)| rest.trim().to_owned())).unwrap()
}

#[test]
fn a_key_set_over_https_needs_a_certificate_that_is_trusted() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let Some(program) = tool("openssl") else { return };
    let folder = std::env::temp_dir().join(format!("frontgate-auth-{}-https", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    let authority = format!("req -x509 {key} -subj /CN=test-ca -keyout ca.key -out ca.pem");
    let names = "-addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE";
    let server = format!("req -x509 {key} -subj /CN=localhost {names} -CA ca.pem -CAkey ca.key -keyout id.key -out id.pem");
    if !(openssl(&program, &folder, &authority) && openssl(&program, &folder, &server)) {
        return;
    }
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    std::fs::write(folder.join("keys"), response("200 OK", "Content-Type: application/json\r\n", &issuer.jwks())).unwrap();
    let mut server = Command::new(&program)
        .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "id.pem", "-key", "id.key", "-HTTP"])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
    let _server = Ends(server);
    let address = after(&mut said, "ACCEPT ");
    std::thread::spawn(move || for _ in said {});
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    let text = text(origin.address, &format!("keys: {{jwks: {{url: https://localhost:{port}/keys, refresh: 1s}}}}"));
    let token = issuer.token(&claims(&[]));

    let distrustful = Gateway::start(&text);
    get(distrustful.address, &token).is_problem(503);

    std::fs::write(folder.join("frontgate.yaml"), &text).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_frontgate"))
        .args(["run", "-c"])
        .arg(folder.join("frontgate.yaml"))
        .env("SSL_CERT_FILE", folder.join("ca.pem"))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
    let _process = Ends(process);
    let address: SocketAddr = after(&mut said, "listening on ").parse().unwrap();
    std::thread::spawn(move || for _ in said {});
    until("a good answer", || get(address, &token).status == 200);
    let _ = std::fs::remove_dir_all(&folder);
}
