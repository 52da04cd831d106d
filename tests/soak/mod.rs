//! Everything at once, for as long as one likes: requests through all filters, uploads, WebSockets, HTTP/2, TLS, gRPC, clients that leave, upstreams that
//! fail in every way, limits, reloads. No status but those that are expected, no answer lost, memory and descriptors flat.
//!
//! A few rounds of each by default. `FRONTGATE_SOAK` is for how many minutes it goes on, and then memory is watched, too.

mod actors;
mod calls;
mod origin;
mod secure;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;

use crate::exchange::dice::Dice;
use crate::harness::http2_origin::Http2Origin;
use crate::harness::{Process, until, yaml};
use crate::tls::authority::{Authority, Directory};
use actors::{Round, Scene};
use origin::{FAULTS, Origin};

/// How many rounds each makes at least.
const ROUNDS: u64 = 5;
/// How much the last third of the time may take more than the one before: of memory in KiB, and of descriptors.
const GROWTH: (usize, usize) = (12 << 10, 60);

type Actor = fn(&Scene, &mut Dice) -> Round;

/// Each with how many of its kind there are.
const ACTORS: [(&str, Actor, usize); 14] = [
    ("browse", actors::browse, 4),
    ("intrude", actors::intrude, 1),
    ("upload", actors::upload, 2),
    ("chat", actors::chat, 2),
    ("streams", actors::streams, 2),
    ("chat over HTTP/2", secure::chat, 2),
    ("browse over TLS", secure::browse, 2),
    ("streams over TLS", secure::streams, 1),
    ("chat over TLS", secure::chat_over_tls, 1),
    ("call", calls::call, 2),
    ("abort", actors::abort, 2),
    ("download", actors::download, 1),
    ("suffer", actors::suffer, 3),
    ("press", actors::press, 1),
];

