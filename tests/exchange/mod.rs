//! Requests and answers of every shape, through the gateway and back, over raw sockets.
//!
//! A case is made from a number, its seed: a connection with up to five requests sent ahead, each with a script of what the origin does. Beside
//! what the origin received and what the client met stands what RFC 9110 and 9112 say, with the changes that the gateway is documented to make.
//!
//! | variable | what it does |
//! |---|---|
//! | `FRONTGATE_LONG` | 100,000 cases instead of some hundreds |
//! | `FRONTGATE_SEED` | this case alone, or with `first..last` those of a range |
//! | `FRONTGATE_AGAINST` | `host:port` of a gateway that is already running, for comparing two builds; it leads everything to `FRONTGATE_ORIGIN`, the address on which the origin of the test listens then |
//! | `FRONTGATE_RECORD` | a file that gets a line for each request: what the origin received and what the client met |

mod client;
pub mod dice;
mod http2;
mod make;
mod oracle;
pub mod origin;
mod plan;
mod record;
pub mod wire;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::harness::{Gateway, until, yaml};
use client::{name, play};
use origin::Origin;
use record::Record;

/// How many faults are told before the rest is left, unless all of them are to be recorded.
const ENOUGH: usize = 10;
/// How many cases are played at once: more where another process does the work, and waits may be long.
fn threads() -> usize {
    if std::env::var_os("FRONTGATE_AGAINST").is_some() { 64 } else { 8 }
}

/// Where the cases run.
struct Ground {
    origin: Origin,
    address: SocketAddr,
    _gateway: Option<Gateway>,
}

impl Ground {
    fn new() -> Self {
        let address = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("an address"));
        let origin = Origin::on(address("FRONTGATE_ORIGIN").unwrap_or_else(|| "127.0.0.1:0".parse().expect("an address")));
        if let Some(address) = address("FRONTGATE_AGAINST") {
            return Self { origin, address, _gateway: None };
        }
        let gateway = Gateway::start(&yaml(
            "
            server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
            upstreams: {main: {endpoints: [$ORIGIN]}}
            routes: [{name: all, path: /**, upstream: main}]
            ",
            &[("$ORIGIN", &origin.address)],
        ));
        Self { origin, address: gateway.address, _gateway: Some(gateway) }
    }
}

/// The seeds to play.
fn seeds(usual: u64) -> Range<u64> {
    if let Ok(text) = std::env::var("FRONTGATE_SEED") {
        let number = |text: &str| text.parse().expect("a number");
        return match text.split_once("..") {
            Some((first, last)) => number(first)..number(last) + 1,
            None => number(&text)..number(&text) + 1,
        };
    }
    let count = if std::env::var_os("FRONTGATE_LONG").is_some() { 100_000 } else { usual };
    0..count
}

/// Plays the cases of these seeds in several threads; `one` plays one and says what is wrong with it.
fn all(seeds: Range<u64>, one: impl Fn(u64) -> Vec<String> + Sync) {
    let enough = if Record::is_wanted() { usize::MAX } else { ENOUGH };
    let (next, played) = (AtomicU64::new(seeds.start), AtomicUsize::new(0));
    let wrong: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end || wrong.lock().unwrap().len() >= enough {
                        return;
                    }
                    let found = one(seed);
                    played.fetch_add(1, Ordering::SeqCst);
                    if !found.is_empty() {
                        wrong.lock().unwrap().push(format!("FRONTGATE_SEED={seed}\n  {}", found.join("\n  ")));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} cases of {}:\n{}", wrong.len(), played.into_inner(), wrong.join("\n"));
}

#[test]
fn requests_and_answers_of_every_shape_are_the_same_on_both_sides() {
    let ground = Ground::new();
    let record = Record::from_environment();
    let left: Mutex<Vec<String>> = Mutex::default();

    all(seeds(400), |seed| {
        let case = make::case(seed);
        for (index, turn) in case.turns.iter().enumerate() {
            ground.origin.expect(&name(&case, index), &turn.script, &turn.asked);
        }
        let saw = play(&case, ground.address);
        let last = case.turns.len() - 1;
        let came: Vec<_> = (0..case.turns.len())
            .map(|index| {
                let name = name(&case, index);
                if case.leaves.is_some() && index == last {
                    left.lock().unwrap().push(name);
                    return Vec::new();
                }
                // An origin that has answered early may still be reading.
                if saw.met.len() > index {
                    ground.origin.wait_for(&name);
                }
                ground.origin.take(&name)
            })
            .collect();
        record.put(&case, &saw, &came);
        oracle::check(&case, &saw, &came, ground.origin.address)
    });

    // What was begun by clients that left is over by now or soon.
    until("the origin's last request to end", || ground.origin.active() == 0);
    for name in left.into_inner().unwrap() {
        oracle::gone(&ground.origin.take(&name), &mut |what| panic!("{name}: {what}"));
    }
    assert_eq!(ground.origin.strays(), [""; 0]);
}

#[test]
fn they_are_the_same_for_a_client_of_http_2() {
    let ground = Ground::new();
    let left: Mutex<Vec<String>> = Mutex::default();

    all(seeds(200), |seed| {
        let case = http2::adapt(make::case(seed));
        for (index, turn) in case.turns.iter().enumerate() {
            ground.origin.expect(&name(&case, index), &turn.script, &turn.asked);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let met = runtime.block_on(http2::play(&case, ground.address));
        let came: Vec<_> = (0..case.turns.len())
            .map(|index| {
                let name = name(&case, index);
                if case.leaves.is_some() && index + 1 == case.turns.len() {
                    left.lock().unwrap().push(name);
                    return Vec::new();
                }
                if met[index].is_ok() {
                    ground.origin.wait_for(&name);
                }
                ground.origin.take(&name)
            })
            .collect();
        http2::check(&case, &met, &came, ground.origin.address)
    });

    until("the origin's last request to end", || ground.origin.active() == 0);
    for name in left.into_inner().unwrap() {
        oracle::gone(&ground.origin.take(&name), &mut |what| panic!("{name}: {what}"));
    }
    assert_eq!(ground.origin.strays(), [""; 0]);
}
