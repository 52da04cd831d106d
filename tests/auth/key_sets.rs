//! Keys that are fetched from who issues the tokens: before they are needed, when they rotate, while nobody answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use frontgate_filters::jwt::issuer::Issuer;
use frontgate_test_support::{skipped, tool};
use serde_json::{Value, json};

use super::{Kept, ask, claims, get, issuer, text};
use crate::harness::origin::response;
use crate::harness::{Gate, Gateway, Origin, load, operate, until};

/// An identity provider's key set over a real socket.
pub struct Provider {
    origin: Origin,
    set: Arc<Mutex<String>>,
    fetches: Arc<AtomicUsize>,
    unchanged: Arc<AtomicUsize>,
    healthy: Arc<AtomicBool>,
}

impl Provider {
    pub fn start(set: String) -> Self {
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
    pub fn keys(&self, more: &str) -> String {
        format!("keys: {{jwks: {{url: http://{}/keys{more}}}}}", self.origin.address)
    }

    fn publish(&self, issuers: &[&Issuer]) {
        let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk()).collect();
        *self.set.lock().unwrap() = json!({"keys": keys}).to_string();
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

#[test]
fn a_key_set_behind_a_url_is_fetched_before_it_is_needed() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let provider = Provider::start(issuer.jwks());
    let gateway = Gateway::start(&text(origin.address, &provider.keys("")));
    let admin = gateway.running.admin().unwrap();

    until("readiness", || operate(admin, "GET", "/readyz").status == 200);
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
fn the_first_request_waits_for_the_first_fetch() {
    let (origin, issuer) = (Origin::json("{}"), issuer("k1"));
    let (set, published) = (issuer.jwks(), Gate::default());
    let gate = published.clone();
    let slow = Origin::start(move |_, stream| {
        gate.pass();
        std::io::Write::write_all(stream, response("200 OK", "", &set).as_bytes()).is_ok()
    });
    let gateway = Gateway::start(&text(origin.address, &format!("keys: {{jwks: {{url: http://{}/}}}}", slow.address)));

    assert_eq!(operate(gateway.running.admin().unwrap(), "GET", "/readyz").status, 503);
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
    gateway.comes_to(r#"frontgate_auth_decisions_total{decision="deny",filter="login",reason="unknown_key"}"#, 400.0);
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
        assert_eq!(operate(gateway.running.admin().unwrap(), "GET", "/readyz").status, 200);
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