fn text(steady: &Origin, dying: &Origin, calls: &Http2Origin, tls: &Directory, keys: &str, version: u64) -> String {
    yaml(
        "
        server:
          listeners:
            - {address: 127.0.0.1:0, protocols: [h2, http1]}
            - {address: 127.0.0.1:0, tls: {cert: $TLS/shop.pem, key: $TLS/shop.key}}
          admin: 127.0.0.1:0
          filters: [stamp]
        upstreams:
          steady: {endpoints: [$STEADY], timeouts: {connect: 20s, first_byte: 20s}}
          calls: {endpoints: [$CALLS], protocol: h2, timeouts: {connect: 20s, first_byte: 20s}}
          dying:
            endpoints: [$DYING, $STEADY]
            timeouts: {first_byte: 1s, between_bytes: 500ms, total: 2s}
            retry: {attempts: 2, when: [connect_failure]}
            outlier: {consecutive: 3, eject_for: 200ms, max_ejected: 50%}
        filters:
          stamp: {version_header: {value: v$VERSION}}
          web: {cors: {origins: [https://shop.example]}}
          login: {jwt: {issuer: https://id/, audience: shop, algorithms: [ES256], keys: {jwks: {file: $KEYS}}}}
          users: {rbac: {claim: roles, any_of: [user]}}
          many: {rate_limit: {key: claim.sub, rate: 1000000/s}}
          few: {rate_limit: {key: client_ip, rate: 50/s}}
          slim: {trim: {profiles: {mobile: {keep: [items.id, items.title]}}}}
          guard: {circuit_breaker: {min_requests: 20, failure_ratio: 90%}}
        routes:
          - {name: json, path: /json, methods: [GET], upstream: steady, filters: [web, login, users, many, slim, guard]}
          - {name: upload, path: /upload, methods: [POST], upstream: steady}
          - {name: socket, path: /socket, upstream: steady}
          - {name: long, path: /long, upstream: steady}
          - {name: calls, path: /calls.Echo/**, upstream: calls, filters: [login, many]}
          - {name: limited, path: /limited, upstream: steady, filters: [few]}
          - {name: dying, path: /dying/**, upstream: dying, rewrite: {strip_prefix: /dying}}
        telemetry: {}
        ",
        &[
            ("$STEADY", &steady.address),
            ("$DYING", &dying.address),
            ("$CALLS", &calls.address),
            ("$TLS", &tls.display()),
            ("$KEYS", &keys),
            ("$VERSION", &version),
        ],
    )
}

/// What was seen of one kind of actor.
#[derive(Default)]
struct Seen {
    rounds: u64,
    wrong: Vec<String>,
}

#[test]
fn a_mixed_load_meets_what_it_should_and_leaves_nothing_behind() {
    let minutes: Option<f64> = std::env::var("FRONTGATE_SOAK").ok().map(|text| text.parse().expect("a number of minutes"));
    let issuer = Issuer::fresh("k1", Algorithm::ES256).unwrap();
    let keys = std::env::temp_dir().join(format!("frontgate-soak-{}.json", std::process::id()));
    std::fs::write(&keys, issuer.jwks()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = serde_json::json!({"iss": "https://id/", "aud": "shop", "sub": "u-1", "exp": now + 1_000_000, "roles": ["user"]});
    let (steady, dying, service) = (Origin::start(), Origin::start(), calls::service());
    let (authority, directory) = (Authority::new(), Directory::new());
    let issued = authority.issue(&["shop.example"]);
    directory.put("shop.pem", &issued.cert);
    directory.put("shop.key", &issued.key);
    let config = |version| text(&steady, &dying, &service, &directory, &keys.display().to_string(), version);
    let process = Process::start("soak", &config(0));
    let [address, secure] = process.addresses[..] else { panic!("{:?}", process.addresses) };
    let scene = Scene { address, secure, authority, token: issuer.token(&claims) };
    let (stop, before) = (AtomicBool::new(false), process.descriptors());
    let seen: Mutex<BTreeMap<&str, Seen>> = Mutex::default();
    let mut samples = Vec::new();
    let mut reloads = 0;

    std::thread::scope(|scope| {
        for (name, actor, number) in ACTORS {
            for index in 0..number {
                let (scene, seen, stop) = (&scene, &seen, &stop);
                scope.spawn(move || {
                    let mut dice = Dice::new(index as u64 + 1);
                    while !stop.load(Ordering::SeqCst) {
                        let round = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| actor(scene, &mut dice)));
                        let wrong = round.unwrap_or_else(|_| Err("it panicked".to_owned())).err();
                        let mut seen = seen.lock().unwrap();
                        let seen = seen.entry(name).or_default();
                        seen.rounds += 1;
                        if seen.wrong.len() < 5 {
                            seen.wrong.extend(wrong);
                        }
                    }
                });
            }
        }
        let until = minutes.map(|minutes| Instant::now() + Duration::from_secs_f64(minutes * 60.0));
        let goes_on = || match until {
            Some(until) => Instant::now() < until,
            None => {
                let seen = seen.lock().unwrap();
                ACTORS.iter().any(|(name, ..)| seen.get(name).is_none_or(|seen| seen.rounds < ROUNDS))
            }
        };
        // One upstream fails in one way after the other and lives again, and the configuration changes all the time.
        for fault in FAULTS.into_iter().cycle() {
            if !goes_on() {
                break;
            }
            dying.fail(fault);
            std::thread::sleep(Duration::from_millis(150));
            dying.live();
            std::thread::sleep(Duration::from_millis(350));
            reloads += 1;
            process.write(&config(reloads));
            let reloaded = process.ask("POST", "/-/reload").status;
            if reloaded != 200 {
                seen.lock().unwrap().entry("reload").or_default().wrong.push(format!("{reloaded}"));
            }
            samples.push((process.memory(), process.descriptors()));
        }
        stop.store(true, Ordering::SeqCst);
    });

    let seen = seen.into_inner().unwrap();
    let told: Vec<String> = seen.iter().map(|(name, seen)| format!("{name} {}", seen.rounds)).collect();
    println!("rounds: {}; {reloads} reloads", told.join(", "));
    let wrong: Vec<String> = seen.iter().flat_map(|(name, seen)| seen.wrong.iter().map(move |wrong| format!("{name}: {wrong}"))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    if minutes.is_some() {
        let third = samples.len() / 3;
        let most = |samples: &[(usize, usize)]| {
            (samples.iter().map(|sample| sample.0).max().unwrap_or(0), samples.iter().map(|sample| sample.1).max().unwrap_or(0))
        };
        let (middle, last) = (most(&samples[third..2 * third]), most(&samples[2 * third..]));
        println!("the most KiB and descriptors: {:?}, then {middle:?}, then {last:?}", most(&samples[..third]));
        assert!(last.0 <= middle.0 + GROWTH.0 && last.1 <= middle.1 + GROWTH.1, "{middle:?}, then {last:?}");
    }
    until("all requests to end", || process.ask("GET", "/healthz?full=1").json()["requests_in_flight"] == 0);
    let metrics = || process.ask("GET", "/metrics").text();
    until("all connections to close", || {
        metrics().lines().filter(|line| line.starts_with("frontgate_connections{")).all(|line| line.ends_with(" 0"))
    });
    drop((steady, dying, service));
    until("descriptors to be given back", || process.descriptors() <= before + 20);
    let _ = std::fs::remove_file(&keys);
}
